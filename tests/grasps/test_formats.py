"""Grasps of other methods: tiny files of each layout written by hand, and what is written is what is read.

The points of a hand are an oracle for all: two formats agree where they put the hand's surface in the same place.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml
from scipy.spatial.transform import Rotation
from torch import Tensor

from dexzoo.files import BadFile, UnsafePickleError
from dexzoo.grasps import ObjectAsset
from dexzoo.grasps.files import FORMATS, GraspFileError, GraspSet, guess_format, load_grasps, save_grasps
from dexzoo.hands import Hand, HandPose, load_hand
from dexzoo.hands.mano_standin import write_standin
from dexzoo.metrics.tool import Settings, work
from dexzoo.metrics.tool.plan import plan_chunks
from tests.verbs import status_of

RNG = np.random.default_rng(3)
HUMAN = ("grabnet", "dexycb")
METRIC = (*HUMAN, "multidex", "dga_samples")
POSTURES = ("dexgraspbench", "dexonomy", "bodex", "dexzoo")
FILES = {"multidex": "a.pt", "dga": "a.pt", "dga_samples": "a.pkl", "grabnet": "a.npz", "dexzoo": "a.npz"}
FINGERS = {"FF": 4, "MF": 4, "RF": 4, "LF": 5, "TH": 5}
REAL = [f"{finger}J{k}" for finger, n in FINGERS.items() for k in range(n, 0, -1)]
TURNED = {"FFJ4": "FFJ3", "MFJ4": "MFJ3", "THJ2": "THJ1", "THJ1": "THJ0"}
"""Joints of the real Shadow hand whose sign is the other one in the simulated hand."""


@pytest.fixture(scope="module")
def mano(tmp_path_factory) -> Hand:
    file = write_standin(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXZOO_MANO", str(file))
        return load_hand("mano")


def points(hand: Hand, pose: HandPose) -> Tensor:
    """(N, 100, 3), metres, object frame."""
    return hand.place(hand.forward_kinematics(pose), hand.surface(100).to(torch.float64))


def poses(hand: Hand, n: int) -> HandPose:
    joints = hand.rest_pose().joints.double() + torch.from_numpy(RNG.normal(size=(n, hand.num_joints))) / 5
    turn = torch.from_numpy(Rotation.random(n, RNG).as_matrix())
    return HandPose(torch.from_numpy(RNG.normal(size=(n, 3))), turn, joints, hand.name)


def grasps(hand: Hand, name: str, scale: tuple[float, ...] = (1.0, 1.0, 1.0)) -> GraspSet:
    n = len(scale)
    plane = torch.tensor([[0.0, 0, 1, 0.05]]).double().repeat(n, 1)
    postures = [poses(hand, n), poses(hand, n)]
    return GraspSet(
        name,
        poses(hand, n),
        torch.tensor(scale, dtype=torch.float64),
        torch.arange(n),
        (),
        plane,
        None,
        postures[0],
        postures[1],
    )


def forearm_of(palm: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Where the forearm is while the wrist is straight."""
    return palm - turn @ [0, -0.010, 0.24701]


def real_joints(hand: Hand, pose: HandPose) -> np.ndarray:
    """(N, 22), as the real hand counts them, fingers first."""
    names = [TURNED.get(name, f"{name[:-1]}{int(name[-1]) - 1}") for name in REAL]
    signs = [-1.0 if name in TURNED else 1.0 for name in REAL]
    return pose.joints[:, [hand.joint_names.index(name) for name in names]].numpy() * signs


