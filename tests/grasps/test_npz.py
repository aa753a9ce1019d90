"""The grasp format of dexzoo: round trips and errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dexzoo.grasps.files import GraspFileError, load_grasps, save_grasps
from dexzoo.hands import load_hand
from tests.grasps.test_files import RNG, grasp_set, write_changed


class TestDexzoo:
    def test_round_trip_is_exact(self, tmp_path, hand):
        sets = [grasp_set(hand, "can", 3), grasp_set(hand, "sem/Car-1", 2, plane=True)]
        sets[0].pose.joints[1, 2] = torch.nan
        save_grasps(tmp_path / "new" / "g.npz", sets, hand)
        found = load_grasps(tmp_path / "new", hand)
        assert [part.object for part in found] == ["can", "sem/Car-1"]
        for a, b in zip(sets, found, strict=True):
            for x, y in ((a.scale, b.scale), (a.rows, b.rows), *((getattr(a.pose, n), getattr(b.pose, n)) for n in
                         ("translation", "rotation", "joints"))):  # fmt: skip
                torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)
        assert found[0].plane is None
        assert torch.equal(found[1].plane, sets[1].plane)
        with np.load(tmp_path / "new" / "g.npz", allow_pickle=False) as file:
            assert (int(file["version"]), str(file["hand"])) == (1, "shadow")

    def test_joints_are_matched_by_name_and_grasps_by_object(self, tmp_path, hand):
        sets, order = [grasp_set(hand, "a"), grasp_set(hand, "b")], RNG.permutation(hand.num_joints)
        save_grasps(tmp_path / "g.npz", sets, hand)
        arrays, mixed = dict(np.load(tmp_path / "g.npz")), [3, 0, 4, 1, 5, 2]
        arrays |= {"joint_names": arrays["joint_names"][order], "joints": arrays["joints"][:, order]}
        arrays |= {key: arrays[key][mixed] for key in ("object", "translation", "rotation", "joints", "scale")}
        del arrays["row"]
        np.savez(tmp_path / "g.npz", **{key: arrays[key] for key in reversed(arrays)})
        a, b = load_grasps(tmp_path / "g.npz", hand)
        assert (a.rows.tolist(), b.rows.tolist()) == ([1, 3, 5], [0, 2, 4])
        assert torch.equal(a.pose.joints, sets[0].pose.joints)
        assert torch.equal(b.pose.translation, sets[1].pose.translation)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x.pop("scale"), r"g\.npz: missing key 'scale'; available: .*translation"),
            (lambda x: x.update(version=np.array(2)), "version: expected 1, found 2"),
            (lambda x: x.update(hand=np.array("mano")), "hand: expected 'shadow', found 'mano'"),
            (lambda x: x["joint_names"].put(3, "FFJ9"), r"joint_names: .*'shadow', found 'FFJ9'; did you mean 'FFJ"),
            (lambda x: x["joint_names"].put(0, "FFJ2"), "found 'FFJ2' twice"),
            (
                lambda x: x.update(joint_names=x["joint_names"][:-1], joints=x["joints"][:, :-1]),
                r"joint_names: .*found no '\w+'; did you mean",
            ),
            (
                lambda x: x.update(joints=x["joints"][:, :5]),
                r"joints: .*of shape \(3, 22\), found float64 of shape \(3, 5",
            ),
            (lambda x: x.update(object=np.ones(3)), r"object: expected whole numbers of shape \(any\), found float64"),
            (lambda x: x.update(object=np.array([0, 0, 4])), "object: expected numbers from 0 to 0, found 4"),
            (lambda x: x.update(object=np.zeros(0, int)), "object: expected at least one grasp, found none"),
            (
                lambda x: x.update(rotation=2 * x["rotation"]),
                "rotation: expected rotation matrices, found .* at grasp 0",
            ),
            (lambda x: x.update(rotation=-x["rotation"]), "rotation: expected rotation matrices"),
            (lambda x: x.update(scale=x["scale"] * [1, 0, 1]), "scale of grasp 8: expected a positive number, found 0"),
            (lambda x: x.update(objects=np.array([{}])), "expected an .npz of plain arrays, found a damaged file"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path, hand, change, message):
        path = write_changed(tmp_path / "g.npz", hand, change)
        with pytest.raises(GraspFileError, match=message):
            load_grasps(path, hand, "dexzoo")

    @pytest.mark.parametrize("kept", [4, 0.5, 0.97])
    def test_a_truncated_file_is_named(self, tmp_path, hand, kept):
        save_grasps(tmp_path / "g.npz", [grasp_set(hand)], hand)
        data = (tmp_path / "g.npz").read_bytes()
        (tmp_path / "g.npz").write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
        with pytest.raises(GraspFileError, match=r"g\.npz: expected an \.npz of plain arrays, found a damaged"):
            load_grasps(tmp_path / "g.npz", hand, "dexzoo")

    def test_bits_turned_in_a_file_are_noticed(self, tmp_path, hand):
        save_grasps(tmp_path / "g.npz", [grasp_set(hand)], hand)
        data = bytearray((tmp_path / "g.npz").read_bytes())
        for i in range(len(data) // 3, len(data) // 2):
            data[i] ^= 255
        (tmp_path / "g.npz").write_bytes(data)
        with pytest.raises(GraspFileError, match=r"g\.npz"):
            load_grasps(tmp_path / "g.npz", hand, "dexzoo")

    def test_what_cannot_be_written_is_refused(self, tmp_path, hand):
        with pytest.raises(GraspFileError, match="at least one set"):
            save_grasps(tmp_path / "g.npz", [], hand)
        with pytest.raises(GraspFileError, match="object 'can': expected one set of grasps, found two"):
            save_grasps(tmp_path / "g.npz", [grasp_set(hand), grasp_set(hand)], hand)
        with pytest.raises(GraspFileError, match="expected grasps of hand 'shadow_e3m5', found ones of 'shadow'"):
            save_grasps(tmp_path / "g.npz", [grasp_set(hand)], load_hand("shadow_e3m5"))
        assert not list(tmp_path.iterdir())

    def test_one_object_in_two_files_is_refused(self, tmp_path, hand):
        for name in ("a", "b"):
            save_grasps(tmp_path / f"{name}.npz", [grasp_set(hand)], hand)
        with pytest.raises(GraspFileError, match=r"object 'can': .*found two: .*a\.npz and .*b\.npz"):
            load_grasps(tmp_path, hand)
