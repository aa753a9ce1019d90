"""All errors of one motion of a hand against another, from their poses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..hands.hand import Hand
from ..hands.pose import HandPose
from .functional.motion import (
    acceleration_error,
    average_variance_error,
    last_valid_frame,
    local_keypoints,
    min_distance,
    mpjpe,
    rotation_error,
    vertex_offset,
)

Distance = Callable[[Tensor], Tensor]
"""Maps world points (B, H, 3) to signed distances (B, H), metres, positive outside: see `ObjectDistance.at`."""


@torch.no_grad()
def motion_inputs(
    hand: Hand,
    pred: HandPose,
    target: HandPose,
    mask: Tensor,
    distance: Distance | None = None,
    n_surface: int = 2048,
) -> dict[str, Tensor]:
    """Inputs of the motion metrics, by argument name: `metrics.update(**motion_inputs(...))`.

    The surface is that of the last valid frame: `n_surface` fixed points on the hand's links (`Hand.surface`, spread
    evenly by area), and the vertices of its mesh (`Hand.vertices`), which are dense where the mesh is fine.

    Args:
        hand: of both motions.
        pred: HandPose (B, T), world frame.
        target: HandPose (B, T), likewise.
        mask: (B, T), bool, True for valid frames, excluding the given first frames.
        distance: to the objects at the last valid frame; None omits the distances.
        n_surface: points on the hand's surface, V.

    Returns:
        `pred_keypoints` and `target_keypoints` (B, T, K, 3), `mask`, `pred_surface`, `target_surface`, `pred_vertices`
        and `target_vertices` (B, V, 3) of the last valid frame, NaN where there is none, and given `distance`, also
        `pred_distance` and `target_distance` (B,); metres, world frame.

    Raises:
        ValueError: the poses are of another hand, or batch shapes or mask are inconsistent.
    """
    _check(hand, pred, target, mask)
    inputs = {"mask": mask}
    clip, last = torch.arange(len(mask), device=mask.device), last_valid_frame(mask)
    samples = hand.surface(n_surface)
    for name, pose in (("pred", pred), ("target", target)):
        links = hand.forward_kinematics(pose)
        inputs[f"{name}_keypoints"] = hand.keypoints(links)
        final = links[clip, last]
        for key, points in (("surface", hand.place(final, samples)), ("vertices", hand.vertices(final))):
            inputs[f"{name}_{key}"] = torch.where(mask.any(1)[:, None, None], points, torch.nan)
        if distance is not None:
            inputs[f"{name}_distance"] = min_distance(inputs[f"{name}_surface"], distance)
    return inputs


@torch.no_grad()
def motion_errors(
    hand: Hand,
    pred: HandPose,
    target: HandPose,
    mask: Tensor,
    distance: Distance | None = None,
    fps: Tensor | None = None,
    n_surface: int = 2048,
) -> dict[str, Tensor]:
    """Every error of predicted motions, one value per clip: a row of the results table.

    Args:
        hand: of both motions.
        pred: HandPose (B, T), world frame.
        target: HandPose (B, T), likewise.
        mask: (B, T), bool, True for valid frames, excluding the given first frames.
        distance: to the objects at the last valid frame; None omits the last two keys.
        fps: (B,), frames per second; None omits the acceleration.
        n_surface: points on the hand's surface.

    Returns:
        Tensors (B,), NaN where a clip has too few valid frames or a valid frame is not finite:

        - `mpjpe_cm`, over all key points, and its two parts: `mpjpe_palm_cm`, of the palm origin, and
        `mpjpe_fingers_cm`, of the other key points, each motion in its own palm frame.
        - `palm_rotation_deg`, mean angle between the palms.
        - `ave_cm2`, and `ave_paper`, the same in m^2 x 100, which agrees with the column of RealDex, Table 4.
        - `vertex_offset_cm`, mean over the vertices of the hand's mesh at the last valid frame, as in the literature,
        and `surface_offset_cm`, over points spread evenly on its surface.
        - `acceleration_m_s2`, mean error of the key points' accelerations.
        - `min_distance_cm`, the gap between hand and object at the last valid frame, and `min_distance_error_cm`, its
        difference from the gap of `target`. They are as exact as `distance` and the surface points: with 2048 of them
        on the Shadow hand the gap to a floor is 0.4 mm too large on average, and for an object without a mesh the
        spacing of its cloud adds to that.

    Raises:
        ValueError: the poses are of another hand, or batch shapes or mask are inconsistent.
    """
    inputs = motion_inputs(hand, pred, target, mask, distance, n_surface)
    points, points_gt = inputs["pred_keypoints"], inputs["target_keypoints"]
    fingers = local_keypoints(points, pred.rotation, pred.translation)[..., 1:, :]
    fingers_gt = local_keypoints(points_gt, target.rotation, target.translation)[..., 1:, :]
    ave = average_variance_error(points, points_gt, mask)
    errors = {
        "mpjpe_cm": 1e2 * mpjpe(points, points_gt, mask),
        "mpjpe_palm_cm": 1e2 * mpjpe(points[..., :1, :], points_gt[..., :1, :], mask),
        "mpjpe_fingers_cm": 1e2 * mpjpe(fingers, fingers_gt, mask),
        "palm_rotation_deg": rotation_error(pred.rotation, target.rotation, mask).rad2deg(),
        "ave_cm2": 1e4 * ave,
        "ave_paper": 1e2 * ave,
        "vertex_offset_cm": 1e2 * vertex_offset(inputs["pred_vertices"], inputs["target_vertices"]),
        "surface_offset_cm": 1e2 * vertex_offset(inputs["pred_surface"], inputs["target_surface"]),
    }
    if fps is not None:
        errors["acceleration_m_s2"] = acceleration_error(points, points_gt, mask, fps)
    if distance is not None:
        gap, gap_gt = inputs["pred_distance"], inputs["target_distance"]
        errors |= {"min_distance_cm": 1e2 * gap, "min_distance_error_cm": 1e2 * (gap - gap_gt).abs()}
    return errors


def _check(hand: Hand, pred: HandPose, target: HandPose, mask: Tensor) -> None:
    if {pred.hand, target.hand} != {hand.name}:
        raise ValueError(
            f"pred and target: expected poses of {hand.name!r}, found {pred.hand!r} and {target.hand!r}; convert them "
            f"with Hand.convert first"
        )
    if pred.shape != target.shape or len(pred.shape) != 2:
        raise ValueError(
            f"pred and target: expected poses of one batch shape (B, T), found {tuple(pred.shape)} and "
            f"{tuple(target.shape)}; cut or pad them to the same frames"
        )
    if mask.dtype != torch.bool or mask.shape != pred.shape:
        raise ValueError(
            f"mask: expected bool of shape (B, T) = {tuple(pred.shape)}, found {mask.dtype} of shape "
            f"{tuple(mask.shape)}; make one with `torch.arange(T) < length[:, None]`"
        )
