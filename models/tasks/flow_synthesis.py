"""The task around MotionFlow: its own loss; evaluated as every motion model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...datamodules.types import MotionBatch
from ...losses.weighted import weighted_sum
from ..goal_refine import GoalRefine
from ..motion_flow import MotionFlow
from .motion_synthesis import MotionSynthesis


class FlowSynthesis(MotionSynthesis):
    """Trains `MotionFlow` on lines from noise to windows, by `flow` and by terms of `MotionLoss` on their guessed ends.

    `flow` alone is flow matching. Every number of the standardised offsets counts the same in it; the other terms look
    at what an error does to the hand. They are distances and not squares, so they draw the ends from the mean of the
    possible motions to their median.

    Args:
        network: makes the model from a hand (a partial: `hand -> MotionFlow`).
        hand: name or YAML of the hand.
        loss: weights of `flow` (squared error of the standardised offsets, mean over them) and of `MotionLoss`.
        optimizer: makes the optimiser from parameters.
        scheduler: makes the learning-rate schedule from the optimiser and the number of steps `total_steps`.
        goal_refine: see `MotionSynthesis`.
        given_frames: see `MotionSynthesis`.
        n_draws: see `MotionSynthesis`.
        sample_seed: see `MotionSynthesis`.
        method: the name in tables.

    Raises:
        ValueError: as `MotionSynthesis`, or `loss` has no positive weight of `flow`.
    """

    def __init__(
        self,
        network: Callable[..., MotionFlow],
        hand: str,
        loss: Mapping[str, float],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        goal_refine: Sequence[GoalRefine] = ("off",),
        given_frames: int = 1,
        n_draws: int = 1,
        sample_seed: int = 0,
        method: str = "motion_flow",
    ) -> None:
        flow = loss.get("flow", 0.0)
        if not flow > 0:
            raise ValueError(f"loss.flow: expected a positive weight, found {flow}; it is what trains the flow")
        others = {name: weight for name, weight in loss.items() if name != "flow"}
        super().__init__(
            network, hand, others, optimizer, scheduler, goal_refine, given_frames, n_draws, sample_seed, method=method
        )
        self.weights = {"flow": float(flow)} | self.loss.weights

    def losses(self, batch: MotionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch of windows, at fresh noise."""
        network: MotionFlow = self.network
        guess, error = network.guess(batch)
        terms = {"flow": error.mean()}
        if self.loss.weights:
            terms |= self.loss(guess, batch.future, batch.past)[1]
        return weighted_sum(terms, self.weights), terms
