"""PosedGrasps: the input of every grasp metric, poses of one hand on one object."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..hands.hand import Hand
from ..hands.kinematics import Links
from ..hands.pose import HandPose
from .asset import ObjectAsset

_Result = TypeVar("_Result")
_UNIT = 1e-3  # largest deviation of a unit vector's length from 1


@dataclass(frozen=True, eq=False)
class PosedGrasps:
    """B grasps of one object by one hand, in the object frame.

    A grasp whose pose or scale is not finite stays in the batch and gets NaN from every metric.

    Attributes:
        hand: the hand; its collision shapes are measured.
        pose: HandPose (B,), metres, object frame.
        object: the object in its mesh's own unit.
        scale: (B,), metres per unit of the mesh: the object of grasp b is the mesh times scale[b]. 1 by default.
        up: (B, 3) or (3,), unit, object frame, away from the earth; NaN where the data do not say. z by default.
        pregrasp, squeeze: (B, J), radians, joints that the hand closes from and that its servos pull to; NaN in the
            rows, None where the data do not say.

    Raises:
        ValueError: the pose has another hand or batch shape, a scale is not positive, `up` is not a unit vector, or a
            posture has another shape.
    """

    hand: Hand
    pose: HandPose
    object: ObjectAsset
    scale: Tensor | None = None
    up: Tensor | None = None
    pregrasp: Tensor | None = None
    squeeze: Tensor | None = None
    _results: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        pose = self.pose
        if pose.hand != self.hand.name:
            raise ValueError(
                f"pose: expected a pose of {self.hand.name!r}, found one of {pose.hand!r}; see Hand.convert"
            )
        if len(pose.shape) != 1 or pose.joints.shape[-1] != self.hand.num_joints:
            raise ValueError(
                f"pose: expected batch shape (B,) and {self.hand.num_joints} joints, found {tuple(pose.shape)} and "
                f"{pose.joints.shape[-1]}"
            )
        scale = torch.ones(len(self)) if self.scale is None else torch.as_tensor(self.scale)
        if scale.ndim == 0:
            scale = scale.expand(len(self))
        good = (scale.isfinite() & (scale > 0)) | scale.isnan()
        if scale.shape != (len(self),) or not good.all():
            found = scale[~good].tolist()[:3] or f"shape {tuple(scale.shape)}"
            raise ValueError(f"scale: expected {len(self)} positive numbers, found {found}")
        object.__setattr__(self, "pose", pose.map(lambda x: x.detach().double().cpu()))
        object.__setattr__(self, "scale", scale.detach().double().cpu())
        object.__setattr__(self, "up", _directions(self.up, len(self)))
        for name in ("pregrasp", "squeeze"):
            posture = getattr(self, name)
            if posture is not None and posture.shape != pose.joints.shape:
                expected = tuple(pose.joints.shape)
                raise ValueError(f"{name}: expected joints of shape {expected}, found {tuple(posture.shape)}")

    def __len__(self) -> int:
        return self.pose.shape[0]

    def __getitem__(self, index: slice | Tensor) -> PosedGrasps:
        """Selects grasps by a slice, or by an (N,) index or mask."""
        postures = (None if x is None else x[index] for x in (self.pregrasp, self.squeeze))
        return PosedGrasps(self.hand, self.pose[index], self.object, self.scales[index], self.ups[index], *postures)

    @property
    def scales(self) -> Tensor:
        """(B,) float64, metres per unit of the mesh."""
        assert self.scale is not None  # set in __post_init__
        return self.scale

    @property
    def ups(self) -> Tensor:
        """(B, 3) float64, unit, away from the earth, object frame; NaN where the data do not say."""
        assert self.up is not None  # set in __post_init__
        return self.up

    @cached_property
    def valid(self) -> Tensor:
        """(B,) bool: whether pose and scale are finite."""
        pose = self.pose
        parts = (pose.translation, pose.rotation.flatten(1), pose.joints, self.scales[:, None])
        return torch.cat(parts, dim=1).isfinite().all(1)

    @cached_property
    def links(self) -> Links:
        """World transforms of the hand's links, object frame, metres, float64; NaN for a pose that is not finite."""
        return self.hand.forward_kinematics(self.pose)

    def once(self, key: Hashable, make: Callable[[PosedGrasps], _Result]) -> _Result:
        """The result of `make` for these grasps, computed once: several metrics share one simulation."""
        if key not in self._results:
            self._results[key] = make(self)
        return self._results[key]


def _directions(up: Tensor | None, count: int) -> Tensor:
    """(count, 3) unit vectors, float64; rows of NaN stay."""
    up = torch.tensor([0.0, 0.0, 1.0]) if up is None else torch.as_tensor(up)
    if up.shape not in ((3,), (count, 3)):
        raise ValueError(f"up: expected (3,) or ({count}, 3), found {tuple(up.shape)}")
    up = up.detach().double().cpu().expand(count, 3)
    length = torch.linalg.vector_norm(up, dim=-1, keepdim=True)
    bad = ((length - 1).abs() > _UNIT).squeeze(-1)
    if bad.any():
        raise ValueError(f"up: expected unit vectors, or NaN where unknown, found {up[bad][0].tolist()}")
    return up / length
