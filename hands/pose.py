"""HandPose: position, orientation and joint values of a hand, never a bare vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat, slerp
from .products import compose, rotate


@dataclass(frozen=True)
class HandPose:
    """Poses of one hand, with any batch shape `...`.

    Attributes:
        translation: (..., 3), metres, origin of the hand's root frame (the palm body for Shadow) in the world.
        rotation: (..., 3, 3), world_from_hand.
        joints: (..., J), radians, in the order of `Hand.joint_names`.
        hand: name of the hand that these joints belong to.
    """

    translation: Tensor
    rotation: Tensor
    joints: Tensor
    hand: str

    @property
    def shape(self) -> torch.Size:
        """Batch shape."""
        return self.translation.shape[:-1]

    def map(self, function: Callable[[Tensor], Tensor]) -> HandPose:
        """Applies `function` to each of the three tensors; it may only change batch dimensions, dtype or device."""
        return replace(
            self,
            translation=function(self.translation),
            rotation=function(self.rotation),
            joints=function(self.joints),
        )

    def __getitem__(self, index: Any) -> HandPose:
        """Indexes the batch dimensions, from the front; write `pose[:, -1]`, not `pose[..., -1]`."""
        if index is Ellipsis or (isinstance(index, tuple) and any(part is Ellipsis for part in index)):
            raise IndexError("a HandPose is indexed from the front: `...` would index into the vectors themselves")
        return self.map(lambda x: x[index])

    def to(self, *args: Any, **kwargs: Any) -> HandPose:
        """Moves or casts, like `Tensor.to`."""
        return self.map(lambda x: x.to(*args, **kwargs))

    def reshape(self, *shape: int) -> HandPose:
        """Gives the batch dimensions a new shape."""
        n = len(self.shape)
        return self.map(lambda x: x.reshape(*shape, *x.shape[n:]))

    @staticmethod
    def cat(poses: Sequence[HandPose], dim: int = 0) -> HandPose:
        """Concatenates along a batch dimension, counted from the front (`dim >= 0`)."""
        return _join(torch.cat, poses, dim)

    @staticmethod
    def stack(poses: Sequence[HandPose], dim: int = 0) -> HandPose:
        """Stacks along a new batch dimension, counted from the front (`dim >= 0`)."""
        return _join(torch.stack, poses, dim)

    def to_vector(self) -> Tensor:
        """(..., 6 + J): translation 3 | axis-angle 3 | joints J. The paper's phi (RealDex, section 4.1)."""
        return torch.cat([self.translation, rotmat_to_rotvec(self.rotation), self.joints], dim=-1)

    @staticmethod
    def from_vector(vector: Tensor, hand: str) -> HandPose:
        """Inverse of `to_vector`."""
        return HandPose(vector[..., :3], rotvec_to_rotmat(vector[..., 3:6]), vector[..., 6:], hand)

    def relative_to(self, other: HandPose) -> HandPose:
        """This pose in the root frame of `other` (broadcasts); joints are unchanged."""
        other_from_world = other.rotation.mT
        return replace(
            self,
            translation=rotate(other_from_world, self.translation - other.translation),
            rotation=compose(other_from_world, self.rotation),
        )

    def moved_by(self, rotation: Tensor, translation: Tensor) -> HandPose:
        """The pose after moving the world by `x -> rotation @ x + translation`; (..., 3, 3) and (..., 3), broadcast."""
        moved = rotate(rotation, self.translation) + translation
        return replace(self, translation=moved, rotation=compose(rotation, self.rotation))

    def interpolate(self, other: HandPose, progress: Tensor) -> HandPose:
        """Interpolates: linear in translation and joints, slerp in rotation.

        Args:
            other: the pose at progress 1.
            progress: (...), broadcasts against the batch shapes.
        """
        s = progress.unsqueeze(-1)
        return replace(
            self,
            translation=self.translation + s * (other.translation - self.translation),
            rotation=slerp(self.rotation, other.rotation, progress),
            joints=self.joints + s * (other.joints - self.joints),
        )


def _join(function: Callable[..., Tensor], poses: Sequence[HandPose], dim: int) -> HandPose:
    hands = {pose.hand for pose in poses}
    if len(hands) != 1:
        raise ValueError(
            f"poses: expected poses of one hand, found {sorted(hands)}; convert them with Hand.convert first"
        )
    if dim < 0:
        raise ValueError(f"dim: expected a batch dimension counted from the front, found {dim}")
    return HandPose(
        function([p.translation for p in poses], dim=dim),
        function([p.rotation for p in poses], dim=dim),
        function([p.joints for p in poses], dim=dim),
        poses[0].hand,
    )
