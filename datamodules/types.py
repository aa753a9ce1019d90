"""The sample and batch types that readers make and models take."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from ..hands.pose import HandPose

PAST = 5
"""Frames of history a motion model sees, the current one included (RealDex, section 4.3; GOAL)."""
FUTURE = 10
"""Frames a motion model predicts in one step."""

_Batch = TypeVar("_Batch", bound="_OnDevice")


@dataclass(frozen=True)
class GraspSample:
    """One static grasp.

    Attributes:
        name: unique in the data set.
        object: name of the object; splits are made by it.
        pose: HandPose of batch shape (), object frame.
        object_points: (N, 3), metres, object frame.
        mesh: file of the object's mesh, or None.
        scale: factor that was applied to the vertices of `mesh`.
        flags: what a user must know of this sample ("palm_from_forearm").
        up: (3,), see `GraspBatch`.
    """

    name: str
    object: str
    pose: HandPose
    object_points: Tensor
    mesh: Path | None = None
    scale: float = 1.0
    flags: tuple[str, ...] = ()
    up: Tensor | None = None


@dataclass(frozen=True)
class MotionSample:
    """One reach-to-grasp clip.

    Attributes:
        name: unique in the data set, "<object>/<recording>/<segment>".
        object: name of the object.
        recording: name of the recording; a split of a single object is made by it.
        pose: HandPose of batch shape (T,), world frame.
        goal: HandPose of batch shape (), world frame: the grasp to reach, by default the last frame.
        fps: frames per second.
        object_points: (N, 3), metres, object frame.
        object_rotation: (T, 3, 3), world_from_object.
        object_translation: (T, 3), metres.
        mesh: file of the object's mesh, or None where the data set has none.
        flags: what a user must know of this sample ("palm_from_forearm").
    """

    name: str
    object: str
    recording: str
    pose: HandPose
    goal: HandPose
    fps: float
    object_points: Tensor
    object_rotation: Tensor
    object_translation: Tensor
    mesh: Path | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class _OnDevice:
    def to(self: _Batch, *args: Any, **kwargs: Any) -> _Batch:
        """Moves every tensor and pose, as `Tensor.to`; Lightning calls it."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(
            self, **{k: v.to(*args, **kwargs) for k, v in values.items() if isinstance(v, Tensor | HandPose)}
        )


@dataclass(frozen=True)
class MotionState(_OnDevice):
    """What a motion model is told at a moment t, for B clips. World frame; models move it to the frame they like.

    Attributes:
        past: HandPose (B, PAST): frames t-4..t; before the clip's start the first frame is repeated.
        goal: HandPose (B,).
        object_points: (B, N, 3), metres, the object where it stood at the clip's first frame.
        time_to_go: (B,), float, frames from t to the clip's last frame, >= 1.
        fps: (B,), float.
    """

    past: HandPose
    goal: HandPose
    object_points: Tensor
    time_to_go: Tensor
    fps: Tensor


@dataclass(frozen=True)
class MotionBatch(MotionState):
    """Training windows: the state at t and what came next.

    Attributes:
        future: HandPose (B, FUTURE): frames t+1..t+10; after the clip's end the last frame is repeated.
        valid: (B, FUTURE), bool, False where `future` is padding.
        clip: (B,), int64, index of the clip.
    """

    future: HandPose
    valid: Tensor
    clip: Tensor


@dataclass(frozen=True)
class ClipBatch(_OnDevice):
    """Whole clips, padded at the end by their last frame.

    Attributes:
        pose: HandPose (B, T), world frame.
        goal: HandPose (B,).
        length: (B,), int64, frames of each clip before padding.
        object_points: (B, N, 3), metres, the object where it stood at the clip's first frame, world frame.
        object_rotation: (B, 3, 3), world_from_object at the clip's *last* frame, for contact metrics.
        object_translation: (B, 3), metres, likewise.
        fps: (B,).
        clip: (B,), int64.
        names: B names of clips.
        meshes: B mesh files, None where there is none.
    """

    pose: HandPose
    goal: HandPose
    length: Tensor
    object_points: Tensor
    object_rotation: Tensor
    object_translation: Tensor
    fps: Tensor
    clip: Tensor
    names: tuple[str, ...]
    meshes: tuple[Path | None, ...]


@dataclass(frozen=True)
class GraspBatch(_OnDevice):
    """B static grasps.

    Attributes:
        pose: HandPose (B,), object frame.
        object_points: (B, N, 3), metres, object frame.
        scale: (B,), factor applied to the vertices of `meshes`.
        names: B names of grasps.
        objects: B names of objects.
        meshes: B mesh files, None where there is none.
        plane: (B, 4), unit normal and offset (metres) of the table, object frame; None where the data have no table.
        up: (B, 3), unit, away from the earth, object frame; NaN where the data do not say. None is the normal of the
            table where there is one, and else z.
    """

    pose: HandPose
    object_points: Tensor
    scale: Tensor
    names: tuple[str, ...]
    objects: tuple[str, ...]
    meshes: tuple[Path | None, ...]
    plane: Tensor | None = None
    up: Tensor | None = None

    def first(self, n: int) -> GraspBatch:
        """The first n of them."""
        plane, up = (None if x is None else x[:n] for x in (self.plane, self.up))
        names, objects, meshes = self.names[:n], self.objects[:n], self.meshes[:n]
        return GraspBatch(self.pose[:n], self.object_points[:n], self.scale[:n], names, objects, meshes, plane, up)
