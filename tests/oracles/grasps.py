"""Random grasps, and naive twins of what is computed of them."""

import numpy as np
import torch

from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.datamodules.types import GraspBatch
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.pose import HandPose


def random_grasps(hand, n, generator, points=300):
    """n grasps around ellipsoids of 3 to 5 cm whose centres are off the origin."""
    share = torch.rand(n, hand.num_joints, generator=generator)
    centre = 0.1 * torch.randn(n, 1, 3, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(n, points, 3, generator=generator), dim=-1)
    cloud = centre + direction * (0.03 + 0.02 * torch.rand(n, 1, 3, generator=generator))
    pose = HandPose(
        centre[:, 0] + 0.05 * torch.randn(n, 3, generator=generator),
        rotvec_to_rotmat(torch.randn(n, 3, generator=generator)),
        hand.lower + share * (hand.upper - hand.lower),
        hand.name,
    )
    names = tuple(f"thing{i}" for i in range(n))
    return GraspBatch(pose, cloud, torch.ones(n), names, names, (None,) * n)


def store_of(grasps):
    """The same grasps as a data module holds them, an object each."""
    objs = [GraspObject(name) for name in grasps.objects]
    return GraspStore.of(grasps.pose, np.arange(len(objs)), objs, grasps.object_points)


def distance_to_hand(hand, links, points):
    """(B, N), metres, negative inside: one point and one primitive at a time."""
    result = torch.full(points.shape[:2], torch.inf)
    for b in range(points.shape[0]):
        for i, point in enumerate(points[b]):
            for link, start, end, radius in zip(*vars(hand.capsules).values(), strict=True):
                local = links.rotation[b, link].T @ (point - links.translation[b, link])
                t = ((local - start) @ (end - start) / ((end - start) @ (end - start)).clamp_min(1e-18)).clamp(0, 1)
                result[b, i] = min(result[b, i], (local - start - t * (end - start)).norm() - radius)
            for link, centre, rotation, half in zip(*vars(hand.boxes).values(), strict=True):
                local = rotation.T @ (links.rotation[b, link].T @ (point - links.translation[b, link]) - centre)
                excess = local.abs() - half
                signed = excess.clamp_min(0).norm() + excess.max().clamp_max(0)
                result[b, i] = min(result[b, i], signed)
    return result
