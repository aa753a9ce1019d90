"""Task for GOAL-hand: its own loss and schedule; evaluated like all motion models."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ....datamodules.types import MotionBatch
from ..task import MotionSynthesis
from .loss import GoalLoss
from .model import GoalHand


class GoalSynthesis(MotionSynthesis[GoalHand]):
    """Trains all heads of `GoalHand` with `GoalLoss`.

    GOAL lowers the rate when the error of its points head on validation windows no longer improves. Here validation
    rolls out whole clips, so `plateau` monitors their MPJPE; without validation clips the rate stays constant.

    Args:
        loss: ramps of `GoalLoss`.
        **task: see `MotionSynthesis`; `network` makes a `GoalHand`.

    Raises ValueError: as for `MotionSynthesis` and `GoalLoss`.
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
