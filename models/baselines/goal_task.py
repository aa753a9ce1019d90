"""The task around GOAL-hand: its own loss and schedule; evaluated as every motion model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...datamodules.types import MotionBatch
from ..goal_refine import GoalRefine
from ..tasks.motion_synthesis import MotionSynthesis
from .goal import GoalHand
from .goal_loss import GoalLoss


class GoalSynthesis(MotionSynthesis):
    """Trains all heads of `GoalHand` with `GoalLoss`.

    GOAL lowers the rate where the error of its points head on validation windows no longer improves. Here validation is
    rollouts of whole clips, so a `ReduceLROnPlateau` watches their MPJPE; data without validation clips keep the rate.

    Args:
        network: makes the model from a hand (a partial: `hand -> GoalHand`).
        hand: name or YAML of the hand.
        loss: ramps of `GoalLoss`.
        optimizer: makes the optimiser from parameters.
        scheduler: makes the learning-rate schedule, see `Task`.
        goal_refine: see `MotionSynthesis`.
        given_frames: see `MotionSynthesis`.
        method: the name in tables.

    Raises:
        ValueError: as `MotionSynthesis` and `GoalLoss`.
    """

    def __init__(
        self,
        network: Callable[..., GoalHand],
        hand: str,
        loss: Mapping[str, Sequence[float]],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        goal_refine: Sequence[GoalRefine] = ("off",),
        given_frames: int = 1,
        method: str = "goal",
    ) -> None:
        super().__init__(network, hand, {}, optimizer, scheduler, goal_refine, given_frames, method)
        self.goal_loss = GoalLoss(self.hand, loss)

    def losses(self, batch: MotionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum at the weights of the epoch, and unweighted terms, of a batch of windows."""
        network: GoalHand = self.network
        return self.goal_loss(network.predict(batch), batch, network.surface, self.current_epoch)
