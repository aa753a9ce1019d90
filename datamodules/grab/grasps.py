"""Static grasps of GRAB, in the object frame: selected from the sequences by a rule, or read from GrabNet's release."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...files.errors import DataError, check_names
from ...hands.pose import HandPose
from ...hands.products import rotate
from ..types import GraspSample
from .frames import GRASP_RULES
from .objects import OBJECT_SPLITS, PARTS, SPLITS, object_of, part_of
from .reader import GrabReader
from .tracks import Tracks

_log = logging.getLogger(__name__)

Clouds = Mapping[str, tuple[Tensor, Path | None]]  # Points and mesh file by the name that recordings use for an object


@dataclass(frozen=True)
class GraspList(Sequence[GraspSample]):
    """n grasps in flat arrays; each `GraspSample` is made on access, so that a million fit in memory."""

    pose: HandPose  # HandPose (n,), object frame, float32
    recordings: tuple[str, ...]  # names of the sequences, e.g. "s1/mug_lift"
    recording: NDArray[np.int64]  # (n,), index into `recordings`
    frame: NDArray  # (n,), number or name of each frame
    clouds: Clouds  # points and mesh of each recording's object, by the first part of its name
    flags: tuple[str, ...]  # flags of every sample
    up: Tensor  # (n, 3), the world's z in the object's frame

    def __len__(self) -> int:
        return len(self.recording)

    @overload
    def __getitem__(self, index: int) -> GraspSample: ...
    @overload
    def __getitem__(self, index: slice) -> GraspList: ...
    def __getitem__(self, index: int | slice) -> GraspSample | GraspList:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        recording = self.recordings[self.recording[index]]
        stem = recording.split("/")[1]
        points, mesh = self.clouds[stem.split("_")[0]]
        name, shown = object_of(stem), f"{recording}/{self.frame[index]}"
        up = self.up[index]
        return GraspSample(f"{name}/{shown}", name, self.pose[index], points, mesh, flags=self.flags, up=up)

    def take(self, indices: NDArray[np.int64]) -> GraspList:
        """The grasps with these indices."""
        own = {"recording": self.recording[indices], "frame": self.frame[indices]}
        return replace(self, pose=self.pose[indices], up=self.up[indices], **own)

    def part(self, part: str, split: str = "grab") -> GraspList:
        """The grasps of one part, "train", "val" or "test", of a split, see `objects`; raises UnknownName for another
        one.
        """
        check_names(part=(part, PARTS), split=(split, SPLITS))
        key = 1 if split in OBJECT_SPLITS else 0
        own = [part_of(_names(recording)[key], split) == part for recording in self.recordings]
        return self.take(np.flatnonzero(np.array(own, dtype=bool)[self.recording]))


def read_grasps(
    root: str | Path | None,
    hand: str = "mano",
    *,
    frames: str = "goal_grasp",
    side: str = "right",
    every: int = 1,
    object_points: str = "mesh",
    n_object_points: int = 1024,
    on_bad: str = "raise",
) -> GraspList:
    """Reads single frames of GRAB's sequences, all parts together: see `GraspList.part`, and `GrabGrasps` for the
    arguments.

    Raises DatasetNotFound or BadFile like `GrabMotion.load`, UnknownName for an unknown rule, and DataError if no frame
    is selected or `every` is not positive.
    """
    check_rule(frames, every)
    return grasps_of(GrabReader(root, hand, side, object_points, n_object_points, on_bad), frames, every)


def check_rule(frames: str, every: int) -> None:
    """Raises UnknownName or DataError for an invalid rule."""
    check_names(frames=(frames, GRASP_RULES))
    if every < 1:
        raise DataError(f"every: expected 1 or more, found {every}")


def grasps_of(reader: GrabReader, frames: str, every: int) -> GraspList:
    """Same as `read_grasps` but with a given reader, which then knows what was skipped."""
    poses, ups, recordings, chosen, without = [], [], [], [], Counter()
    clouds: dict[str, tuple[Tensor, Path | None]] = {}
    for tracks in reader.tracks():
        selection = GRASP_RULES[frames](tracks.signals)
        if selection.reason:
            without[selection.reason] += 1
            continue
        picked = selection.frames[::every]
        poses.append(_in_object_frame(tracks, picked, reader))
        ups.append(tracks.object_pose(picked)[0][:, 2])
        recordings.append(tracks.recording)
        chosen.append(picked)
        clouds[tracks.path.stem.split("_")[0]] = reader.object(tracks)
    for reason, count in without.most_common():
        _log.info("GRAB: no grasp from %d sequences: %s", count, reason)
    if not poses:
        raise DataError(f"{reader.tree.root}: expected at least one grasp (frames={frames}), found {dict(without)}")
    index = np.repeat(np.arange(len(chosen)), [len(picked) for picked in chosen])
    frame, up = np.concatenate(chosen), torch.cat(ups)
    return GraspList(HandPose.cat(poses), tuple(recordings), index, frame, clouds, reader.flags, up)


def _in_object_frame(tracks: Tracks, frames: NDArray[np.int64], reader: GrabReader) -> HandPose:
    pose = tracks.pose(frames, reader.person(tracks).rest[0], reader.hand.name)
    rotation, translation = tracks.object_pose(frames)
    return pose.moved_by(rotation.mT, -rotate(rotation.mT, translation))


def _names(recording: str) -> tuple[str, str]:
    """Subject and object."""
    subject, stem = recording.split("/")
    return subject, object_of(stem)
