"""Depth of a ball that flies through boxes that move, against the closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.grasps.asset import ObjectAsset
from dexzoo.hands import HandPose
from dexzoo.metrics.object_depth import motion_penetration

from .small_hands import ball, fixed_hand, pose_at

RADIUS = 0.02


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    return fixed_hand(tmp_path_factory.mktemp("hand"), ball((0, 0, 0), RADIUS))


@pytest.fixture(scope="module")
def boxes():
    """Edges of 20 cm and of 30 cm."""
    return [ObjectAsset.from_mesh(trimesh.creation.box([edge] * 3), f"box{edge}") for edge in (0.2, 0.3)]


def clip(hand, depths, half, seed):
    """The ball's centre above the upper face of a box that turns and wanders, so that it is so deep in each frame."""
    rng = np.random.default_rng(seed)
    frames = len(depths)
    rotation = torch.from_numpy(Rotation.random(frames, rng=rng).as_matrix())
    translation = torch.from_numpy(rng.normal(size=(frames, 3)))
    local = torch.tensor([[0.01, -0.02, half + RADIUS - depth] for depth in depths], dtype=torch.float64)
    world = (rotation @ local[:, :, None])[..., 0] + translation
    return pose_at(hand, world), rotation, translation


def test_depths_are_those_of_the_closed_form_at_every_second_frame_from_the_last(hand, boxes):
    depths = ([0.015, 0.004, 0.012, 0.001, 0.003], [-0.05, -0.001, -0.02], [0.006, 0.013, 0.002, 0.005], [0.01] * 3)
    halves, objects = (0.1, 0.15, 0.1, 0.1), (boxes[0], boxes[1], boxes[0], None)
    poses, rotations, translations = zip(
        *(clip(hand, d, half, seed) for seed, (d, half) in enumerate(zip(depths, halves, strict=True))), strict=True
    )
    found = motion_penetration(hand, poses, rotations, translations, objects, stride=2)
    # counted back from the last frame: 0 2 4 of five, 0 2 of three, 1 3 of four; depth 0.013 is in between
    assert found["penetration_cm"][:3].tolist() == pytest.approx([0.3, 0, 0.5], abs=2e-3)
    assert found["penetration_max_cm"][:3].tolist() == pytest.approx([1.5, 0, 1.3], abs=2e-3)
    assert all(column[3].isnan() for column in found.values())
    everything = motion_penetration(hand, poses, rotations, translations, objects, stride=1)
    assert everything["penetration_max_cm"][:3].tolist() == pytest.approx([1.5, 0, 1.3], abs=2e-3)


def test_a_frame_that_is_left_out_does_not_count(hand, boxes):
    pose, rotation, translation = clip(hand, [0.001, 0.019, 0.002], 0.1, 0)
    found = [motion_penetration(hand, [pose], [rotation], [translation], boxes[:1], stride=n) for n in (1, 2)]
    assert [f["penetration_max_cm"].item() for f in found] == pytest.approx([1.9, 0.2], abs=2e-3)


def test_a_pose_that_is_not_finite_gives_nan_and_an_empty_clip_too(hand, boxes):
    pose, rotation, translation = clip(hand, [0.001, 0.019], 0.1, 0)
    bad = HandPose(pose.translation.clone(), pose.rotation, pose.joints, pose.hand)
    bad.translation[0] = torch.nan
    empty = pose[:0]
    found = motion_penetration(
        hand,
        [pose, bad, empty],
        [rotation, rotation, rotation[:0]],
        [translation, translation, translation[:0]],
        [boxes[0]] * 3,
        stride=1,
    )
    assert found["penetration_cm"][:2].tolist() == pytest.approx([1.9, 1.9], abs=2e-3)
    assert found["penetration_max_cm"].isnan().tolist() == [False, True, True]
    assert found["penetration_cm"][2].isnan()


def test_wrong_arguments_are_named(hand, boxes):
    pose, rotation, translation = clip(hand, [0.001, 0.019], 0.1, 0)
    with pytest.raises(ValueError, match="expected as many of each, found 1, 1, 1 and 2"):
        motion_penetration(hand, [pose], [rotation], [translation], boxes)
    with pytest.raises(ValueError, match="clip 0: expected the object's pose at all 2 frames, found 1 rotations and 2"):
        motion_penetration(hand, [pose], [rotation[:1]], [translation], boxes[:1])
    with pytest.raises(ValueError, match="stride: expected 1 or more, found 0"):
        motion_penetration(hand, [pose], [rotation], [translation], boxes[:1], stride=0)
