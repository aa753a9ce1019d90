"""Diversity of the grasps of one object."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry.rotations import geodesic_distance, rotmat_to_rotvec
from ...hands.hand import Hand
from ...hands.pose import HandPose


@dataclass(frozen=True)
class Diversity:
    """Spread of the grasps of one object; higher is more diverse, except for `explained`.

    Standard deviations are those of the sample, with n - 1; NaN for fewer than two grasps.

    Attributes:
        translation: (), metres, root of the sum of the variances of the three coordinates: the root mean square
            distance from the mean position, independent of the axes.
        rotation: (), radians, root mean square angle to the mean rotation.
        joints: (), radians (metres for slides), mean over the joints of their standard deviations.
        explained: (components,), cumulative fraction of the variance of [translation, axis-angle, joints], metres and
            radians unscaled, that its first principal components explain; lower is more diverse. NaN if all grasps are
            equal.
        n: number of grasps.
        n_missing: number of further grasps that were not finite and are not included.
    """

    translation: Tensor
    rotation: Tensor
    joints: Tensor
    explained: Tensor
    n: int
    n_missing: int


def diversity(hand: Hand, pose: HandPose, components: int = 5) -> Diversity:
    """Spread of grasps of one object, in its frame: different objects would count as diversity.

    The mean rotation is the chordal one, the rotation nearest to the mean of the matrices. Axis-angle vectors jump at
    half a turn, so `explained` depends on the frame, as in DexGraspBench, from which it is taken; the others do not.
    Raises ValueError for a pose of another hand or batch shape, or more `components` than the pose vector has numbers.
    """
    if pose.hand != hand.name or len(pose.shape) != 1:
        found = f"found {tuple(pose.shape)} of {pose.hand!r}; one object at a time"
        raise ValueError(f"pose: expected poses (N,) of {hand.name!r}, {found}")
    if not 1 <= components <= 6 + hand.num_joints:
        raise ValueError(f"components: expected 1 to {6 + hand.num_joints}, found {components}")
    pose = pose.map(lambda x: x.detach().double().cpu())
    finite = torch.stack([x.flatten(1).isfinite().all(1) for x in vars(pose).values() if isinstance(x, Tensor)]).all(0)
    pose = pose[finite]
    n, missing = pose.shape[0], int((~finite).sum())
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
    """Cumulative fraction of the variance along the principal axes, largest first; (N, D) -> (D,), ending at 1."""
    square = torch.linalg.svdvals(vectors - vectors.mean(0)).square()
    square = torch.cat([square, square.new_zeros(vectors.shape[1] - len(square))])
    return square.cumsum(0) / square.sum()
