"""How different the grasps of one object are from one another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry.rotations import geodesic_distance, rotmat_to_rotvec
from ...hands.hand import Hand
from ...hands.pose import HandPose


@dataclass(frozen=True)
class Diversity:
    """Spread of the grasps of one object; higher is more diverse, but for `explained`.

    Standard deviations are of the sample, with n - 1. Fewer than two grasps have none: NaN.

    Attributes:
        translation: (), metres, root of the sum of the variances of the three coordinates: the root mean square
            distance from the mean place, whichever way the axes point.
        rotation: (), radians, root mean square angle to the mean rotation.
        joints: (), radians (metres for slides), mean over the joints of their standard deviations.
        explained: (components,), cumulative fraction of the variance of [translation, axis-angle, joints], metres and
            radians as they are, that its first principal components explain; lower is more diverse. NaN where all
            grasps are equal.
        n: how many grasps there were.
        n_missing: how many more were not finite and are not in any of the numbers.
    """

    translation: Tensor
    rotation: Tensor
    joints: Tensor
    explained: Tensor
    n: int
    n_missing: int


def diversity(hand: Hand, pose: HandPose, components: int = 5) -> Diversity:
    """Spread of grasps, which have to be of one object and in its frame: pooled objects would count as diversity.

    The mean rotation is the chordal one, the matrix nearest to the mean of the matrices. Axis-angle vectors jump at
    half a turn, so `explained` depends on the frame, as in DexGraspBench, where it is from; the others do not.

    Args:
        hand: whose poses these are.
        pose: (N,), object frame.
        components: how many principal components to count.

    Raises:
        ValueError: the pose has another hand or batch shape, or `components` is more than the pose has numbers.
    """
    if pose.hand != hand.name or len(pose.shape) != 1:
        raise ValueError(
            f"pose: expected poses (N,) of {hand.name!r}, found {tuple(pose.shape)} of {pose.hand!r}; one object at a "
            "time"
        )
    if not 1 <= components <= 6 + hand.num_joints:
        raise ValueError(f"components: expected 1 to {6 + hand.num_joints}, found {components}")
    pose = pose.map(lambda x: x.detach().double().cpu())
    finite = torch.stack([x.flatten(1).isfinite().all(1) for x in vars(pose).values() if isinstance(x, Tensor)]).all(0)
    pose = pose[finite]
    n = pose.shape[0]
    missing = len(finite) - n
    if n < 2:
        nan = torch.tensor(torch.nan, dtype=torch.float64)
        return Diversity(nan, nan, nan, nan.expand(components), n, missing)
    angle = geodesic_distance(pose.rotation, mean_rotation(pose.rotation))
    return Diversity(
        pose.translation.var(0).sum().sqrt(),
        (angle.square().sum() / (n - 1)).sqrt(),
        pose.joints.std(0).mean(),
        explained_variance(torch.cat([pose.translation, rotmat_to_rotvec(pose.rotation), pose.joints], 1))[:components],
        n,
        missing,
    )


def mean_rotation(rotation: Tensor) -> Tensor:
    """Chordal mean: the rotation with the least sum of squared differences of matrix entries; (N, 3, 3) -> (3, 3)."""
    u, _, vh = torch.linalg.svd(rotation.mean(0))
    sign = torch.ones_like(u[0])
    sign[2] = torch.linalg.det(u @ vh).sign()
    return (u * sign) @ vh


def explained_variance(vectors: Tensor) -> Tensor:
    """Cumulative fraction of the variance along the principal axes, from the largest; (N, D) -> (D,), 1 at the end."""
    square = torch.linalg.svdvals(vectors - vectors.mean(0)).square()
    square = torch.cat([square, square.new_zeros(vectors.shape[1] - len(square))])
    return square.cumsum(0) / square.sum()
