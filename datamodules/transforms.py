"""Random transforms of samples and batches.

Each is called with a sample or batch and a generator, the only source of its random numbers, and returns a modified
copy of the same type. `Compose` chains several, including `Observe`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..files.errors import DataError
from ..geometry.rotations import rotvec_to_rotmat
from ..hands.pose import HandPose
from ..hands.products import compose, rotate
from .types import MotionBatch, MotionSample

Item = TypeVar("Item")
"""A sample or a batch: a frozen dataclass with `object_points`, (N, 3) or (B, N, 3), and hand poses."""


@dataclass(frozen=True)
class HistoryNoise:
    """Moves the past off the recorded path, so that a model learns to recover from its own errors.

    A rollout drifts more than it jitters: each window gets one offset common to its five frames, plus a small one for
    each frame. The future and the goal are unchanged.
    """

    translation_std: float = 0.0  # standard deviation of the common offset of the palm, metres, per axis
    rotation_std: float = 0.0  # of the common rotation vector, radians, per axis, in the palm's frame
    joint_std: float = 0.0  # of the common offset of each joint, radians
    jitter: float = 0.2  # standard deviation of the per-frame offset as a share of the common one

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise DataError(f"{name}: expected a standard deviation >= 0, found {value}")

    def __bool__(self) -> bool:
        """Whether it has any effect."""
        return self.translation_std > 0 or self.rotation_std > 0 or self.joint_std > 0

    def __call__(self, batch: MotionBatch, generator: torch.Generator) -> MotionBatch:
        """Returns the batch with a noisy `past`."""
        past = batch.past
        turn = rotvec_to_rotmat(self._draw(past.translation, self.rotation_std, generator))
        noisy = HandPose(
            translation=past.translation + self._draw(past.translation, self.translation_std, generator),
            rotation=past.rotation @ turn,
            joints=past.joints + self._draw(past.joints, self.joint_std, generator),
            hand=past.hand,
        )
        return replace(batch, past=noisy)

    def _draw(self, like: Tensor, std: float, generator: torch.Generator) -> Tensor:
        common = torch.randn(len(like), 1, like.shape[-1], generator=generator)
        own = torch.randn(like.shape, generator=generator)
        return std * (common + self.jitter * own)


@dataclass(frozen=True)
class Compose:
    """Transforms one after the other, all with the same generator; itself a transform.

    In a YAML it needs `_convert_: all`, otherwise Hydra would turn a list's objects into plain settings.
    """

    transforms: Sequence[Callable[[Any, torch.Generator], Any]] = ()

    def __call__(self, item: Item, generator: torch.Generator) -> Item:
        """Applies all of them in order."""
        for transform in self.transforms:
            item = transform(item, generator)
        return item


@dataclass(frozen=True)
class Yaw:
    """Rotates object and hand together about the vertical through the centre of the object's cloud.

    Every hand pose of the item is rotated, and the object's pose if it has one. Samples and batches whose mesh is in
    the frame of their cloud lose it, since the file is not rotated: observe first, rotate afterwards. If an item has a
    `plane`, (4,) or (B, 4), its normal is the vertical.
    """

    largest: float = float(np.pi)  # angles are uniform from minus this to this, radians
    up: Sequence[float] = (0.0, 0.0, 1.0)  # (3,), the vertical in the frame of the poses

    def __post_init__(self) -> None:
        if not 0 <= self.largest <= np.pi:
            raise DataError(f"largest: expected an angle from 0 to pi, found {self.largest}")
        if len(self.up) != 3 or not np.linalg.norm(self.up) > 0:
            raise DataError(f"up: expected a nonzero vector of 3, found {list(self.up)}")

    def __call__(self, item: Item, generator: torch.Generator) -> Item:
        """Returns the rotated sample or batch."""
        whole: Any = item
        cloud = _placed_cloud(whole)
        turn = self._turn(whole, cloud, generator)
        centre = cloud.double().mean(-2)
        shift = centre - rotate(turn, centre)  # x -> turn (x - centre) + centre
        values = {f.name: getattr(whole, f.name) for f in fields(whole)}
        changed = {name: _moved(pose, turn, shift) for name, pose in values.items() if isinstance(pose, HandPose)}
        return replace(whole, **changed, **_moved_object(whole, turn, shift))

    def _turn(self, item: Any, cloud: Tensor, generator: torch.Generator) -> Tensor:
        """(..., 3, 3), float64, one rotation per cloud."""
        plane = getattr(item, "plane", None)
        axis = torch.tensor(list(self.up)) if plane is None else torch.as_tensor(plane)[..., :3]
        axis = torch.nn.functional.normalize(axis.to(cloud.device, torch.float64), dim=-1)
        angle = self.largest * (2 * torch.rand(cloud.shape[:-2], generator=generator, dtype=torch.float64) - 1)
        return rotvec_to_rotmat(angle.to(cloud.device).unsqueeze(-1) * axis)


@dataclass(frozen=True)
class Jitter:
    """Adds independent noise to every point of the object's cloud."""

    std: float = 0.002  # standard deviation, metres, per axis
    largest: float | None = None  # offsets are clipped to this, metres, per axis; None for no clipping

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 0:
                raise DataError(f"{name}: expected a length >= 0, found {value}")

    def __call__(self, item: Item, generator: torch.Generator) -> Item:
        """Returns the sample or batch with other `object_points`."""
        whole: Any = item
        points = whole.object_points
        offset = self.std * torch.randn(points.shape, generator=generator).to(points)
        if self.largest is not None:
            offset = offset.clamp(-self.largest, self.largest)
        return replace(whole, object_points=points + offset)


