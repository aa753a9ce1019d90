"""Grasps of the jar, as they are and pushed into it; and a ball in place of objects."""

from dataclasses import replace

import pytest
import torch

from dexzoo.geometry.sampling import sample_surface
from dexzoo.hands import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh

RADIUS = 0.035


class Ball:
    """A ball about the origin in place of the objects' grids."""

    def __call__(self, points):
        return points.norm(dim=-1) - RADIUS

    def normals(self, points):
        return torch.nn.functional.normalize(points, dim=-1)

    def __getitem__(self, index):
        return self


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow").double()


@pytest.fixture(scope="module")
def grasps(hand):
    """Six grasps of the jar, float64, and its cloud (6, 300, 3)."""
    stored = load_grasps()["jar"].pose[:6]
    pose = HandPose.from_vector(stored.to_vector().double(), stored.hand)  # rotations exact in float64
    mesh = object_mesh("jar")
    cloud, _, _ = sample_surface(mesh.vertices, mesh.faces, 300, seed=0)
    return pose, torch.as_tensor(cloud, dtype=torch.float64).expand(6, -1, -1)


@pytest.fixture(scope="module")
def pushed(hand, grasps):
    """The same 5 mm into the jar, with noise of 0.1 rad on all joints."""
    pose, _ = grasps
    noise = 0.1 * torch.randn(pose.joints.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return replace(
        pose, translation=pose.translation - 0.005 * pose.rotation[..., 1], joints=hand.clamp(pose.joints + noise)
    )
