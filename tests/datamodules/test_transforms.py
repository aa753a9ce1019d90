"""Augmentation: turned scenes against forward kinematics, statistics of the noise, every kind of item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.observation import Observe
from dexzoo.datamodules.sensors import Cameras
from dexzoo.datamodules.transforms import Compose, HistoryNoise, Jitter, PerturbHand, Yaw
from dexzoo.datamodules.types import GraspBatch, GraspSample, MotionSample
from dexzoo.datamodules.windows import ClipStore, WindowDataset
from dexzoo.files.errors import DataError
from dexzoo.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from dexzoo.hands import Hand, HandPose, load_hand


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return load_hand("shadow").double()


def grasps(n: int, joints: int, **more: Any) -> GraspBatch:
    pose = HandPose(0.1 * draw(n, 3), rotvec_to_rotmat(draw(n, 3, seed=8)), 0.3 * draw(n, joints, seed=9), "shadow")
    names = tuple(map(str, range(n)))
    fields: dict[str, Any] = {
        "scale": torch.ones(n),
        "names": names,
        "objects": names,
        "meshes": (Path("a.obj"),) * n,
    } | more
    return GraspBatch(pose, 0.05 * draw(n, 40, 3, seed=10) + 0.2, **fields)


def angle_of(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Rotation vectors (B, 3) of the motions that took clouds (B, N, 3) along, by scipy's solution of Kabsch."""
    pairs = zip(before - before.mean(1, keepdim=True), after - after.mean(1, keepdim=True), strict=True)
    turns = [Rotation.align_vectors(b.numpy(), a.numpy())[0].as_rotvec() for a, b in pairs]
    return torch.from_numpy(np.array(turns))


