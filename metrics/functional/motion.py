"""Errors of hand motions: one value per clip (B,), in SI units, with a mask of valid frames.

Arguments have one name for one thing: `pred` and `target` are tensors of one shape, of the predicted and the true
motion, `mask` (B, T) is a bool, True for valid frames. The content of padded frames never matters, even NaN. A valid
frame that contains NaN gives NaN, and so does a clip with too few valid frames: the caller counts those, nothing here
drops them. All functions raise ValueError where the shapes differ or the mask is not a bool of shape (B, T).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ...geometry.rotations import geodesic_distance


def mpjpe(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean per-joint position error: the mean over valid frames and key points of |p - p*|, without alignment.

    A data set's value is the mean over its clips, so that a long clip weighs as much as a short one (RealDex, Table 4).

    Key points (B, T, K, 3), metres, in any one frame, to (B,), metres; NaN for a clip without a valid frame.

    Example:
        >>> target = torch.zeros(1, 4, 2, 3)
        >>> mpjpe(target + torch.tensor([0.03, 0.0, 0.04]), target, torch.ones(1, 4, dtype=torch.bool))
        tensor([0.0500])
    """
    _check_keypoints(pred, target, mask)
    return _mean_over_frames(_length(pred - target).mean(-1), mask)


def average_variance_error(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over key points of | var_t(p) - var_t(p*) |_2, with the unbiased variance of each coordinate over time.

    It compares how far and in which directions the points travel, but not when: the order of the frames does not matter
    (Ghosh et al., "Synthesis of Compositional Animations from Textual Descriptions", ICCV 2021). Key points
    (B, T, K, 3), metres, world frame, to (B,), square metres; NaN for a clip with fewer than two valid frames.

    Example:
        >>> target = torch.tensor([0.0, 1.0, 2.0]).reshape(1, 3, 1, 1).expand(1, 3, 1, 3)
        >>> average_variance_error(torch.zeros(1, 3, 1, 3), target, torch.ones(1, 3, dtype=torch.bool))
        tensor([1.7321])
    """
    _check_keypoints(pred, target, mask)
    difference = _variance_over_frames(pred, mask) - _variance_over_frames(target, mask)
    return _length(difference).mean(-1)


def vertex_offset(pred: Tensor, target: Tensor, reduce: Literal["mean", "max"] = "mean") -> Tensor:
    """Distance between corresponding points of the predicted and the true final hand (RealDex, Table 4).

    The literature uses the vertices of the hand's mesh, which are dense where it is fine, so the number depends on the
    mesh. Compared with evenly spread points, the vertices of the Shadow hand's visual meshes give 0.90 times the number
    if only joints differ and 1.08 times if only the palm is rotated; those of its capsules and boxes, which are dense
    at the fingertips, 2.2 and 1.5 times.

    Points (B, V, 3), metres, fixed to the hand's links, the same ones of both hands, to (B,), metres: their mean or
    maximum, by `reduce`. Without a point, or with another `reduce`, it raises ValueError.
    """
    _check_same_shape(pred, target, "(B, V, 3)")
    if reduce not in ("mean", "max"):
        raise ValueError(f"reduce: expected 'mean' or 'max', found {reduce!r}")
    if not pred.shape[1]:
        raise ValueError(f"pred and target: expected at least one point per hand, found {tuple(pred.shape)}")
    distance = _length(pred - target)
    return distance.mean(-1) if reduce == "mean" else distance.amax(-1)


def min_distance(points: Tensor, sdf: Callable[[Tensor], Tensor]) -> Tensor:
    """Gap between a hand and an object: the least max(sdf, 0) over points of the hand's surface.

    The value is that over all points, but few are evaluated. A distance is 1-Lipschitz, so sdf(x) >= sdf(a) - |x - a|:
    the distances of every n-th point rule out nearly all others, 94 % of 2048 on a hand.

    Args:
        points: (B, H, 3), metres, at least one of each hand.
        sdf: takes (B, H', 3), with NaN for points that are not needed, and returns (B, H'), metres, positive outside
            the object. It must be a distance: a value that grows faster than one metre per metre breaks the bound.

    Returns:
        (B,), metres, 0 where hand and object touch or overlap, NaN where a point is not finite.
    """
    _check_last(points, "points", "(B, H, 3)")
    if not points.shape[1]:
        raise ValueError(f"points: expected at least one point per hand, found {tuple(points.shape)}")
    anchors = points[:, :: max(1, math.isqrt(points.shape[1] // 2))]
    known = _gaps(anchors, sdf)
    best = known.clamp(min=0).amin(1, keepdim=True)
    # not by matrix products, which lose half the digits of the distance between close points
    step = torch.cdist(points, anchors, compute_mode="donot_use_mm_for_euclid_dist")
    asked = ((known.unsqueeze(1) - step).amax(-1) < best) & (best > 0)
    found = _gaps(torch.where(asked.unsqueeze(-1), points, torch.nan), sdf).clamp(min=0)
    least = torch.cat([best, torch.where(asked, found, torch.inf)], 1).amin(1)
    return torch.where(points.isfinite().all(-1).all(-1), least, torch.nan)


def rotation_error(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames of the angle between two orientations.

    World_from_hand (B, T, 3, 3) to (B,), radians; NaN for a clip without a valid frame.
    """
    if pred.shape != target.shape or pred.ndim != 4 or pred.shape[-2:] != (3, 3):
        found = f"found {tuple(pred.shape)} and {tuple(target.shape)}"
        raise ValueError(f"pred and target: expected two tensors of shape (B, T, 3, 3), {found}")
    _check_mask(mask, pred)
    return _mean_over_frames(geodesic_distance(pred, target), mask)


def acceleration_error(pred: Tensor, target: Tensor, mask: Tensor, fps: Tensor) -> Tensor:
    """Mean of |a - a*|, with a the second difference of a key point over three consecutive valid frames.

    It detects jitter that MPJPE does not (Kanazawa et al., "Learning 3D Human Dynamics from Video", CVPR 2019). Key
    points (B, T, K, 3), metres, world frame, and `fps` (B,), frames per second, to (B,), m/s^2; NaN for a clip without
    three consecutive valid frames.
    """
    _check_keypoints(pred, target, mask)
    if fps.shape != mask.shape[:1]:
        raise ValueError(f"fps: expected one rate per clip, {tuple(mask.shape[:1])}, found {tuple(fps.shape)}")
    error = pred - target  # differences are linear: this is a - a*, up to fps^2
    second = error[:, 2:] - 2 * error[:, 1:-1] + error[:, :-2]
    per_frame = _length(second).mean(-1)
    return _mean_over_frames(per_frame, mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2]) * fps.square()


