"""The task around GOAL-hand: its own loss and schedule; evaluated as every motion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ....datamodules.types import MotionBatch
from ..task import MotionSynthesis
from .loss import GoalLoss
from .model import GoalHand


class GoalSynthesis(MotionSynthesis[GoalHand]):
    """Trains all heads of `GoalHand` with `GoalLoss`.

    GOAL lowers the rate where the error of its points head on validation windows no longer improves. Here validation is
    rollouts of whole clips, so `plateau` watches their MPJPE; data without validation clips keep the rate.

    Args:
        loss: ramps of `GoalLoss`.
        **task: see `MotionSynthesis`; `network` makes a `GoalHand`.

    Raises:
        ValueError: as `MotionSynthesis` and `GoalLoss`.
    """

    def __init__(self, *, loss: Mapping[str, Sequence[float]], **task: Any) -> None:
        super().__init__(loss={}, **task)
        self.goal_loss = GoalLoss(self.hand, loss)

    def weights_at(self, progress: float) -> dict[str, float]:
        """Weights of `GoalLoss`."""
        return self.goal_loss.weights(progress)

    def losses(self, batch: MotionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum at the weights of this moment of the training, and unweighted terms, of a batch of windows."""
        return self.goal_loss(self.network.predict(batch), batch, self.network.surface, self.progress)
