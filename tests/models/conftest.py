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


EQUAL = (21,) * 6
UNEQUAL = (21, 24, 15, 18, 21, 16)
"""Frames of the six clips: a batch of them is padded."""


def make_clips(hand, generator, lengths=EQUAL):
    """Six straight reaches of so many frames with one known progress curve, u^2."""
    start, goal = random_pose(hand, 6, generator=generator), random_pose(hand, 6, generator=generator)
    cloud = 0.05 * torch.randn(256, 3, generator=generator)
    return [
        MotionSample(
            name=f"clip{i}",
            object="ball",
            recording=f"clip{i}",
            pose=start[i, None].interpolate(goal[i, None], torch.linspace(0, 1, n) ** 2),
            goal=goal[i],
            fps=30.0,
            object_points=cloud,
            object_rotation=torch.eye(3).expand(n, 3, 3),
            object_translation=torch.zeros(n, 3),
        )
        for i, n in enumerate(lengths)
    ]


def make_windows(clips):
    """Eight windows of the six clips."""
    index = [(i % 6, 3 + 2 * i) for i in range(8)]
    end = [len(clips[c].pose.joints) - 1 for c, _ in index]

    def frames(first, last):
        times = (torch.arange(t + first, t + last) for _, t in index)
        parts = zip(index, times, end, strict=True)
        return HandPose.stack([clips[c].pose[time.clamp(0, e)] for (c, _), time, e in parts])

    return MotionBatch(
        past=frames(1 - PAST, 1),
        future=frames(1, FUTURE + 1),
        goal=HandPose.stack([clips[c].goal for c, _ in index]),
        object_points=torch.stack([clips[c].object_points for c, _ in index]),
        time_to_go=torch.tensor([float(e - t) for (_, t), e in zip(index, end, strict=True)]),
        fps=torch.full((8,), 30.0),
        valid=torch.tensor([[t + k <= e for k in range(1, FUTURE + 1)] for (_, t), e in zip(index, end, strict=True)]),
        clip=torch.tensor([c for c, _ in index]),
    )


@pytest.fixture
def equal_clips(hand, generator):
    return make_clips(hand, generator)


@pytest.fixture
def clips(hand, generator):
    return make_clips(hand, generator, UNEQUAL)


@pytest.fixture
def batch(clips):
    return make_windows(clips)