class TestYaw:
    def test_hand_and_object_turn_together(self, hand: Hand) -> None:
        """Keypoints of the moved pose are the moved keypoints, so every distance to the cloud stays."""
        batch = grasps(6, hand.num_joints)
        moved = Yaw()(batch, seeded())
        before, after = (hand.keypoints(hand.forward_kinematics(b.pose)) for b in (batch, moved))
        turns = angle_of(batch.object_points, moved.object_points)
        assert turns[:, :2].abs().max() < 1e-9
        assert turns[:, 2].abs().min() > 0.01
        for i in range(6):
            turn = torch.from_numpy(Rotation.from_rotvec(turns[i].numpy()).as_matrix())
            centre = batch.object_points[i].mean(0)
            torch.testing.assert_close(after[i], (before[i] - centre) @ turn.T + centre, atol=1e-12, rtol=0)
        gaps = [
            torch.linalg.vector_norm(k[:, :, None] - p[:, None], dim=-1)
            for k, p in zip((before, after), (batch.object_points, moved.object_points), strict=True)
        ]
        torch.testing.assert_close(*gaps, atol=1e-12, rtol=0)
        torch.testing.assert_close(moved.object_points.mean(1), batch.object_points.mean(1))
        assert torch.equal(moved.pose.joints, batch.pose.joints)

    def test_the_file_of_the_mesh_is_dropped_since_it_does_not_turn(self) -> None:
        batch = grasps(2, 3)
        assert Yaw()(batch, seeded()).meshes == (None, None)
        sample = GraspSample("a", "a", batch.pose[0], batch.object_points[0], mesh=Path("a.obj"))
        assert Yaw()(sample, seeded()).mesh is None

    def test_a_sample_turns_like_the_batch_of_it(self) -> None:
        batch = grasps(1, 3)
        sample = GraspSample("a", "a", batch.pose[0], batch.object_points[0])
        one, many = Yaw()(sample, seeded(4)), Yaw()(batch, seeded(4))
        torch.testing.assert_close(one.object_points, many.object_points[0])
        torch.testing.assert_close(one.pose.rotation, many.pose.rotation[0])
        torch.testing.assert_close(one.pose.translation, many.pose.translation[0])

    def test_angles_are_uniform(self) -> None:
        batch = grasps(2000, 1)
        turns = angle_of(batch.object_points, Yaw(1.0)(batch, seeded()).object_points)[:, 2]
        assert turns.abs().max() <= 1.0
        quartiles = turns.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
        torch.testing.assert_close(quartiles, torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64), atol=0.06, rtol=0)

    def test_about_another_vertical_and_about_the_tables_normal(self) -> None:
        normals = torch.nn.functional.normalize(draw(3, 3), dim=1)
        plane = torch.cat([normals, draw(3, 1)], dim=1)
        batch = grasps(3, 3, plane=plane)
        moved = Yaw()(batch, seeded())
        turns = angle_of(batch.object_points, moved.object_points)
        assert torch.linalg.cross(turns, normals).abs().max() < 1e-9
        height = [(b.object_points * normals[:, None]).sum(-1) for b in (batch, moved)]
        torch.testing.assert_close(*height)  # so the plane is the table still
        turns = angle_of(batch.object_points, Yaw(up=(0, 2, 0))(replace(batch, plane=None), seeded()).object_points)
        assert turns[:, [0, 2]].abs().max() < 1e-9

    def test_motions_turn_as_a_whole(self, make_sample: Callable[..., MotionSample]) -> None:
        store = ClipStore.of([make_sample("mug", 9, n_points=30), make_sample("jar", 12, 1, n_points=30)])
        plain = WindowDataset(store, 3).__getitems__([0, 5, 11])
        turned = Yaw()(plain, seeded())
        turns = angle_of(plain.object_points.double(), turned.object_points.double())
        for name in ("past", "future", "goal"):
            before, after = getattr(plain, name), getattr(turned, name)
            for i in range(3):
                turn = torch.from_numpy(Rotation.from_rotvec(turns[i].numpy()).as_matrix()).float()
                centre = plain.object_points[i].mean(0)
                expected = (before.translation[i] - centre) @ turn.T + centre
                torch.testing.assert_close(after.translation[i], expected, atol=1e-5, rtol=0)
                torch.testing.assert_close(after.rotation[i], turn @ before.rotation[i], atol=1e-5, rtol=0)
        assert turned.past.translation.dtype == torch.float32
        assert torch.equal(turned.time_to_go, plain.time_to_go)

    def test_whole_clips_take_their_meshes_along(self, make_sample: Callable[..., MotionSample]) -> None:
        """A clip turned as a sample gives the batch that turning the batch gives; its object is placed anew."""
        sample = replace(make_sample("mug", 9, n_points=30), mesh=Path("a.obj"))
        clips = ClipStore.of([sample]).clips([0])
        turned = Yaw()(clips, seeded(2))
        one = ClipStore.of([Yaw()(sample, seeded(2))]).clips([0])
        for name in ("object_points", "object_rotation", "object_translation"):
            torch.testing.assert_close(getattr(turned, name), getattr(one, name), atol=1e-5, rtol=0)
        torch.testing.assert_close(turned.pose.translation, one.pose.translation, atol=1e-5, rtol=0)
        torch.testing.assert_close(turned.goal.rotation, one.goal.rotation, atol=1e-5, rtol=0)
        assert turned.meshes == (Path("a.obj"),)
        local = [c.pose.translation[0, -1] - c.object_translation[0] for c in (clips, turned)]
        seen = [
            rotation[0].T @ x
            for rotation, x in zip((clips.object_rotation, turned.object_rotation), local, strict=True)
        ]
        torch.testing.assert_close(*seen, atol=1e-5, rtol=0)
        assert (turned.object_rotation - clips.object_rotation).abs().max() > 0.01


class TestJitter:
    def test_its_statistics(self) -> None:
        batch = grasps(50, 3)
        offset = Jitter(0.002)(batch, seeded()).object_points - batch.object_points
        assert float(offset.std()) == pytest.approx(0.002, rel=0.03)
        assert float(offset.mean()) == pytest.approx(0, abs=1e-4)
        clipped = Jitter(0.002, 0.003)(batch, seeded()).object_points - batch.object_points
        torch.testing.assert_close(clipped, offset.clamp(-0.003, 0.003))
        assert (offset.abs() > 0.003).any()


