"""The task around SAGA-hand: trained on whole clips with its own loss; evaluated as every motion model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ....datamodules.types import ClipBatch
from ...goal_refine import GoalRefine
from ...tasks.motion_synthesis import MotionSynthesis
from .loss import SagaLoss
from .model import SagaHand


class SagaSynthesis(MotionSynthesis):
    """Trains both networks of `SagaHand` together, with a schedule that counts epochs.

    SAGA has an Adam for each network. One over both takes the same steps, as Adam treats every number by itself; the
    gradient is clipped network by network, as theirs.

    Args:
        network: makes the model from a hand (a partial: `hand -> SagaHand`).
        hand: name or YAML of the hand.
        loss: weights of `SagaLoss`.
        optimizer: makes the optimiser from parameters.
        scheduler: makes the learning-rate schedule from the optimiser; None keeps the rate.
        goal_refine: see `MotionSynthesis`.
        given_frames: see `MotionSynthesis`.
        n_draws: see `MotionSynthesis`.
        sample_seed: see `MotionSynthesis`.
        clips_per_batch: whole clips in a training batch.
        separate_epochs: at the start, in which the networks are trained apart, the image network on true paths, as the
            published ones were before their common training; None keeps them apart.
        method: the name in tables.

    Raises:
        ValueError: as `MotionSynthesis` and `SagaLoss`.
    """

    def __init__(
        self,
        network: Callable[..., SagaHand],
        hand: str,
        loss: Mapping[str, float],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        goal_refine: Sequence[GoalRefine] = ("off",),
        given_frames: int = 1,
        n_draws: int = 10,
        sample_seed: int = 0,
        clips_per_batch: int = 24,
        separate_epochs: int | None = 0,
        method: str = "saga",
    ) -> None:
        super().__init__(
            network,
            hand,
            {},
            optimizer,
            scheduler,
            goal_refine,
            given_frames,
            n_draws,
            sample_seed,
            clips_per_batch,
            method,
        )
        self.saga_loss, self.separate_epochs = SagaLoss(loss), separate_epochs

    def losses(self, batch: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch of whole clips."""
        network: SagaHand = self.network
        end_to_end = self.separate_epochs is not None and self.current_epoch >= self.separate_epochs
        return self.saga_loss(network.predict(batch, end_to_end))

    def configure_optimizers(self) -> Any:
        """Optimiser, and a schedule that counts epochs."""
        optimizer = self.make_optimizer(self.network.parameters())
        if self.make_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.make_scheduler(optimizer)}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the norm of each network's gradient by itself; single values need no such care."""
        if gradient_clip_val is None or gradient_clip_algorithm == "value":
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        for network in (self.network.traj_fill, self.network.local_fill):
            clip_grad_norm_(network.parameters(), gradient_clip_val)
