"""Penetration of a moving hand into the object that it reaches for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..geometry.progress import tracked
from ..grasps.asset import ObjectAsset
from ..grasps.posed import PosedGrasps
from ..hands.hand import Hand
from ..hands.pose import HandPose
from .base import measured
from .columns import MOTIONS
from .functional.penetration import penetration_depth

STRIDE = 10
"""Stride between measured frames, counted back from the last one."""


@torch.no_grad()
def motion_penetration(
    hand: Hand,
    poses: Sequence[HandPose],
    rotations: Sequence[Tensor],
    translations: Sequence[Tensor],
    objects: Sequence[ObjectAsset | None],
    stride: int = STRIDE,
) -> dict[str, Tensor]:
    """Depth of the deepest point of the hand in the object, in the last frame and during the motion.

    Args:
        hand: of all clips.
        poses: B clips, HandPose (T,) each, T may differ; metres, world frame.
        rotations: B times (T, 3, 3), world_from_object.
        translations: B times (T, 3), metres.
        objects: B assets in metres; None for an object without a solid. Clips of one asset are measured together.
        stride: every `stride`-th frame is measured, counted back from the last one.

    Returns:
        Tensors (B,), float64, CPU, NaN for a clip without asset or frames or with a measured pose that is not finite:
        `penetration_cm`, of the last frame (`functional.penetration`), and `penetration_max_cm`, the largest of the
        measured frames.

    Raises:
        ValueError: the numbers of clips or frames differ, poses are of another hand, or the stride is below 1.
    """
    _check(poses, rotations, translations, objects, stride)
    last = torch.full((len(poses),), torch.nan, dtype=torch.float64)
    largest = last.clone()
    members: dict[int, list[int]] = {}
    for i, obj in enumerate(objects):
        if obj is not None and len(poses[i].translation):
            members.setdefault(id(obj), []).append(i)
    for clips in tracked(members.values(), "measuring the depth of clips"):
        seen = [_in_object(poses[i], rotations[i], translations[i], stride) for i in clips]
        obj = objects[clips[0]]
        assert obj is not None  # excluded above
        depths = penetration_depth(PosedGrasps(hand, HandPose.cat(seen), obj))
        for i, depth in zip(clips, depths.split([len(pose.translation) for pose in seen]), strict=True):
            last[i], largest[i] = depth[0], depth.max()
    return measured(MOTIONS, {"final_depth": last, "largest_depth": largest})


def _in_object(pose: HandPose, rotation: Tensor, translation: Tensor, stride: int) -> HandPose:
    """Every `stride`-th pose, the last one first, in the object frame; float64, CPU."""
    frames = torch.arange(len(pose.translation) - 1, -1, -stride)
    object_from_world = rotation.cpu().double()[frames].mT
    shift = -(object_from_world @ translation.cpu().double()[frames].unsqueeze(-1)).squeeze(-1)
    return pose.to("cpu", torch.float64)[frames].moved_by(object_from_world, shift)


def _check(
    poses: Sequence[HandPose],
    rotations: Sequence[Tensor],
    translations: Sequence[Tensor],
    objects: Sequence,
    stride: int,
) -> None:
    a, b, c, d = (len(x) for x in (poses, rotations, translations, objects))
    if not a == b == c == d:
        found = f"found {a}, {b}, {c} and {d}"
        raise ValueError(f"poses, rotations, translations and objects: expected as many of each, {found}")
    for i, (pose, rotation, translation) in enumerate(zip(poses, rotations, translations, strict=True)):
        frames = len(pose.translation)
        if not frames == len(rotation) == len(translation):
            found = f"found {len(rotation)} rotations and {len(translation)} translations"
            raise ValueError(f"clip {i}: expected the object's pose at all {frames} frames, {found}")
    if stride < 1:
        raise ValueError(f"stride: expected 1 or more, found {stride}")
