"""Loss terms as pure functions; each returns a scalar in SI units, and the weights bring them to one scale."""

import torch
from torch import Tensor


def point_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean Euclidean distance between corresponding points, metres; (..., P, 3) each.

    The square root is softened below 0.1 mm so that the gradient stays finite where the two coincide.
    """
    squared = (prediction - target).square().sum(-1)
    return (squared + 1e-8).sqrt().mean()


def rotation_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean chordal distance ||R - R*||_F / sqrt(2), about the angle in radians if small; (..., 3, 3) each."""
    squared = (prediction - target).square().sum((-1, -2))
    return (0.5 * squared + 1e-8).sqrt().mean()


def joint_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of joint angles, radians; (..., J) each."""
    return (prediction - target).abs().mean()


def smoothness_error(prediction: Tensor, target: Tensor, history: Tensor) -> Tensor:
    """Mean difference of the accelerations of points, metres per frame^2, including the seam to the history.

    The target is the true acceleration, not zero, so that real starts and stops are not flattened.
    `prediction` (B, F, P, 3), metres; `target` (B, F, P, 3), metres; `history` (B, H >= 2, P, 3), metres, the given
    frames before the prediction.
    """
    seam = history[:, -2:]
    accelerations = [torch.diff(torch.cat([seam, points], dim=1), n=2, dim=1) for points in (prediction, target)]
    return point_error(*accelerations)


def limit_excess(joints: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Mean angle by which joints exceed their limits, radians; joints (..., J), limits (J,)."""
    return (torch.relu(lower - joints) + torch.relu(joints - upper)).mean()
