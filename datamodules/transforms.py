"""Changes made to training windows as they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..geometry.rotations import rotvec_to_rotmat
from ..hands.pose import HandPose
from .errors import DataError
from .types import MotionBatch


@dataclass(frozen=True)
class HistoryNoise:
    """Moves the past off the recorded path, so that a model learns to come back to it from its own mistakes.

    A rollout drifts as a whole more than it shakes: each window gets one offset common to its five frames, and each
    frame a small one of its own. The future and the goal stay true.

    Attributes:
        translation_std: standard deviation of the common offset of the palm, metres, per axis.
        rotation_std: of the common rotation vector, radians, per axis, in the palm's frame.
        joint_std: of the common offset of each joint, radians.
        jitter: standard deviation of a frame's own offset as a share of the common one.
    """

    translation_std: float = 0.0
    rotation_std: float = 0.0
    joint_std: float = 0.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise DataError(f"{name}: expected a standard deviation >= 0, found {value}")

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return self.translation_std > 0 or self.rotation_std > 0 or self.joint_std > 0

    def __call__(self, batch: MotionBatch, generator: torch.Generator) -> MotionBatch:
        """Returns the batch with another `past`."""
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