def local_keypoints(keypoints: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """Key points in the frame of their own palm, metres, so that their errors are those of the fingers alone.

    Args:
        keypoints: (..., K, 3), metres, world frame.
        rotation, translation: (..., 3, 3), world_from_hand of the palm, and (..., 3), metres, its origin in the world.
    """
    batch = keypoints.shape[:-2]
    if rotation.shape != (*batch, 3, 3) or translation.shape != (*batch, 3):
        expected = f"{(*batch, 3, 3)} and {(*batch, 3)} for key points of shape {tuple(keypoints.shape)}"
        found = f"found {tuple(rotation.shape)} and {tuple(translation.shape)}"
        raise ValueError(f"rotation and translation: expected {expected}, {found}")
    return (keypoints - translation.unsqueeze(-2)) @ rotation  # rows times R: this is R^T (p - t) for each point


def last_valid_frame(mask: Tensor) -> Tensor:
    """Index (B,), int64, of each clip's last valid frame; T - 1 for a clip without one, whose value the caller must
    replace by NaN. T is at least 1.
    """
    if not mask.shape[1]:
        raise ValueError(f"mask: expected at least one frame, found {tuple(mask.shape)}")
    return mask.shape[1] - 1 - mask.flip(1).int().argmax(1)


def _length(vectors: Tensor) -> Tensor:
    """(..., 3) to (...). Kinematics puts the batch last in memory, for which torch's norm is fifty times slower."""
    return torch.linalg.vector_norm(vectors.contiguous(), dim=-1)


def _gaps(points: Tensor, sdf: Callable[[Tensor], Tensor]) -> Tensor:
    distance = sdf(points)
    if distance.shape != points.shape[:-1]:
        expected = f"one distance per point, {tuple(points.shape[:-1])}"
        raise ValueError(f"sdf: expected {expected}, found {tuple(distance.shape)}")
    return distance


def _mean_over_frames(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, T) over the valid frames; 0 / 0 = NaN if there are none."""
    return torch.where(mask, values, 0).sum(1) / mask.sum(1)


def _variance_over_frames(points: Tensor, mask: Tensor) -> Tensor:
    """Unbiased variance (B, K, 3) over the valid frames; in two passes, since float32 cancels far from the origin."""
    valid, count = mask[..., None, None], mask.sum(1)[:, None, None]
    mean = torch.where(valid, points, 0).sum(1) / count
    square = torch.where(valid, points - mean.unsqueeze(1), 0).square().sum(1)
    return square / torch.where(count > 1, count - 1, torch.nan)


def _check_keypoints(pred: Tensor, target: Tensor, mask: Tensor) -> None:
    _check_same_shape(pred, target, "(B, T, K, 3)")
    _check_mask(mask, pred)


def _check_same_shape(pred: Tensor, target: Tensor, letters: str) -> None:
    if pred.shape != target.shape:
        found = f"found {tuple(pred.shape)} and {tuple(target.shape)}"
        raise ValueError(f"pred and target: expected two tensors of one shape {letters}, {found}")
    _check_last(pred, "pred and target", letters)


def _check_last(points: Tensor, argument: str, letters: str) -> None:
    if points.ndim != letters.count(",") + 1 or points.shape[-1] != 3:
        raise ValueError(f"{argument}: expected {letters}, found {tuple(points.shape)}")


def _check_mask(mask: Tensor, values: Tensor) -> None:
    if mask.dtype != torch.bool or mask.shape != values.shape[:2]:
        expected = f"bool of shape (B, T) = {tuple(values.shape[:2])} for values of shape {tuple(values.shape)}"
        found = f"{mask.dtype} of shape {tuple(mask.shape)}; make one with `torch.arange(T) < length[:, None]`"
        raise ValueError(f"mask: expected {expected}, found {found}")
