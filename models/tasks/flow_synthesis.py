"""The task around MotionFlow: its own loss; evaluated as every motion model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...datamodules.types import MotionBatch
from ...losses.weighted import weighted_sum
from ..motion_flow import MotionFlow
from .motion_synthesis import MotionSynthesis


class FlowSynthesis(MotionSynthesis):
    """Trains `MotionFlow` on lines from noise to windows, by `flow` and by terms of `MotionLoss` on their guessed ends.

    `flow` alone is flow matching. Every number of the standardised offsets counts the same in it; the other terms look
    at what an error does to the hand. They are distances and not squares, so they draw the ends from the mean of the
    possible motions to their median.

    Args:
        loss: weights of `flow` (squared error of the standardised offsets, mean over them) and of `MotionLoss`.
        **task: see `MotionSynthesis`; `network` makes a `MotionFlow`.

    Raises:
        ValueError: as `MotionSynthesis`, or `loss` has no positive weight of `flow`.
    """

    def __init__(self, *, loss: Mapping[str, float], **task: Any) -> None:
        flow = loss.get("flow", 0.0)
        if not flow > 0:
            raise ValueError(f"loss.flow: expected a positive weight, found {flow}; it is what trains the flow")
        others = {name: weight for name, weight in loss.items() if name != "flow"}
        super().__init__(loss=others, **task)
        self.weights = {"flow": float(flow)} | self.loss.weights

    def losses(self, batch: MotionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch of windows, at fresh noise."""
        network: MotionFlow = self.network
        guess, error = network.guess(batch)
        terms = {"flow": error.mean()}
        if self.loss.weights:
            terms |= self.loss(guess, batch.future, batch.past)[1]
        return weighted_sum(terms, self.weights), terms
