"""Task for contact predictors: from a perturbed hand, predict where the true one touches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ....datamodules.grasps import GraspDataModule
from ....datamodules.transforms import PerturbHand
from ....datamodules.types import GraspBatch
from ....losses.contact import contact_bins, soft_contact
from ....metrics.base import measured
from ....metrics.columns import CONTACT_MAPS
from ...task import Task, draw_generator, rows_of
from .model import ContactPredictor

CONTACT = 0.005
"""metres, largest distance of an object point to the hand that counts as contact in F1 (GraspTTA's threshold)."""
_TOUCHES = float(soft_contact(torch.tensor(CONTACT)))


class ContactPrediction(Task[ContactPredictor, GraspDataModule]):
    """Trains a contact predictor on hands moved off true grasps (RealDex, section 4.2).

    In the test every grasp gets a row of errors, and a second one, `perturbed hand`, for the contact map of the
    perturbed hand itself: the value of the predictor is the difference.

    Args:
        network: makes the predictor for a hand (a partial).
        hand: name or YAML of the hand.
        perturb: noise on the hand given to the predictor.
        n_points: number of points of each cloud in a training step: the first ones, which are a farthest-point subset.
        optimizer: makes the optimiser for the parameters.
        scheduler: makes the learning-rate schedule, see `Task`.
        method: name in tables.
    """

    datamodule_type = GraspDataModule
    row_keys = ("method", "clip")

    def __init__(
        self,
        network: Callable[..., ContactPredictor],
        hand: str,
        perturb: PerturbHand,
        n_points: int = 512,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        method: str = "contact_map",
    ) -> None:
        super().__init__(network, hand, optimizer, scheduler, method)
        self.perturb, self.n_points = perturb, n_points

    @property
    def contact_predictor(self) -> ContactPredictor:
        """The network."""
        return self.network

    def facts(self) -> dict[str, Any]:
        """Hash of the split."""
        return {"split_hash": self.data.split_hash}

    def fit_statistics(self) -> None:
        """Needs none."""

    def training_step(self, batch: GraspBatch, batch_idx: int) -> Tensor:
        """Loss of the contact map for freshly perturbed hands."""
        fewer = replace(batch, object_points=batch.object_points[:, : self.n_points])
        logits, target = self._predict(fewer, None)
        loss = self.network.loss(logits, target)
        self.watch({"loss": loss})
        self.log_loss("train", loss, {}, len(batch.names))
        return loss

    def validation_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """Loss, accuracy and F1 for hands perturbed the same way each time."""
        logits, target = self._predict(batch, _generators(batch))
        each = zip(logits.split(1), target.split(1), strict=True)
        losses = torch.stack([self.network.loss(*one) for one in each])
        labels = [{"method": self.method, "clip": name} for name in batch.names]
        self.validated += rows_of(labels, {"loss": losses} | self._errors(logits, target))

    def test_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """Errors of every grasp, for hands perturbed the same way each time."""
        moved = self.perturb(batch, _generators(batch))
        logits, target = self._predict(batch, _generators(batch))
        own = self.network.target(moved.pose, batch.object_points)
        columns = {
            self.method: self._errors(logits, target),
            "perturbed hand": _map_errors(own, own, own >= _TOUCHES, target, self.network.bins),
        }
        for method, errors in columns.items():
            clips = zip(batch.names, batch.objects, strict=True)
            labels = [{"method": method, "refine": "-", "clip": name, "object": obj} for name, obj in clips]
            self.results += rows_of(labels, errors)

    def test_prefix(self, mode: str) -> str:
        """The same for all: a contact map is not refined."""
        return "test"

    def _predict(
        self, batch: GraspBatch, generator: torch.Generator | Sequence[torch.Generator] | None
    ) -> tuple[Tensor, Tensor]:
        """Logits of the predictor for the perturbed hand, and the true hand's contact map."""
        moved = self.perturb(batch, generator)
        points = batch.object_points
        target = self.network.target(batch.pose, points)
        return self.network(points, self.network.hand_points(moved.pose)), target

    def _errors(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        network = self.network
        touches = network.probability(logits, _TOUCHES) >= 0.5
        maps = (network.expected(logits), network.mode(logits), touches)
        return _map_errors(*maps, target, network.bins, logits=logits)


def _generators(batch: GraspBatch) -> list[torch.Generator]:
    """Generators that perturb the hands of a validation or test, one per grasp."""
    return [draw_generator(0, name) for name in batch.names]


def _map_errors(
    expected: Tensor, likeliest: Tensor, touches: Tensor, target: Tensor, bins: int, **inputs: Tensor
) -> dict[str, Tensor]:
    """Errors of contact maps (B, N) in [0, 1], one value per grasp: mean, likeliest value, and which points touch."""
    inputs |= {"pred_bins": contact_bins(likeliest, bins), "target_bins": contact_bins(target, bins)}
    inputs |= {"pred_touch": touches, "target_touch": target >= _TOUCHES, "expected": expected, "target": target}
    return measured(CONTACT_MAPS, inputs)
