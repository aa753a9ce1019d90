"""The doctor: its numbers against closed forms, its verdicts on trees that are right and on trees broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.doctor import Examined, Level, measure
from dexzoo.datamodules.doctor.causes import MENDS
from dexzoo.datamodules.doctor.examine import Body, spread
from dexzoo.datamodules.doctor.findings import (
    OPTIMISED,
    judge_distance,
    judge_doubts,
    judge_limits,
    judge_rate,
    judge_size,
    judge_tips,
    touching,
)
from dexzoo.hands import HandPose, load_hand

HAND = load_hand("shadow")


# ------------------------------------------------------------------------------------------------------------ numbers


def hands_at_spheres(path: Path, n: int = 3) -> Examined:
    """Hands at random beside a sphere of radius 1 unit; scales of some centimetres."""
    generator = torch.Generator().manual_seed(3)
    trimesh.creation.icosphere(subdivisions=5, radius=1.0).export(path)
    turns = torch.from_numpy(Rotation.from_rotvec(np.random.default_rng(1).normal(size=(2 * n, 3))).as_matrix()).float()
    joints = HAND.lower + torch.rand(n, HAND.num_joints, generator=generator) * (HAND.upper - HAND.lower)
    centre = 0.05 * torch.randn(n, 3, generator=generator)
    palm = torch.tensor([0.0, -0.05, 0.07])  # from the hand's origin to a place before its palm
    return Examined(
        names=tuple(map(str, range(n))),
        objects=("ball",) * n,
        pose=HandPose(centre - turns[:n] @ palm, turns[:n], joints, "shadow"),
        rotation=turns[n:],
        translation=centre,
        scale=torch.tensor([0.03, 0.05, 0.02])[:n],
        meshes=(path,) * n,
        bodies=(Body.of(HAND),) * n,
    )


class TestMeasure:
    def test_distances_to_a_sphere_are_those_to_its_centre_less_the_radius(self, tmp_path: Path) -> None:
        examined = hands_at_spheres(tmp_path / "ball.obj")
        found = measure(examined)
        surface = HAND.surface(1500)
        points = HAND.place(HAND.forward_kinematics(examined.pose), surface)
        radius = examined.scale[:, None]
        exact = ((points - examined.translation[:, None]).norm(dim=-1) - radius).numpy()
        assert exact.min(axis=1).max() < 0.03  # nearer than where only the bounding box is looked at
        np.testing.assert_allclose(found.distance, exact.min(axis=1), atol=5e-5)
        for f, finger in enumerate(("ff", "mf", "rf", "lf", "th")):
            tip = exact[:, surface.link.numpy() == HAND.link_names.index(f"{finger}distal")].min(axis=1)
            near = tip < 0.01
            np.testing.assert_allclose(found.tips[near, f], tip[near], atol=5e-5)
            assert (found.tips[~near, f] <= tip[~near] + 5e-5).all()  # a lower bound farther away
        np.testing.assert_allclose(found.size, 2 * examined.scale, rtol=1e-3)

    def test_a_motion_of_the_world_changes_nothing(self, tmp_path: Path) -> None:
        """Objects with no symmetry, so that the rotation of each counts."""
        examined = hands_at_spheres(tmp_path / "ball.obj")
        trimesh.creation.box((1.0, 2.0, 3.0)).export(tmp_path / "box.obj")
        examined = replace(examined, meshes=(tmp_path / "box.obj",) * 3)
        turn = torch.from_numpy(Rotation.from_rotvec([0.3, -1.0, 0.8]).as_matrix()).float()
        shift = torch.tensor([0.4, -0.2, 1.0])
        moved = replace(
            examined,
            pose=examined.pose.moved_by(turn, shift),
            rotation=turn @ examined.rotation,
            translation=examined.translation @ turn.T + shift,
        )
        before, after = measure(examined), measure(moved)
        np.testing.assert_allclose(before.distance, after.distance, atol=2e-6)
        np.testing.assert_allclose(before.tips, after.tips, atol=2e-6)
        turned_back = measure(replace(examined, rotation=examined.rotation.mT))
        assert np.abs(turned_back.tips - before.tips).max() > 1e-3

    def test_grasps_in_wrong_units_are_named_and_counted(self, tmp_path: Path) -> None:
        """Positions of hand and object in millimetres, or joints in degrees."""
        examined = hands_at_spheres(tmp_path / "ball.obj")
        assert measure(examined).doubts.count == 0
        pose, at = examined.pose, 1000 * examined.translation
        far = replace(examined, pose=replace(pose, translation=1000 * pose.translation), translation=at)
        bent = replace(examined, pose=replace(pose, joints=pose.joints.rad2deg()))
        for wrong, words in ((far, "translations in millimetres"), (bent, "joints in degrees")):
            doubts = measure(wrong).doubts
            assert doubts.count == 3
            assert f"did you mean {words}? If so, 3 of them" in doubts.messages()[-1]
            assert judge_doubts(doubts).level is Level.BAD

    def test_excess_is_counted_joint_by_joint(self, tmp_path: Path) -> None:
        examined = hands_at_spheres(tmp_path / "ball.obj")
        joints = examined.pose.joints.clone()
        joints[0, 2], joints[1, 5] = HAND.upper[2] + 0.25, HAND.lower[5] - 0.125
        found = measure(replace(examined, pose=replace(examined.pose, joints=joints)))
        expected = np.zeros((3, HAND.num_joints))
        expected[0, 2], expected[1, 5] = 0.25, 0.125
        np.testing.assert_allclose(found.excess, expected, atol=1e-6)

    @pytest.mark.slow
    def test_a_mesh_that_is_open_is_measured_and_noted_and_one_that_is_none_is_named(self, tmp_path: Path) -> None:
        examined = hands_at_spheres(tmp_path / "ball.obj")
        mesh = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
        mesh.update_faces(np.arange(len(mesh.faces)) > 20)
        mesh.export(tmp_path / "open.obj")
        (tmp_path / "none.obj").write_text("v 0 0 0\n")
        files = (tmp_path / "ball.obj", tmp_path / "open.obj", tmp_path / "none.obj")
        found, whole = measure(replace(examined, meshes=files)), measure(examined)
        assert np.isnan(found.distance).tolist() == [False, False, True]
        np.testing.assert_allclose(found.distance[:2], whole.distance[:2], atol=1e-4)
        assert [message.split(":")[0] for message in found.open_meshes] == [str(files[1])]
        assert [message.split(":")[0] for message in found.bad_meshes] == [str(files[2])]


@pytest.mark.parametrize("n", [0, 1, 5, 12, 13, 1000])
def test_spread_takes_the_first_and_the_last_and_none_twice(n: int) -> None:
    rows = spread(n, 12)
    assert len(rows) == len(set(rows)) == min(n, 12)
    assert not n or (rows[0], rows[-1]) == (0, n - 1)
    assert np.ptp(np.diff(rows)) <= 1 if n > 1 else True


# ----------------------------------------------------------------------------------------------------------- verdicts


class TestVerdicts:
    @pytest.mark.parametrize(
        ("inside", "level"), [(10, Level.GOOD), (9, Level.GOOD), (7, Level.DOUBTFUL), (5, Level.BAD)]
    )
    def test_distance(self, inside: int, level: Level) -> None:
        distance = np.array([-0.001] * inside + [0.03] * (10 - inside) + [np.nan])
        found = judge_distance(distance, OPTIMISED)
        assert found.level is level
        assert f"{10 * inside}% in the window" in found.value
        assert judge_distance(distance, OPTIMISED, 0.05).level is Level.GOOD  # with the margin of a generic skeleton

    def test_a_fingertip_deep_inside_does_not_touch(self) -> None:
        tips = np.array([[0.004, 0.006, -0.009, -0.011, 0.0], [0.004] * 5])
        assert touching(tips, OPTIMISED).tolist() == [3, 5]
        assert touching(tips, OPTIMISED, 0.002).tolist() == [5, 5]

    @pytest.mark.parametrize(("count", "level"), [(3, Level.GOOD), (2, Level.DOUBTFUL), (1, Level.BAD)])
    def test_fingertips(self, count: int, level: Level) -> None:
        row = [0.001] * count + [0.04] * (5 - count)
        found = judge_tips(np.array([row, row, [np.nan] * 5]), OPTIMISED)
        assert (found.level, found.value) == (level, f"{count}.00 of 5 on average")

    def test_limits(self) -> None:
        excess = np.zeros((4, 2))
        assert judge_limits(excess, ("a", "b")).level is Level.GOOD
        excess[:3, 1] = 0.05
        found = judge_limits(excess, ("a", "b"))
        assert found.level is Level.DOUBTFUL
        assert "75% of the grasps by more than 0.01 rad, 0% by more than 0.1; the worst is b, by 0.05" in found.value
        excess[:3, 0] = 0.2
        assert judge_limits(excess, ("a", "b")).level is Level.BAD

    def test_sizes_and_rates(self) -> None:
        assert judge_size(np.array([0.1, np.nan, 0.2])).level is Level.GOOD
        assert judge_size(np.array([100.0, 120.0, 0.1])).level is Level.BAD
        assert judge_rate(np.array([30.0, 30.1])).level is Level.GOOD
        assert judge_rate(np.array([15.0, 30.0])).level is Level.DOUBTFUL
        assert judge_rate(np.array([0.03, 0.03])).level is Level.BAD

    def test_each_mistake_and_its_opposite_cancel(self, tmp_path: Path) -> None:
        """Where both are in the table; and none leaves a grasp of no symmetry as it was."""
        examined = hands_at_spheres(tmp_path / "ball.obj")
        names = list(MENDS)
        pairs = [(a, b) for a in names for b in names if a != b and a.split(" are ")[0] == b.split(" are ")[0]]
        pairs = [(a, b) for a, b in pairs if "quaternions" in a]
        assert len(pairs) == 4
        for a, b in pairs:
            both = MENDS[b](MENDS[a](examined))
            torch.testing.assert_close(both.rotation, examined.rotation, atol=1e-6, rtol=0)
            torch.testing.assert_close(both.pose.rotation, examined.pose.rotation, atol=1e-6, rtol=0)
        for name in names:
            changed = MENDS[name](examined)
            parts = (changed.rotation, changed.pose.rotation, changed.pose.translation, changed.scale)
            before = (examined.rotation, examined.pose.rotation, examined.pose.translation, examined.scale)
            assert not all(torch.allclose(x, y) for x, y in zip(parts, before, strict=True)), name