@dataclass(frozen=True)
class PerturbHand:
    """Perturbs hand poses, for models that learn to correct them; each pose of a batch independently.

    Joints may slightly exceed their limits. For the past of motions, whose frames move together, see `HistoryNoise`.
    """

    translation_std: float = 0.0  # metres, per axis
    rotation_std: float = 0.0  # of a rotation vector, radians, per axis, in the palm's frame
    joint_std: float = 0.0  # radians, per joint
    field: str = "pose"  # name of the pose in the item; "goal" for motions

    def __post_init__(self) -> None:
        for name in ("translation_std", "rotation_std", "joint_std"):
            if getattr(self, name) < 0:
                raise DataError(f"{name}: expected a standard deviation >= 0, found {getattr(self, name)}")

    def __call__(self, item: Item, generator: torch.Generator | Sequence[torch.Generator] | None) -> Item:
        """Returns the sample or batch with another `field`; raises DataError if it has no hand pose of that name.

        Random numbers come from the generator, from one generator per sample, or with None from PyTorch's global one.
        """
        whole: Any = item
        pose = getattr(whole, self.field, None)
        if not isinstance(pose, HandPose):
            known = [f.name for f in fields(whole) if isinstance(getattr(whole, f.name), HandPose)]
            raise DataError(f"field: expected a hand pose of {type(item).__name__}, {known}, found {self.field!r}")
        turn = rotvec_to_rotmat(_noise(pose.translation, self.rotation_std, generator))
        moved = replace(
            pose,
            translation=pose.translation + _noise(pose.translation, self.translation_std, generator),
            rotation=compose(pose.rotation, turn),
            joints=pose.joints + _noise(pose.joints, self.joint_std, generator),
        )
        return replace(whole, **{self.field: moved})


def _noise(like: Tensor, std: float, generator: torch.Generator | Sequence[torch.Generator] | None) -> Tensor:
    if isinstance(generator, Sequence):
        return std * torch.stack([torch.randn(like.shape[1:], generator=one) for one in generator]).to(like)
    device = like.device if generator is None else generator.device
    return std * torch.randn(like.shape, generator=generator, device=device).to(like)


def _placed_cloud(item: Any) -> Tensor:
    """The object's cloud (..., N, 3) in the frame of the poses, at the first frame."""
    if isinstance(item, MotionSample):
        return item.object_points @ item.object_rotation[0].mT + item.object_translation[0]
    return item.object_points


def _moved(pose: HandPose, turn: Tensor, shift: Tensor) -> HandPose:
    turn, shift = turn.to(pose.translation), shift.to(pose.translation)
    frames = len(pose.shape) - (shift.ndim - 1)  # in a batch (B, T), each clip has one motion
    return pose.moved_by(turn.reshape(*turn.shape[:-2], *[1] * frames, 3, 3), _spread(shift, frames))


def _moved_object(item: Any, turn: Tensor, shift: Tensor) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if not isinstance(item, MotionSample):  # its cloud is in the object frame
        points = item.object_points
        changed["object_points"] = points @ turn.to(points).mT + shift.to(points).unsqueeze(-2)
    if hasattr(item, "object_rotation"):  # places the mesh
        changed["object_rotation"] = compose(turn.to(item.object_rotation), item.object_rotation)
        at = item.object_translation
        changed["object_translation"] = rotate(turn.to(at), at) + shift.to(at)
    elif hasattr(item, "mesh"):
        changed["mesh"] = None
    elif hasattr(item, "meshes"):
        changed["meshes"] = (None,) * len(item.meshes)
    if getattr(item, "up", None) is not None:
        changed["up"] = rotate(turn.to(item.up), item.up)
    return changed


def _spread(shift: Tensor, frames: int) -> Tensor:
    return shift.reshape(*shift.shape[:-1], *[1] * frames, 3)