class TestPerturbHand:
    def test_its_statistics(self) -> None:
        batch = grasps(4000, 5)
        moved = PerturbHand(0.01, 0.05, 0.1)(batch, seeded()).pose
        assert float((moved.translation - batch.pose.translation).std()) == pytest.approx(0.01, rel=0.03)
        assert float((moved.joints - batch.pose.joints).std()) == pytest.approx(0.1, rel=0.03)
        turn = rotmat_to_rotvec(batch.pose.rotation.mT @ moved.rotation)  # in the palm's frame
        assert float(turn.std()) == pytest.approx(0.05, rel=0.03)
        own = Rotation.from_matrix(moved.rotation.numpy()).as_matrix()
        torch.testing.assert_close(moved.rotation, torch.from_numpy(own))
        assert moved.hand == "shadow"
        upright = replace(batch.pose, rotation=torch.eye(3, dtype=torch.float64).expand(4000, 3, 3))
        same = PerturbHand(0.01, 0.05, 0.1)(replace(batch, pose=upright), seeded()).pose.rotation
        torch.testing.assert_close(moved.rotation, batch.pose.rotation @ same)

    def test_by_default_nothing_moves(self) -> None:
        batch = grasps(3, 5)
        moved = PerturbHand()(batch, seeded()).pose
        torch.testing.assert_close(moved.rotation, batch.pose.rotation)
        assert torch.equal(moved.translation, batch.pose.translation)

    def test_the_goal_of_motions(self, make_sample: Callable[..., MotionSample]) -> None:
        store = ClipStore.of([make_sample("mug", 9)])
        plain = WindowDataset(store, 3).__getitems__([0, 5])
        moved = PerturbHand(0.01, field="goal")(plain, seeded())
        assert (moved.goal.translation != plain.goal.translation).all()
        assert torch.equal(moved.past.translation, plain.past.translation)
        message = r"field: expected a hand pose of MotionBatch, \['past', 'goal', 'future'\], found 'pose'"
        with pytest.raises(DataError, match=message):
            PerturbHand(0.01)(plain, seeded())


class TestCompose:
    steps = (PerturbHand(0.01), Jitter(), Yaw(), Observe(24, Cameras(distance=(3, 3))))

    def test_it_applies_them_in_order_with_one_generator(self) -> None:
        batch, generator = grasps(3, 4), seeded(5)
        whole = Compose(self.steps)(batch, seeded(5))
        for step in self.steps:
            batch = step(batch, generator)
        assert torch.equal(whole.object_points, batch.object_points)
        assert torch.equal(whole.pose.translation, batch.pose.translation)
        assert whole.object_points.shape == (3, 24, 3)

    def test_the_same_seed_repeats_it_and_leaves_its_input_alone(self) -> None:
        batch = grasps(3, 4)
        points, places = batch.object_points.clone(), batch.pose.translation.clone()
        first, again, other = (Compose(self.steps)(batch, seeded(s)) for s in (1, 1, 2))
        assert torch.equal(first.object_points, again.object_points)
        assert torch.equal(first.pose.rotation, again.pose.rotation)
        assert not torch.equal(first.object_points, other.object_points)
        assert torch.equal(batch.object_points, points)
        assert torch.equal(batch.pose.translation, places)

    def test_it_fits_into_windows(self, make_sample: Callable[..., MotionSample]) -> None:
        store = ClipStore.of([make_sample("mug", 9, n_points=30)])
        steps = Compose([HistoryNoise(0.01), Yaw(), Jitter(0.001), Observe(24, Cameras(distance=(9, 9)))])
        first, again = (WindowDataset(store, 3, transforms=[steps]).__getitems__([0, 3]) for _ in range(2))
        assert first.object_points.shape == (2, 24, 3)
        assert torch.equal(first.object_points, again.object_points)
        assert torch.equal(first.past.translation, again.past.translation)

    def test_none_is_no_change(self) -> None:
        batch = grasps(3, 4)
        assert Compose()(batch, seeded()) is batch


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Yaw(4.0), "largest: expected an angle from 0 to pi, found 4.0"),
        (lambda: Yaw(up=(0, 0)), r"up: expected a nonzero vector of 3, found \[0, 0\]"),
        (lambda: Jitter(-1), "std: expected a length >= 0, found -1"),
        (lambda: Jitter(largest=-0.1), "largest: expected a length >= 0, found -0.1"),
        (lambda: PerturbHand(rotation_std=-1), "rotation_std: expected a standard deviation >= 0, found -1"),
    ],
)
def test_bad_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()
