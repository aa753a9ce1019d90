"""Files of grasps: what is read is what was written, and every bad file is named with what is wrong in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.files.unpickle import PickleFileError, UnsafePickleError
from dexzoo.geometry.meshes import load_mesh
from dexzoo.grasps.files import GraspFileError, GraspSet, guess_format, load_grasps, save_grasps
from dexzoo.hands import HandError, HandPose

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
RNG = np.random.default_rng(0)


def values(hand, **changes) -> dict[str, float]:
    """A qpos as DexGraspNet writes it, numbers at random; `None` takes a key away."""
    names = [f"robot0:{name}" for name in hand.joint_names]
    names += [f"WRJR{axis}" for axis in "xyz"] + [f"WRJT{axis}" for axis in "xyz"]
    qpos = dict(zip(names, RNG.uniform(-1, 1, len(names)).tolist(), strict=True)) | changes
    return {key: value for key, value in qpos.items() if value is not None}


def write_npy(path: Path, rows: list) -> Path:
    array = np.empty(len(rows), object)
    array[:] = rows
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=True)
    return path


def write_npz(path: Path, **changes: object) -> Path:
    arrays = {"qpos": None, "scale": np.float32(12.5), "plane": np.float32([0, 0, 1, 0.05])} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays["qpos"] = np.array(arrays["qpos"], object)
    np.savez(path, **{key: x for key, x in arrays.items() if x is not None})
    return path


def grasp_set(hand, name: str = "can", n: int = 3, plane: bool = False) -> GraspSet:
    pose = HandPose(
        torch.from_numpy(RNG.normal(size=(n, 3))),
        torch.from_numpy(Rotation.random(n, RNG).as_matrix()),
        torch.from_numpy(RNG.normal(size=(n, hand.num_joints))),
        hand.name,
    )
    planes = torch.from_numpy(RNG.normal(size=(n, 4))) if plane else None
    return GraspSet(name, pose, torch.from_numpy(RNG.uniform(0.05, 2, n)), torch.arange(7, 7 + n), (), planes)


def write_changed(path: Path, hand, change: Callable[[dict], object]) -> Path:
    """A file in our format, its arrays changed."""
    save_grasps(path, [grasp_set(hand)], hand)
    arrays = dict(np.load(path))
    change(arrays)
    np.savez(path, **arrays)
    return path


class TestDexGraspNet:
    def test_values_are_found_by_name_whatever_order_and_prefix(self, tmp_path, hand):
        qpos = values(hand)
        shuffled = {key.removeprefix("robot0:"): qpos[key] for key in sorted(qpos, reverse=True)}
        write_npy(tmp_path / "core-mug-1.npy", [{"qpos": q, "scale": np.float64(0.06)} for q in (qpos, shuffled)])
        (found,) = load_grasps(tmp_path / "core-mug-1.npy", hand)
        assert (found.object, len(found), found.rows.tolist()) == ("core-mug-1", 2, [0, 1])
        assert (found.scale.tolist(), found.plane, found.pose.hand) == ([0.06, 0.06], None, "shadow")
        for i in range(2):
            assert found.pose.joints[i].tolist() == [qpos[f"robot0:{name}"] for name in hand.joint_names]
            assert found.pose.translation[i].tolist() == [qpos[f"WRJT{axis}"] for axis in "xyz"]
            turned = Rotation.from_euler("xyz", [qpos[f"WRJR{axis}"] for axis in "xyz"]).as_matrix()
            np.testing.assert_allclose(found.pose.rotation[i], turned, atol=1e-14)

    def test_angles_beyond_the_limits_and_extra_keys_are_read(self, tmp_path, hand):
        entry = {"qpos": values(hand, **{"robot0:FFJ3": 3.0}), "qpos_st": values(hand), "scale": 0.1, "energy": 1.5}
        (found,) = load_grasps(write_npy(tmp_path / "a.npy", [entry]), hand)
        assert found.pose.joints[0, hand.joint_names.index("FFJ3")] == 3

    def test_a_number_that_is_not_known_is_kept_and_told(self, tmp_path, hand):
        rows = [{"qpos": values(hand), "scale": 0.1} for _ in range(4)]
        rows[1]["qpos"]["robot0:THJ0"] = float("nan")
        rows[2]["scale"] = float("nan")
        rows[3]["qpos"]["WRJRy"] = float("inf")
        (found,) = load_grasps(write_npy(tmp_path / "a.npy", rows), hand)
        assert found.finite.tolist() == [True, False, False, False]
        assert found.pose.joints[1].isnan().sum() == 1

    def test_a_folder_gives_one_set_per_file(self, tmp_path, hand):
        for name, n in (("b", 2), ("a", 1)):
            write_npy(tmp_path / f"{name}.npy", [{"qpos": values(hand), "scale": 0.1}] * n)
        found = load_grasps(tmp_path, hand, "dexgraspnet")
        assert [(part.object, len(part), part.files) for part in found] == [
            ("a", 1, (tmp_path / "a.npy",)),
            ("b", 2, (tmp_path / "b.npy",)),
        ]

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            (lambda h: {"qpos": values(h)}, r"a\.npy, row 1: missing key 'scale'; available: qpos"),
            (lambda h: {"qqpos": 1, "scale": 1}, r"row 1: missing key 'qpos'; did you mean 'qqpos'"),
            (lambda h: [1, 2], r"row 1: expected a dict with qpos and scale, found list '\[1, 2\]'"),
            (
                lambda h: {"qpos": np.ones(28), "scale": 1},
                r"row 1, qpos: expected a dict .*found an array of shape \(28",
            ),
            (
                lambda h: {"qpos": values(h, **{"robot0:FFJ3": None, "robot0:FJ3": 1.0}), "scale": 1},
                r"row 1, qpos: expected the joints of hand 'shadow'.*found no 'FFJ3'; did you mean 'FJ3'",
            ),
            (
                lambda h: {"qpos": values(h, **{"robot0:WRJ1": 1.0}), "scale": 1},
                r"row 1, qpos: expected the joints of .*found 'WRJ1'; ",
            ),
            (
                lambda h: {"qpos": values(h, **{"robot0:FFJ3": None, "robot0:FJ3": None}), "scale": 1},
                "found no 'FFJ3'; did you mean",
            ),
            (
                lambda h: {"qpos": values(h, WRJTx="far"), "scale": 1},
                r"row 1, qpos, WRJTx: expected a number, found str 'far'",
            ),
            (
                lambda h: {"qpos": values(h) | {"WRJTx": None}, "scale": 1},
                "row 1, qpos, WRJTx: expected a number, found None",
            ),
            (lambda h: {"qpos": values(h), "scale": None}, r"row 1, scale: expected a number, found None"),
            (
                lambda h: {"qpos": values(h), "scale": -0.1},
                r"scale of grasp 1: expected a positive number, found -0\.1",
            ),
            (
                lambda h: {"qpos": values(h), "scale": np.inf},
                r"scale of grasp 1: expected a positive number, found inf",
            ),
        ],
    )
    def test_a_bad_row_is_named(self, tmp_path, hand, entry, message):
        write_npy(tmp_path / "a.npy", [{"qpos": values(hand), "scale": 0.1}, entry(hand)])
        with pytest.raises(GraspFileError, match=message):
            load_grasps(tmp_path / "a.npy", hand)

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.empty(0, object), "expected one of the formats dexgraspnet, .*, found no grasp$"),
            (np.ones((3, 28)), r"found an array of float64 of shape \(3, 28\)"),
            (
                np.array({"qpos": 1}, object),
                "found an .npy with one dict with qpos; nearest is dexgraspnet, but key 'scale' is missing, it is",
            ),
        ],
    )
    def test_another_array_is_refused(self, tmp_path, hand, array, message):
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(GraspFileError, match=message):
            load_grasps(tmp_path, hand)

    @pytest.mark.parametrize("kept", [7, 60, 0.5, 0.99])
    def test_a_truncated_file_is_named(self, tmp_path, hand, kept):
        path = write_npy(tmp_path / "a.npy", [{"qpos": values(hand), "scale": 0.1}] * 3)
        data = path.read_bytes()
        path.write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
        with pytest.raises(PickleFileError, match=r"a\.npy: expected a complete"):
            load_grasps(path, hand)

    def test_nothing_in_a_file_is_executed(self, tmp_path, hand):
        class Evil:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path / 'executed'}",)

        write_npy(tmp_path / "a.npy", [{"qpos": Evil(), "scale": 0.1}])
        with pytest.raises(UnsafePickleError, match="refused to load"):
            load_grasps(tmp_path, hand)
        assert not (tmp_path / "executed").exists()


class TestUniDexGrasp:
    def test_scale_is_the_reciprocal_and_the_folder_names_the_object(self, tmp_path, hand):
        qpos = [values(hand) for _ in range(3)]
        for i, number in enumerate(("00007", "00003")):
            write_npz(tmp_path / "set" / "sem" / "Car-1" / f"{number}.npz", qpos=qpos[i])
        write_npz(tmp_path / "set" / "core" / "mug-2" / "first.npz", qpos=qpos[2], scale=np.float32(10))
        mug, car = load_grasps(tmp_path / "set", hand)
        assert (mug.object, mug.rows.tolist(), mug.scale.tolist()) == ("core/mug-2", [0], [0.1])
        assert (car.object, car.rows.tolist(), car.scale.tolist()) == ("sem/Car-1", [3, 7], [0.08, 0.08])
        assert car.pose.translation[1].tolist() == [qpos[0][f"WRJT{axis}"] for axis in "xyz"]
        np.testing.assert_allclose(car.plane, [[0, 0, 1, 0.05]] * 2, atol=1e-9)
        (one,) = load_grasps(tmp_path / "set" / "sem" / "Car-1" / "00007.npz", hand, "unidexgrasp")
        assert (one.object, one.rows.tolist()) == ("sem/Car-1", [7])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"plane": None},
                r"0\.npz: .* an \.npz with qpos, scale; nearest is unidexgrasp, but key 'plane' is missing$",
            ),
            ({"plane": np.ones(3)}, r"plane: expected four numbers, normal and offset, found float64 of shape \(3,\)"),
            ({"scale": np.ones(2)}, r"0\.npz, scale: expected a number, found an array of shape \(2,\)"),
            ({"scale": np.float32(0)}, "scale of grasp 0: expected a positive number, found 0"),
            ({"qpos": [1, 2]}, r"qpos: expected one dict, found an array of shape \(2,\)"),
            ({"qpos": {"FFJ3": 1.0}}, "found no 'FFJ2'"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path, hand, changes, message):
        path = write_npz(tmp_path / "0.npz", **({"qpos": values(hand)} | changes))
        with pytest.raises(GraspFileError, match=message):
            load_grasps(path, hand)

    @pytest.mark.parametrize("kept", [3, 0.5, 0.95])
    def test_a_truncated_file_is_named(self, tmp_path, hand, kept):
        path = write_npz(tmp_path / "0.npz", qpos=values(hand))
        data = path.read_bytes()
        path.write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
        with pytest.raises((PickleFileError, GraspFileError), match=r"0\.npz"):
            load_grasps(path, hand)
        with pytest.raises(PickleFileError, match=r"0\.npz: expected a \.npz archive"):
            load_grasps(path, hand, "unidexgrasp")


class TestWhichFormat:
    @pytest.fixture
    def files(self, tmp_path, hand):
        write_npy(tmp_path / "dexgraspnet" / "a.npy", [{"qpos": values(hand), "scale": 0.1}])
        write_npz(tmp_path / "unidexgrasp" / "sem" / "Car-1" / "0.npz", qpos=values(hand))
        save_grasps(tmp_path / "dexzoo" / "g.npz", [grasp_set(hand)], hand)
        return tmp_path

    @pytest.mark.parametrize("right", ["dexgraspnet", "unidexgrasp", "dexzoo"])
    @pytest.mark.parametrize("wrong", ["dexgraspnet", "unidexgrasp", "dexzoo"])
    def test_the_wrong_one_is_told_from_the_right_one(self, files, hand, right, wrong):
        assert guess_format(files / right) == right
        assert len(load_grasps(files / right, hand)) == 1
        if wrong != right:
            with pytest.raises(GraspFileError, match=rf"looks like format '{right}'; .*--format {right}"):
                load_grasps(files / right, hand, wrong)

    def test_unknown_names_and_places(self, files, hand):
        with pytest.raises(GraspFileError, match="no 'dexgrasp'; did you mean"):
            load_grasps(files / "dexzoo", hand, "dexgrasp")
        with pytest.raises(GraspFileError, match="found nothing there; did you mean 'dexgraspnet'"):
            load_grasps(files / "dexgraspnt", hand)
        write_npy(files / "other" / "Car-1" / "a.npy", [{"qpos": values(hand), "scale": 0.1}])
        with pytest.raises(GraspFileError, match=r"found a folder: Car-1; did you mean .*Car-1\?"):
            load_grasps(files / "other", hand)
        (files / "nothing").mkdir()
        with pytest.raises(GraspFileError, match="expected one of the formats"):
            load_grasps(files / "nothing", hand)
        with pytest.raises(GraspFileError, match="found a folder: nothing in it"):
            load_grasps(files / "nothing", hand, "dexgraspnet")

    def test_an_empty_file_is_named(self, tmp_path, hand):
        (tmp_path / "a.npy").write_bytes(b"")
        with pytest.raises(HandError, match=r"a\.npy: expected grasps, found an empty file"):
            load_grasps(tmp_path, hand)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real samples at {SHARED}")
class TestRealSamples:
    def test_dexgraspnet(self, hand):
        sets = load_grasps(SHARED / "dexgraspnet_sample" / "dataset", hand)
        assert {part.object.split("-")[1]: len(part) for part in sets} == {"mug": 246, "gd_banana_poisson_002": 205,
                                                                          "Bottle": 248}  # fmt: skip
        for part in sets:
            assert part.finite.all()
            assert all(min(abs(s - k) for k in (0.06, 0.08, 0.1, 0.12, 0.15)) < 1e-6 for s in part.scale.tolist())
            distance = part.pose.translation.norm(dim=-1)
            assert 0.0865 < distance.min() <= distance.max() < 0.258

    def test_unidexgrasp_objects_stand_on_their_planes(self, hand):
        (part,) = load_grasps(SHARED / "unidexgrasp_sample" / "datasetv4.1", hand)
        assert (part.object.split("-")[0], len(part)) == ("sem/Car", 189)
        mesh = load_mesh(next((SHARED / "unidexgrasp_sample").rglob("decomposed.obj")))
        vertices = torch.from_numpy(np.asarray(mesh.vertices))
        plane = part.plane
        lowest = (vertices @ plane[:, :3].T * part.scale + plane[:, 3]).amin(0)
        assert lowest.abs().max() < 1e-5  # a hundredth of a millimetre