def quat(turn: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(turn).as_quat()[[3, 0, 1, 2]]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_and_told_by_its_content(format, tmp_path, hand, mano, monkeypatch):
    """Whatever the file is called; the surface of the hand is where it was, postures come back where there is room."""
    monkeypatch.chdir(tmp_path)
    mine = mano if format in HUMAN else hand
    names = {"dexycb": "025_mug", "unidexgrasp": "core/mug"}
    part = grasps(mine, names.get(format, "mug"), (1.0,) * 3 if format in METRIC else (0.06, 0.08, 0.06))
    place = tmp_path / FILES.get(format, "folder")
    save_grasps(place, [part], mine, format)
    if format in FILES and format != "grabnet":
        place = place.rename(tmp_path / "renamed.npy")
    assert guess_format(place) == format
    (found,) = load_grasps(place, mine)
    order = found.scale.argsort(stable=True) if format in ("dexonomy", "bodex") else torch.arange(3)
    same = part.scale.argsort(stable=True) if format in ("dexonomy", "bodex") else torch.arange(3)
    found, part = found[order], part[same]
    assert (found.object, found.pose.hand) == (part.object, mine.name)
    torch.testing.assert_close(found.scale, part.scale, rtol=1e-12, atol=0)
    torch.testing.assert_close(points(mine, found.pose), points(mine, part.pose), rtol=0, atol=1e-6)
    for name in ("pregrasp", "squeeze"):
        posture = getattr(found, name)
        assert (posture is not None) == (format in POSTURES)
        if posture is not None:
            torch.testing.assert_close(points(mine, posture), points(mine, getattr(part, name)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in HUMAN])
def test_another_hand_goes_through_every_format(format, tmp_path, mano):
    """With its own joints and root, where the Shadow hand has others."""
    part = grasps(mano, "core/mug" if format == "unidexgrasp" else "mug", (1.0,) * 3)
    save_grasps(tmp_path / FILES.get(format, "folder"), [part], mano, format)
    (found,) = load_grasps(tmp_path / FILES.get(format, "folder"), mano)
    torch.testing.assert_close(found.pose.joints, part.pose.joints, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.pose.translation, part.pose.translation, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.pose.rotation, part.pose.rotation, rtol=0, atol=1e-9)


# ------------------------------------------------------------------------------------------------- files made by hand


def qpos(hand: Hand, pose: HandPose, i: int, wrist: float = 0.034) -> np.ndarray:
    """(29,), the wrist's root, 34 mm below the palm."""
    turn = pose.rotation[i].numpy()
    root = pose.translation[i].numpy() - turn @ [0, 0, wrist]
    return np.concatenate([root, quat(turn), real_joints(hand, pose)[i]])


def write_bench(folder: Path, hand: Hand, part: GraspSet, old: bool = False) -> None:
    """The object turned and shifted in the world, and the hand with it."""
    turn, shift = Rotation.from_euler("xyz", [0.3, -1, 2]), np.array([0.1, -0.2, 0.5])
    steps = {"pregrasp": part.pregrasp, "grasp": part.pose, "squeeze": part.squeeze}
    for i in range(len(part)):
        entry = {"obj_path": "assets/object/DGN/mug", "obj_pose": np.concatenate([shift, quat(turn.as_matrix())])}
        entry["obj_scale"] = float(part.scale[i])
        for step, pose in steps.items():
            q = qpos(hand, pose.moved_by(torch.from_numpy(turn.as_matrix()), torch.from_numpy(shift)), i)
            entry |= {f"{step}_pose": q[:7], f"{step}_qpos": q[7:]} if old else {f"{step}_qpos": q}
        (folder / "mug").mkdir(parents=True, exist_ok=True)
        np.save(folder / "mug" / f"{i}.npy", entry, allow_pickle=True)


def write_dexonomy(folder: Path, hand: Hand, part: GraspSet) -> None:
    steps = {"pregrasp": part.pregrasp, "grasp": part.pose, "squeeze": part.squeeze}
    entry = {f"{step}_qpos": np.stack([qpos(hand, p, i) for i in range(len(part))]) for step, p in steps.items()}
    folder.mkdir()
    np.save(
        folder / "a.npy", entry | {"scene_path": "assets/DGN_5k/scene_cfg/mug/floating/scale008.npy"}, allow_pickle=True
    )


def write_bodex(folder: Path, hand: Hand, part: GraspSet) -> None:
    """The palm's pose, the thumb's joints first."""
    steps = (part.pregrasp, part.pose, part.squeeze)
    q = np.array([[qpos(hand, pose, i, wrist=0) for pose in steps] for i in range(len(part))])
    q = np.concatenate([q[..., :7], q[..., 24:], q[..., 7:24]], axis=-1)
    (folder / "mug").mkdir(parents=True)
    entry = {"robot_pose": q[None], "obj_pose": np.array([[0.0, 0, 0, 1, 0, 0, 0]]), "obj_scale": np.array([0.08])}
    np.save(folder / "mug" / "x_grasp.npy", entry, allow_pickle=True)


def write_multidex(folder: Path, hand: Hand, part: GraspSet) -> None:
    folder.mkdir()
    torch.save({"info": {}, "metadata": [(q, "mug", "shadowhand") for q in vectors(hand, part)]}, folder / "a.pt")


def vectors(hand: Hand, part: GraspSet) -> Tensor:
    """(N, 33): forearm, first two columns, wrist and fingers."""
    rows = []
    for i, joints in enumerate(real_joints(hand, part.pose)):
        turn = part.pose.rotation[i].numpy()
        root = forearm_of(part.pose.translation[i].numpy(), turn)
        rows.append(np.concatenate([root, turn[:, 0], turn[:, 1], [0, 0], joints]))
    return torch.from_numpy(np.array(rows))


def write_dga(folder: Path, hand: Hand, part: GraspSet, scale: float = 0.08) -> None:
    """A point x of the hand is at R (x + t)."""
    folder.mkdir()
    entries = []
    for i, q in enumerate(vectors(hand, part).numpy()):
        turn = part.pose.rotation[i].numpy()
        entry = {"rotations": turn, "translations": turn.T @ q[:3], "joint_positions": q[9:], "object_name": "mug"}
        entries.append(entry | {"scale": scale})
    torch.save({"info": {"num_per_object": {"mug": len(part)}}, "metadata": entries}, folder / "a.pt")


def write_samples(folder: Path, hand: Hand, part: GraspSet) -> None:
    folder.mkdir()
    (folder / "a.pkl").write_bytes(pickle.dumps({"sample_qpos": {"mug": vectors(hand, part).numpy()}}))


LAYOUTS: dict[str, tuple[str, Callable[..., None], float]] = {
    "dexgraspbench": ("dexgraspbench", write_bench, 0.08),
    "older": ("dexgraspbench", lambda *given: write_bench(*given, old=True), 0.08),
    "dexonomy": ("dexonomy", write_dexonomy, 0.08),
    "bodex": ("bodex", write_bodex, 0.08),
    "multidex": ("multidex", write_multidex, 1.0),
    "dga": ("dga", write_dga, 0.08),
    "dga of RealDex": ("dga", lambda *given: write_dga(*given, scale=12.5), 0.08),
    "samples": ("dga_samples", write_samples, 1.0),
}


@pytest.mark.parametrize("hand_name", ["shadow", "shadow_e3m5"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_hand_of_a_file_made_by_hand_is_where_the_layout_says(layout, hand_name, tmp_path, hand):
    """One pose in all; little finger and thumb of the real hand are 1.8 and 0.42 mm off those of the simulated one."""
    format, write, scale = LAYOUTS[layout]
    part, reader = grasps(hand, "mug", (scale,) * 2), load_hand(hand_name)
    write(tmp_path / "in", hand, part)
    assert guess_format(tmp_path / "in") == format
    (found,) = load_grasps(tmp_path / "in", reader)
    assert (found.object, len(found), found.pose.hand) == ("mug", 2, hand_name)
    torch.testing.assert_close(found.scale, part.scale)
    assert found.upwards().isnan().all()
    pairs = [(found.pose, part.pose)]
    if format in POSTURES:
        pairs += [(found.pregrasp, part.pregrasp), (found.squeeze, part.squeeze)]
    for mine, theirs in pairs:
        expected = theirs if hand_name == "shadow" else hand.convert(theirs, reader)
        torch.testing.assert_close(points(reader, mine), points(reader, expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("info", [False, True])
def test_grabnet_with_and_without_its_info_files(info, tmp_path, mano):
    """The object's rotation acts on row vectors, translations are of the model's origin, not of the wrist."""
    turn, shift = Rotation.from_euler("xyz", [0.4, 0.1, -2]), np.array([0.1, 0.2, 0.9])
    pose = poses(mano, 3)
    world = pose.moved_by(torch.from_numpy(turn.as_matrix()), torch.from_numpy(shift))
    template = mano.spec.model.template * [1.1, 1, 1]
    wrist = (mano.spec.model.regressor @ (template if info else mano.spec.model.template))[0]
    arrays = {
        "global_orient_rhand_rotmat": world.rotation[:, None].numpy(),
        "fpose_rhand_rotmat": Rotation.from_rotvec(pose.joints.reshape(-1, 3)).as_matrix().reshape(3, 15, 3, 3),
        "trans_rhand": world.translation.numpy() - wrist,
        "trans_obj": np.tile(shift, (3, 1)),
        "root_orient_obj_rotmat": np.tile(turn.as_matrix().T, (3, 1, 1, 1)),
    }
    (tmp_path / "test").mkdir()
    np.savez(tmp_path / "test" / "grabnet_test.npz", **arrays)
    if info:
        frames = [f"test/data/s1/{name}/{k}.npz" for k, name in enumerate(("mug_lift", "cup_drink_1", "mug_lift"))]
        np.savez(tmp_path / "test" / "frame_names.npz", frame_names=np.array(frames))
        np.save(tmp_path / "sbj_info.npy", {"s1": {"rh_vtemp": template}}, allow_pickle=True)
    found = load_grasps(tmp_path, mano)
    expected = {"cup": [1], "mug": [0, 2]} if info else {"grabnet_test": [0, 1, 2]}
    assert {part.object: part.rows.tolist() for part in found} == expected
    for part in found:
        torch.testing.assert_close(points(mano, part.pose), points(mano, pose[part.rows]), rtol=0, atol=1e-6)
        up = torch.from_numpy(turn.as_matrix().T[:, 2]).expand(len(part), 3)
        torch.testing.assert_close(part.upwards(), up)


@pytest.mark.parametrize("labels", [False, True])
def test_dexycb_is_relative_to_the_grasped_object(labels, tmp_path, mano, caplog):
    """Recordings and labels of one frame; left hands are left out and said, frames without a hand are no grasps."""
    turn, shift, pose = Rotation.from_euler("xyz", [0.4, 0.1, -2]), np.array([0.1, 0.2, 0.9]), poses(mano, 1)
    world = pose.moved_by(torch.from_numpy(turn.as_matrix()), torch.from_numpy(shift))
    person = mano.with_shape([1.5])
    wrist = person.rest_wrist.double().numpy()
    model = mano.spec.model
    parts = np.linalg.solve(model.components.T, pose.joints[0].numpy() - model.mean)
    hand = np.concatenate(
        [Rotation.from_matrix(world.rotation[0]).as_rotvec(), parts, world.translation[0].numpy() - wrist]
    )
    folder = tmp_path / "20200709-subject-01" / "20200709_141754"
    meta = {"ycb_ids": [4, 14], "ycb_grasp_ind": 1, "mano_sides": ["right"], "mano_calib": ["x"]}
    for name, side in (("20200709_141754", "right"), ("20200709_150000", "left")):
        (folder.with_name(name) / "836212060125").mkdir(parents=True)
        (folder.with_name(name) / "meta.yml").write_text(yaml.safe_dump(meta | {"mano_sides": [side]}))
        y, m = np.tile([0.0, 0, 0, 1, 0, 0, 0], (5, 2, 1)), np.zeros((5, 1, 51))
        y[2:, 1], m[3:, 0] = np.concatenate([turn.as_quat(), shift]), hand
        np.savez(folder.with_name(name) / "pose.npz", pose_y=y, pose_m=m)
    (tmp_path / "calibration" / "mano_x").mkdir(parents=True)
    (tmp_path / "calibration" / "mano_x" / "mano.yml").write_text("betas: [1.5]")
    place = tmp_path
    if labels:
        matrix = np.concatenate([turn.as_matrix(), shift[:, None]], axis=1)
        place = folder / "836212060125" / "labels_000003.npz"
        np.savez(place, seg=0, pose_y=np.stack([0 * matrix, matrix]), pose_m=hand[None])
    (found,) = load_grasps(place, mano)
    assert (found.object, found.rows.tolist()) == ("025_mug", [3] if labels else [3, 4])
    assert ("1 recordings of left hands are left out" in caplog.text) == (not labels)
    for i in range(len(found)):
        torch.testing.assert_close(points(mano, found.pose[i : i + 1]), points(mano, pose), rtol=0, atol=1e-6)


def test_postures_of_a_file_come_to_the_grasps_that_are_measured(tmp_path, hand):
    """Through the chunks of an evaluation; where the data have none, NaN."""
    write_bench(tmp_path / "in", hand, part := grasps(hand, "mug", (0.08,) * 2))
    (found,) = load_grasps(tmp_path / "in", hand)
    box = trimesh.creation.box((1, 1, 1))
    for name, whole in (("with", found), ("without", found.moved_with(found.pose))):
        (chunk,) = plan_chunks([whole], {"mug": tmp_path / "in/mug/0.npy"}, Settings(), hand, tmp_path)
        posed = work._grasps(chunk, ObjectAsset.from_mesh(box))
        for step in ("pregrasp", "squeeze"):
            expected = getattr(part, step).joints if name == "with" else part.pose.joints * torch.nan
            torch.testing.assert_close(getattr(posed, step), expected, equal_nan=True)


def test_the_doctor_says_what_is_in_a_file(tmp_path, hand, capsys):
    write_bench(tmp_path / "in", hand, grasps(hand, "mug", (0.08, 0.1)))
    save_grasps(tmp_path / "a.npz", [grasps(hand, "can")], hand)
    for place, said in (
        (
            "in",
            r"format dexgraspbench, 2 grasps of 1 objects by shadow\n  mug: 2, scale 0.08 to 0.1, with pregrasp, sq",
        ),
        ("a.npz", r"format dexzoo, 3 grasps of 1 objects by shadow\n  can: 3, scale 1, with plane, pregrasp, squeeze"),
    ):
        assert status_of("doctor", f"grasps={tmp_path / place}") in (0, 1)  # joints at random may be too far
        assert re.search(said, capsys.readouterr().out)
    bent = grasps(hand, "can")
    bent.pose.joints[0] = torch.from_numpy(np.rad2deg(bent.pose.joints[0].numpy()))
    save_grasps(tmp_path / "a.npz", [bent], hand)
    assert status_of("doctor", f"grasps={tmp_path / 'a.npz'}") == 1
    assert "did you mean joints in degrees?" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"obj_path": "mug", "obj_scale": 0.1, "grasp_qpos": 0},
            "nearest is dexgraspbench, but key 'obj_pose' is missing$",
        ),
        ({"grasp_qpos": np.zeros(28)}, r"grasp_qpos: expected numbers of shape \(29\), found shape \(28,\)"),
        ({"obj_scale": -1.0}, "obj_scale of grasp 0: expected a positive number, found -1"),
        ({"approach_qpos": 0, "grasp_qpos": np.zeros(30)}, r"found a hand on an arm \(approach_qpos\)"),
        ({"squeeze_qpos": np.zeros((2, 29))}, "squeeze_qpos: expected 1 rows, as many as grasps, found 2"),
        ({"scene_path": "mug.npy"}, "scene_path: expected .*scale<hundredths>.npy, or a file that is there"),
    ],
)
def test_a_bad_file_of_dexgraspbench_is_named(entry, message, tmp_path, hand):
    whole = {"obj_path": "a/mug", "obj_pose": np.eye(7)[3], "obj_scale": 0.1, "grasp_qpos": np.eye(29)[3]}
    np.save(tmp_path / "0.npy", entry if "missing" in message else whole | entry, allow_pickle=True)
    with pytest.raises(GraspFileError, match=rf"0\.npy.*{message}"):
        load_grasps(tmp_path, hand)


def test_what_a_format_cannot_say_is_refused(tmp_path, hand, mano):
    part = grasps(hand, "mug", (0.1, 0.1))
    for format, changed, message in (
        ("multidex", part, "expected objects in metres for format 'multidex', found 'mug' with scale 0.1"),
        ("dga", replace(part, scale=part.scale * 20), "expected scales up to 1 for this format, found 2"),
        ("unidexgrasp", replace(part, plane=None), "expected grasps above a table for this format"),
        ("dexonomy", replace(part, scale=part.scale / 3), "expected scales of whole hundredths"),
        ("grabnet", replace(part, scale=torch.ones(2)), r"expected a hand with MANO's joints .*, found 'shadow'"),
        ("dexgraspnett", part, "format: no 'dexgraspnett'; did you mean 'dexgraspnet'"),
    ):
        with pytest.raises(GraspFileError, match=message):
            save_grasps(tmp_path / "x", [changed], hand, format)
    with pytest.raises(GraspFileError, match=r"expected objects of DexYCB, as .*, found 'mug'"):
        save_grasps(tmp_path / "x", [grasps(mano, "mug")], mano, "dexycb")
    save_grasps(tmp_path / "y", [grasps(mano, "025_mug")], mano, "dexycb")
    with pytest.raises(GraspFileError, match="expected MANO, whose components DexYCB holds, found 'mano_skeleton'"):
        load_grasps(tmp_path / "y", load_hand("mano_skeleton"))


def test_nothing_in_a_package_is_executed(tmp_path, hand):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    for name, write in (("a.pt", torch.save), ("b.pkl", lambda x, file: file.write_bytes(pickle.dumps(x)))):
        write({"metadata": [Evil()], "sample_qpos": Evil()}, tmp_path / name)
        with pytest.raises(UnsafePickleError, match="refused to load"):
            load_grasps(tmp_path / name, hand)
    (tmp_path / "c.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:300])
    with pytest.raises((BadFile, GraspFileError), match=r"c\.pt: .*damaged"):
        load_grasps(tmp_path / "c.pt", hand)
    assert not (tmp_path / "executed").exists()


def test_the_page_lists_every_format_and_every_key_that_is_written(tmp_path, hand):
    page = (Path(__file__).parents[2] / "docs/grasps.md").read_text()
    assert re.findall(r"^\| `(\w+)`[^|]* \| [^|]*\| [^|]*\| [^|]*\|$", page, re.M) == list(FORMATS)
    part = grasps(hand, "can")
    save_grasps(tmp_path / "a.npz", [replace(part, up=part.upwards("z"))], hand)
    assert [key for key in np.load(tmp_path / "a.npz").files if f"`{key}`" not in page] == []
