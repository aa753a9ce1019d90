"""All errors of one motion of a hand against another, from their poses."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..hands.hand import Hand
from ..hands.pose import HandPose
from .base import measured
from .columns import MOTIONS
from .functional.motion import last_valid_frame, local_keypoints, min_distance

Distance = Callable[[Tensor], Tensor]
"""Maps world points (B, H, 3) to signed distances (B, H), metres, positive outside: see `ObjectDistance.at`."""


@torch.no_grad()
def motion_inputs(
    hand: Hand,
    pred: HandPose,
    target: HandPose,
    mask: Tensor,
    distance: Distance | None = None,
    fps: Tensor | None = None,
    n_surface: int = 2048,
) -> dict[str, Tensor]:
    """Inputs of the motion metrics, by argument name: `metrics.update(**motion_inputs(...))`.

    The surface is that of the last valid frame: `n_surface` fixed points on the hand's links (`Hand.surface`, spread
    evenly by area), and the vertices of its mesh (`Hand.vertices`), which are dense where the mesh is fine.

    Args:
        hand: of both motions.
        pred: HandPose (B, T), world frame.
        target: HandPose (B, T), likewise.
        mask: (B, T), bool, True for the frames that exist. The first, given frames do not belong to it.
        distance: to the objects at the last valid frame; None leaves the distances out.
        fps: (B,), frames per second; None leaves it out.
        n_surface: points on the hand's surface, V.

    Returns:
        The arguments that `metrics.motion` lists, but for the depths; NaN at the last valid frame where there is none.

    Raises:
        ValueError: the poses are of another hand, or batch shapes or mask are inconsistent.
    """
    _check(hand, pred, target, mask)
    inputs = {"mask": mask} if fps is None else {"mask": mask, "fps": fps}
    clip, last = torch.arange(len(mask), device=mask.device), last_valid_frame(mask)
    samples = hand.surface(n_surface)
    for name, pose in (("pred", pred), ("target", target)):
        links = hand.forward_kinematics(pose)
        inputs[f"{name}_keypoints"] = points = hand.keypoints(links)
        inputs[f"{name}_fingers"] = local_keypoints(points, pose.rotation, pose.translation)[..., 1:, :]
        inputs |= {f"{name}_{part}": getattr(pose, part) for part in ("translation", "rotation", "joints")}
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

    Takes the arguments of `motion_inputs`; without `distance` or `fps` the metrics that need it are left out. Gives the
    columns of `columns.MOTIONS` by key, (B,), in the unit that the key says, NaN where a clip has too few valid frames
    or a valid frame is not finite. The depth in the object is measured by `motion_penetration`.
    """
    return measured(MOTIONS, motion_inputs(hand, pred, target, mask, distance, fps, n_surface))


def _check(hand: Hand, pred: HandPose, target: HandPose, mask: Tensor) -> None:
    if {pred.hand, target.hand} != {hand.name}:
        found = f"found {pred.hand!r} and {target.hand!r}; convert them with Hand.convert first"
        raise ValueError(f"pred and target: expected poses of {hand.name!r}, {found}")
    if pred.shape != target.shape or len(pred.shape) != 2:
        found = f"found {tuple(pred.shape)} and {tuple(target.shape)}; cut or pad them to the same frames"
        raise ValueError(f"pred and target: expected poses of one batch shape (B, T), {found}")
    if mask.dtype != torch.bool or mask.shape != pred.shape:
        advice = "make one with `torch.arange(T) < length[:, None]`"
        found = f"found {mask.dtype} of shape {tuple(mask.shape)}; {advice}"
        raise ValueError(f"mask: expected bool of shape (B, T) = {tuple(pred.shape)}, {found}")
