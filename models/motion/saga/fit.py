"""Fit of joint values to given surface points: SAGA's fit of a body to its markers, for a hand."""

import torch
from torch import Tensor

from ....hands.hand import Hand, LinkPoints
from .image import local_points

_STEP = 1e-3  # radians, step of the finite differences
_SOFT = 2e-4  # metres: below this error, weights no longer grow
_LEAST = 1e-6  # square metres per radian: damping for joints that move no point
_LONGEST = 0.5  # radians, largest change per iteration
_SQUARED, _ABSOLUTE = 7, 8  # numbers of iterations on squared and absolute errors
_BATCH = 1024  # poses per batch, so that memory does not grow with the number of clips
_BATCH_CPU = 128  # batches that fit into a processor's cache take a quarter less time


@torch.no_grad()
def fit_joints(hand: Hand, surface: LinkPoints, points: Tensor, start: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Joints that minimise the summed absolute error of surface points, within limits.

    Gauss-Newton on the squares, then iterative reweighting by 1 / |error| to make them absolute, with the slopes of the
    last Gauss-Newton step, which cost most and hardly change any more. SAGA takes 100 Adam steps per frame.

    Args:
        hand: the hand.
        surface: P points fixed to links.
        points: (N, P, 3), metres, target positions in the frame of the palm.
        start: (N, J), radians.
        lower: (N, J), radians.
        upper: (N, J), radians.

    Returns (N, J), radians.
    """
    size = _BATCH_CPU if points.device.type == "cpu" else _BATCH
    parts = zip(*(x.split(size) for x in (points, start, lower, upper)), strict=True)
    return torch.cat([_fit(hand, surface, *part) for part in parts])


def _fit(hand: Hand, surface: LinkPoints, points: Tensor, start: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    joints = start.clamp(lower, upper)
    target, slope = points.flatten(1), points.new_zeros(0)
    for k in range(_SQUARED + _ABSOLUTE):
        if k < _SQUARED:
            now, slope = _linearised(hand, surface, joints)
            weight = torch.ones_like(now)
        else:
            now = local_points(hand, surface, joints).flatten(1)
            weight = _SOFT / (target - now).abs().clamp_min(_SOFT)
        error = target - now
        weighted = slope * weight.unsqueeze(1)
        pull = (weighted @ error.unsqueeze(-1)).squeeze(-1)
        # A joint that is pushed against its limit is excluded, otherwise it would bend the others.
        held = ((joints <= lower) & (pull < 0)) | ((joints >= upper) & (pull > 0))
        free = (~held).to(pull.dtype)
        square = weighted @ slope.mT * free.unsqueeze(1) * free.unsqueeze(2)
        diagonal = square.diagonal(dim1=-2, dim2=-1)
        diagonal += torch.where(held, 1.0, 1e-3 * diagonal + _LEAST)
        step = torch.linalg.solve(square, pull * free)
        joints = (joints + step.clamp(-_LONGEST, _LONGEST)).clamp(lower, upper)
    return joints


def _linearised(hand: Hand, surface: LinkPoints, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, 3P) and their derivatives (N, J, 3P) by finite differences, for any hand; poses J + 1 hands."""
    moved = _STEP * torch.eye(joints.shape[-1], device=joints.device, dtype=joints.dtype)
    tried = torch.cat([joints[:, None], joints[:, None] + moved], dim=1)
    points = local_points(hand, surface, tried).flatten(2)
    return points[:, 0], (points[:, 1:] - points[:, :1]) / _STEP
