"""Sample and batch types: the output of readers and input of models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from ..hands.pose import HandPose

PAST = 5
"""Frames of history that a motion model sees, including the current one (RealDex, section 4.3; GOAL)."""
FUTURE = 10
"""Frames that a motion model predicts in one step."""

_Batch = TypeVar("_Batch", bound="_OnDevice")


@dataclass(frozen=True)
class GraspSample:
    """One static grasp.

    Attributes:
        name: unique in the data set.
        object: name of the object, by which data are split.
        pose: HandPose of batch shape (), object frame.
        object_points: (N, 3), metres, object frame.
        mesh: file of the object's mesh, or None.
        scale: factor that was applied to the vertices of `mesh`.
        flags: caveats about this sample ("palm_from_forearm").
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
        recording: name of the recording, by which data of a single object are split.
        pose: HandPose of batch shape (T,), world frame.
        goal: HandPose of batch shape (), world frame: the grasp to reach, by default the last frame.
        fps: frames per second.
        object_points: (N, 3), metres, object frame.
        object_rotation: (T, 3, 3), world_from_object.
        object_translation: (T, 3), metres.
        mesh: file of the object's mesh, or None if the data set has none.
        flags: caveats about this sample ("palm_from_forearm").
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
        """Moves every tensor and pose, like `Tensor.to`; called by Lightning."""
        movable = {k: v for k, v in vars(self).items() if isinstance(v, Tensor | HandPose)}
        return replace(self, **{k: v.to(*args, **kwargs) for k, v in movable.items()})


@dataclass(frozen=True)
class MotionState(_OnDevice):
    """Input of a motion model at time t, for B clips. World frame; models convert it to their own frame.

    Attributes:
        past: HandPose (B, PAST): frames t-4..t; before the clip's start the first frame is repeated.
        goal: HandPose (B,).
        object_points: (B, N, 3), metres, the object at the clip's first frame.
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
    """Training windows: the state at t and the frames that follow.

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
    """Whole clips, padded at the end with their last frame.

    Attributes:
        pose: HandPose (B, T), world frame.
        goal: HandPose (B,).
        length: (B,), int64, frames of each clip before padding.
        object_points: (B, N, 3), metres, the object at the clip's first frame, world frame.
        object_rotation: (B, 3, 3), world_from_object at the clip's *last* frame, for contact metrics.
        object_translation: (B, 3), metres, likewise.
        fps: (B,).
        clip: (B,), int64.
        names: B names of clips.
        meshes: B mesh files, None without a mesh.
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
        meshes: B mesh files, None without a mesh.
        plane: (B, 4), unit normal and offset (metres) of the table, object frame; None if the data have no table.
        up: (B, 3), unit, away from the earth, object frame; NaN where the data do not say. None means the normal of the
            table if there is one, otherwise z.
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
        """The first n grasps."""
        return replace(self, **{name: value[:n] for name, value in vars(self).items() if value is not None})
