"""The task around every model that proposes grasps: its loss, and candidates: refined, filtered and measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...datamodules.types import GraspBatch
from ..selection.filter import GraspFilter
from .candidates import CandidateTest
from .contact.holder import ContactHolder, Model
from .evaluation import METRICS
from .objective import Objective
from .refinement.refiner import Refiner


class GraspGeneration(ContactHolder[Model]):
    """Trains a grasp model and tests it by drawing grasps of unseen objects.

    Every test object gets `n_samples` candidates; they are measured as drawn and, with `refine`, refined. The filter
    drops none of the rows: the column `kept` says what it would keep. The data set's own grasps are measured beside.

    Args:
        network: makes the model from a hand (a partial).
        hand: name or YAML of the hand.
        loss: weight of each term of the model's `forward`; those of weight 0 are not computed.
        warmup: term to (first, last), shares of the training between which its weight rises from 0; that of a term of
            weight 0 is not used.
        optimizer: makes the optimiser from parameters.
        scheduler: makes the learning-rate schedule, see `Task`.
        refine: refines candidates towards the contact that the model's own predictor expects; None leaves them. It
            feels the observed cloud, unless it is made with `fields="mesh"`.
        select: says which candidates are worth keeping; None keeps all.
        n_samples: candidates of each test object (RealDex, section 5.2: 10).
        temperature: of the latent distribution in the test.
        sample_seed: of the candidates in the test.
        metrics: names in `dexzoo.metrics.METRICS`.
        legacy: measure the literature's own definitions too.
        method: the name in tables.

    Raises ValueError: a warm-up that is not between two shares; a weight or warm-up of a term that the model does not
    have, at the first batch.
    """

    row_keys = ("method", "refine", "clip")
    supports_sampling = True

    def __init__(
        self,
        network: Callable[..., Model],
        hand: str,
        loss: Mapping[str, float] | None = None,
        warmup: Mapping[str, Sequence[float]] | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        refine: Refiner | None = None,
        select: GraspFilter | None = None,
        n_samples: int = 10,
        temperature: float = 1.0,
        sample_seed: int = 0,
        metrics: Sequence[str] = METRICS,
        legacy: bool = False,
        method: str = "model",
    ) -> None:
        super().__init__(network, hand, optimizer, scheduler, method)
        self.objective = Objective(loss or {}, warmup or {}, method)
        drawn = (n_samples, temperature, sample_seed)
        self.candidates = CandidateTest(method, self.hand.spec.file, refine, select, *drawn, tuple(metrics), legacy)

    def facts(self) -> dict[str, Any]:
        """Hash of the split, and the size of the clouds."""
        radii = self.data.train.radii
        return {"split_hash": self.data.split_hash, "object_radius_m": [float(radii.min()), float(radii.max())]}

    def fit_statistics(self) -> None:
        """Statistics from the training grasps."""
        self.network.fit_statistics(self.data.train)

    def weights_at(self, progress: float) -> dict[str, float]:
        """Weights of the terms that are not 0 at the end."""
        return self.objective.weights_at(progress)

    def training_step(self, batch: GraspBatch, batch_idx: int) -> Tensor:
        """Weighted terms of one batch; every term is logged."""
        return self._loss(batch, "train", self.progress, len(batch.names))

    def validation_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """The same terms with their final weights; a grasp that another process has too is left out."""
        fresh = len(batch.names) - self.repeats(batch_idx)
        self._loss(batch.first(fresh or 1), "val", 1.0, fresh)

    def test_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """Draws, refines, filters and measures grasps of the one object of a batch; and measures the true ones."""
        self.results += self.candidates.rows(self.network, batch)

    def _loss(self, batch: GraspBatch, part: str, progress: float, counts: int) -> Tensor:
        """Weighted sum, logged as the mean over `counts` grasps; 0 leaves it out of the mean of all processes."""
        loss = self.objective(self.network, batch, progress)
        self.watch(loss.weighed)
        self.log_loss(part, loss.total, loss.terms, counts)
        return loss.total
