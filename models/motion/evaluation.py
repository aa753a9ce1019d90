"""Rollouts of whole clips against the truth: the errors of a motion, and how deep the hand is in the object."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...datamodules.types import ClipBatch, MotionSample
from ...geometry.meshes import MeshError
from ...grasps.asset import ObjectAsset, load_asset
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...metrics.evaluate import motion_errors
from ...metrics.object_depth import motion_penetration
from ...metrics.object_distance import ObjectDistance
from ..blocks.latent import Source
from .base import MotionModel
from .goal_pull import GoalRefine

_log = logging.getLogger(__name__)

Mode = GoalRefine | Literal["teacher_forced", "most_likely"]
"""Variant of a test rollout: the refinement of its end, its history, or the lack of noise."""


def roll_out(network: MotionModel, batch: ClipBatch, given_frames: int, mode: Mode, generator: Source) -> HandPose:
    """Synthesises the clips of a batch to their true goal and length.

    `network`: makes the motions. `batch`: whole clips. `given_frames`: true frames at the start of a clip. `mode`: of
    the goal's refinement; "teacher_forced" and "most_likely" refine nothing. `generator`: for a model that draws, one
    for all clips or one of each; None takes its most likely motion. Returns HandPose (B, T), given frames included.
    """
    given, truth = batch.pose[:, :given_frames], batch.pose[:, given_frames:]
    synthesised = network.rollout(
        given,
        batch.goal,
        batch.length - given_frames,
        batch.object_points,
        batch.fps,
        generator=generator,
        goal_refine="off" if mode in ("teacher_forced", "most_likely") else mode,
        truth=truth if mode == "teacher_forced" else None,
    )
    return HandPose.cat([given, synthesised], dim=1)


def clip_errors(
    hand: Hand, batch: ClipBatch, pose: HandPose, given_frames: int, distance: ObjectDistance | None = None
) -> dict[str, Tensor]:
    """The errors of `motion_errors`, (B,) each, over the frames after the given ones.

    `hand`: of the poses. `batch`: whole clips, the truth. `pose`: HandPose (B, T) of `roll_out`. `given_frames`: true
    frames at the start, left out. `distance`: for the minimum distance between hand and object; without it that column
    is left out.
    """
    truth = batch.pose[:, given_frames:]
    frame = torch.arange(truth.shape[1], device=batch.length.device)
    mask = frame < (batch.length - given_frames)[:, None]
    to_object = None
    if distance is not None:
        # An object without a mesh has its cloud where it stood at the first frame: right until it is moved.
        to_object = distance.at(
            batch.object_rotation, batch.object_translation, batch.meshes, clouds=batch.object_points
        )
    return motion_errors(hand, pose[:, given_frames:], truth, mask, to_object, fps=batch.fps)


def clip_penetration(
    hand: Hand, samples: Sequence[MotionSample], pose: HandPose, given_frames: int
) -> dict[str, Tensor]:
    """Depth of the hand in the objects of clips, see `motion_penetration`; NaN where there is no solid mesh.

    `hand`: of the poses; `samples`: the B clips; `pose`: HandPose (B, T) of the clips, given frames included;
    `given_frames`: true frames at the start, left out.
    """
    frames = [slice(given_frames, len(sample.pose.joints)) for sample in samples]
    solids = {sample.mesh: _solid(sample.mesh, sample.object) for sample in samples if sample.mesh is not None}
    return motion_penetration(
        hand,
        [pose[i, part] for i, part in enumerate(frames)],
        [sample.object_rotation[part] for sample, part in zip(samples, frames, strict=True)],
        [sample.object_translation[part] for sample, part in zip(samples, frames, strict=True)],
        [None if sample.mesh is None else solids[sample.mesh] for sample in samples],
    )


def _solid(mesh: Path, name: str) -> ObjectAsset | None:
    """The object of a mesh file; None, with a warning, for a mesh that bounds no solid."""
    try:
        return load_asset(mesh, name)
    except MeshError as error:
        _warn_once(f"{name}: penetration is not measured: {error}")
        return None


@cache  # of clips in many batches, modes and draws
def _warn_once(text: str) -> None:
    _log.warning("%s", text)
