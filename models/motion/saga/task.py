"""Task for SAGA-hand: trained on whole clips with its own loss; evaluated like all motion models."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from ....datamodules.types import ClipBatch
from ..task import MotionSynthesis
from .loss import SagaLoss
from .model import SagaHand


class SagaSynthesis(MotionSynthesis[SagaHand]):
    """Trains both networks of `SagaHand` together.

    SAGA has an Adam for each network. One over both takes the same steps, since Adam treats every number separately;
    the gradient is clipped per network, as in SAGA.

    Args:
        loss: weights of `SagaLoss`.
        clips_per_batch: whole clips per training batch.
        separate: initial share of the training in which the networks are trained separately, the image network on true
            paths, like the published ones before their joint training; 1 keeps them separate.
        **task: see `MotionSynthesis`; `network` makes a `SagaHand`.

    Raises ValueError: as for `MotionSynthesis` and `SagaLoss`.
    """

    def __init__(
        self, *, loss: Mapping[str, float], clips_per_batch: int = 24, separate: float = 0.0, **task: Any
    ) -> None:
        super().__init__(loss={}, clips_per_batch=clips_per_batch, **task)
        self.saga_loss, self.separate = SagaLoss(loss), separate

    def losses(self, batch: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch of whole clips."""
        apart = self.progress < self.separate
        return self.saga_loss(self.network.predict(batch, end_to_end=not apart))

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the norm of each network's gradient separately; clipping by value needs no distinction."""
        if gradient_clip_val is None or gradient_clip_algorithm == "value":
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        for network in (self.network.traj_fill, self.network.local_fill):
            clip_grad_norm_(network.parameters(), gradient_clip_val)
