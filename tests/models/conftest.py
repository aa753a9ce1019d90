"""A small random reach and windows on it, for every model test."""

import pytest
import torch

from dexzoo.datamodules.types import FUTURE, PAST, MotionBatch, MotionSample
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands import load_hand
from dexzoo.hands.pose import HandPose


@pytest.fixture(scope="session")
def hand():
    return load_hand("shadow")


def random_pose(hand, *shape, generator, spread=0.2):
    """Poses within the joint limits, palms within `spread` metres of the origin."""
    share = torch.rand(*shape, hand.num_joints, generator=generator)
    return HandPose(
        spread * torch.randn(*shape, 3, generator=generator),
        rotvec_to_rotmat(0.7 * torch.randn(*shape, 3, generator=generator)),
        hand.lower + share * (hand.upper - hand.lower),
        hand.name,
    )


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def make_clips(hand, generator):
    """Six straight reaches of 21 frames with one known progress curve, u^2."""
    start, goal = random_pose(hand, 6, generator=generator), random_pose(hand, 6, generator=generator)
    progress = torch.linspace(0, 1, 21) ** 2
    pose = start[:, None].interpolate(goal[:, None], progress.expand(6, -1))
    cloud = 0.05 * torch.randn(256, 3, generator=generator)
    return [
        MotionSample(
            name=f"clip{i}",
            object="ball",
            recording=f"clip{i}",
            pose=pose[i],
            goal=goal[i],
            fps=30.0,
            object_points=cloud,
            object_rotation=torch.eye(3).expand(21, 3, 3),
            object_translation=torch.zeros(21, 3),
        )
        for i in range(6)
    ]


def make_windows(clips):
    """Eight windows of the six clips."""
    index = [(i % 6, 3 + 2 * i) for i in range(8)]

    def frames(first, last):
        return HandPose.stack([clips[c].pose[torch.arange(t + first, t + last).clamp(0, 20)] for c, t in index])

    return MotionBatch(
        past=frames(1 - PAST, 1),
        future=frames(1, FUTURE + 1),
        goal=HandPose.stack([clips[c].goal for c, _ in index]),
        object_points=torch.stack([clips[c].object_points for c, _ in index]),
        time_to_go=torch.tensor([20.0 - t for _, t in index]),
        fps=torch.full((8,), 30.0),
        valid=torch.tensor([[t + k <= 20 for k in range(1, FUTURE + 1)] for _, t in index]),
        clip=torch.tensor([c for c, _ in index]),
    )


@pytest.fixture
def clips(hand, generator):
    return make_clips(hand, generator)


@pytest.fixture
def batch(clips):
    return make_windows(clips)
