"""Task for all models that propose grasps: the loss, and candidates that are refined, filtered and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...datamodules.grasps import GraspDataModule
from ...datamodules.types import GraspBatch
from ...grasps.asset import ObjectAsset, load_asset
from ...grasps.posed import PosedGrasps
from ...hands.hand import Hand
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ...losses.ramp import Ramp
from ...losses.weighted import weighted_sum
from ..selection.filter import GraspFilter
from ..task import Task, draw_generator
from .base import GraspModel
from .evaluation import GROUND_TRUTH, METRICS, NOTHING_FELT, rows
from .refinement.fields import ObjectFields
from .refinement.refiner import Refiner


class NoContactPredictor(ValueError):
    """A model needs a contact predictor, and its own was never trained."""


class GraspGeneration(Task):
    """Trains a grasp model and tests it by sampling grasps of unseen objects.

    Every test object gets `n_samples` candidates, which are measured as sampled and, with `refine`, after refinement.
    The filter does not drop rows: the column `kept` says which ones it would keep. The data set's own grasps are
    measured too.

    Args:
        network: makes the model for a hand (a partial).
        hand: name or YAML of the hand.
        loss: weight of each term of the model's `forward`; terms of weight 0 are not computed.
        warmup: (first, last) of each term, shares of the training between which its weight rises from 0; unused for
            terms of weight 0.
        optimizer: makes the optimiser for the parameters.
        scheduler: makes the learning-rate schedule, see `Task`.
        refine: refines candidates towards the contact predicted by the model's own predictor; None for no refinement.
            It uses the observed cloud, unless it was made with `fields="mesh"`.
        select: selects the candidates worth keeping; None keeps all.
        n_samples: candidates per test object (RealDex, section 5.2: 10).
        temperature: temperature of the latent distribution in the test.
        sample_seed: seed of the candidates in the test.
        metrics: names in `dexzoo.metrics.METRICS`.
        legacy: measure the literature's own definitions too.
        method: name in tables.

    Raises:
        ValueError: an invalid warm-up; at the first batch, a weight or warm-up of a term that the model does not have.
    """

    datamodule_type = GraspDataModule
    row_keys = ("method", "refine", "clip")
    has_contact: Tensor

    def __init__(
        self,
        network: Callable[..., GraspModel],
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
        if n_samples < 1:
            raise ValueError(f"n_samples: expected 1 or more candidates per object, found {n_samples}")
        self.weights = {name: float(weight) for name, weight in (loss or {}).items() if weight}
        rising = {name: ends for name, ends in (warmup or {}).items() if (loss or {}).get(name) != 0}
        self.warmup = {name: Ramp(0.0, 1.0, *map(float, ends)) for name, ends in rising.items()}
        self.refine, self.select = refine, select
        self.n_samples, self.temperature, self.sample_seed = n_samples, temperature, sample_seed
        self.metrics, self.legacy = tuple(metrics), legacy
        self.register_buffer("has_contact", torch.tensor(False))

    def facts(self) -> dict[str, Any]:
        """Hash of the split, and the size of the clouds."""
        radii = self.data.train.radii
        return {"split_hash": self.data.split_hash, "object_radius_m": [float(radii.min()), float(radii.max())]}

    def fit_statistics(self) -> None:
        """Computes statistics from the training grasps."""
        self.network.fit_statistics(self.data.train)

    def on_fit_start(self) -> None:
        """Checks that the contact predictor was trained."""
        self.check_ready()

    def weights_at(self, progress: float) -> dict[str, float]:
        """Weights of the terms whose final weight is not 0."""
        ramps = self.warmup
        return {name: w * (ramps[name].at(progress) if name in ramps else 1.0) for name, w in self.weights.items()}

    def training_step(self, batch: GraspBatch, batch_idx: int) -> Tensor:
        """Weighted terms of one batch; every term is logged."""
        return self._loss(batch, "train", self.progress, len(batch.names))

    def validation_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """The same terms with their final weights, without grasps that another process has too."""
        fresh = len(batch.names) - self.repeats(batch_idx)
        self._loss(batch.first(fresh or 1), "val", 1.0, fresh)

    def on_test_start(self) -> None:
        """Clears the results of an earlier test."""
        self.check_ready()
        self.results = []

    def test_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """Samples, refines, filters and measures grasps of the batch's one object, and measures the true ones."""
        obj = _Object.of(batch)
        generator = draw_generator(self.sample_seed, batch.names[0])  # the name of its first true grasp is unique
        with torch.inference_mode(
            False
        ):  # Lightning tests in inference mode, which would forbid the gradients of refinement
            points, plane = (None if x is None else x[:1].clone() for x in (batch.object_points, batch.plane))
            upwards = None if batch.up is None else batch.up[: self.n_samples]
            shown = replace(obj, up=obj.up if upwards is None else upwards)
            self._measure(GROUND_TRUTH, "-", batch.pose[: self.n_samples].map(torch.clone), shown)
            assert points is not None
            meshes = None if self.refine is None or self.refine.fields == "cloud" else obj.fields(points.device)
            for mode, pose in self.propose(points, plane, generator, meshes).items():
                self._measure(self.method, mode, pose[0], obj)

    def on_test_epoch_end(self) -> None:
        """Gathers the rows of all ranks and logs the means."""
        self.gather_results()
        for mode in dict.fromkeys(row["refine"] for row in self.results):
            mine = [row for row in self.results if row["refine"] == mode and row["method"] == self.method]
            self.log_means(f"test_{mode}", mine)

    @torch.no_grad()
    def propose(
        self,
        points: Tensor,
        plane: Tensor | None = None,
        generator: torch.Generator | None = None,
        meshes: ObjectFields | None = None,
    ) -> dict[str, HandPose]:
        """Samples `n_samples` grasps per object, and refines them.

        Args:
            points: (B, N, 3), metres, clouds of B objects, each in its own object frame.
            plane: (B, 4), unit normal and offset (metres) of the table, same frame; None without a table.
            generator: the only source of random numbers.
            meshes: distance grids of the B objects' meshes, only for a refinement with `fields="mesh"`.

        Returns:
            HandPose (B, n_samples) by mode: "off", and that of the refiner if there is one.
        """
        drawn = self.network.sample(points, self.n_samples, generator, self.temperature)
        modes = {"off": drawn}
        if self.refine is not None:
            objects, n = drawn.shape
            repeated = points.repeat_interleave(n, dim=0)
            tables = None if plane is None else plane.repeat_interleave(n, dim=0)
            owner = torch.arange(objects, device=points.device).repeat_interleave(n)
            each = None if meshes is None else meshes[owner]
            refined = self.refine(self.hand, drawn.reshape(objects * n), repeated, self._contact, tables, each)
            modes[self.refine.preset] = refined.pose.reshape(objects, n)
        return modes

    @cached_property
    def _measured_hand(self) -> Hand:
        """A hand that stays on the CPU, where metrics are computed; not a submodule."""
        return load_hand(self.hand.spec.file)

    @property
    def _contact(self) -> Any:
        return getattr(self.network, "contact", None)

    def check_ready(self) -> None:
        """Raises NoContactPredictor if the contact predictor was never trained."""
        if self._contact is not None and not self.has_contact:
            raise NoContactPredictor(
                f"contact: expected a trained contact predictor for {self.method!r}, found none; fill it by "
                "`load_contact_weights`, or do without by contact=None, and without that term of the loss"
            )

    def load_contact_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Loads trained weights into the contact predictor.

        Raises:
            ValueError: the network has no contact predictor.
            RuntimeError: the weights belong to a different predictor.
        """
        if self._contact is None:
            raise ValueError(
                f"weights: expected none, as {self.method!r} has no contact predictor, found {len(weights)}"
            )
        self._contact.load_state_dict(weights)
        self.has_contact.fill_(True)

    def _loss(self, batch: GraspBatch, part: str, progress: float, counts: int) -> Tensor:
        """Weighted sum, logged as the mean over `counts` grasps; 0 excludes it from the mean of all processes."""
        weights = self.weights_at(progress)
        if progress > 0:  # the first batch computes all terms, so that a wrong name is reported at once
            weights = {name: weight for name, weight in weights.items() if weight}
        self.network.active = frozenset(weights)
        terms = self.network(batch)
        unknown = sorted((weights.keys() | self.warmup.keys() if progress == 0 else weights.keys()) - terms.keys())
        if unknown:
            raise ValueError(f"loss: expected terms of {self.method!r}, {sorted(terms)}, found {', '.join(unknown)}")
        weighed = {name: terms[name] for name in weights}
        total = weighted_sum(weighed, weights)
        self.watch(weighed)
        how: dict[str, Any] = {"batch_size": counts, "on_step": False, "on_epoch": True, "sync_dist": True}
        self.log(f"{part}/loss", total, prog_bar=part == "train", **how)
        self.log_dict({f"{part}/{name}": term for name, term in terms.items()}, **how)
        return total

    def _measure(self, method: str, mode: str, pose: HandPose, obj: _Object) -> None:
        """Adds a row for each grasp (n,) of an object."""
        grasps = PosedGrasps(self._measured_hand, pose, obj.asset, torch.tensor(obj.scale), obj.up)
        chosen = None if self.select is None else self.select(grasps)
        felt = self.refine.fields if self.refine is not None and mode == self.refine.preset else NOTHING_FELT
        labels = {"method": method, "refine": mode, "refine_fields": felt}
        self.results += rows(grasps, chosen, labels, self.metrics, self.legacy, obj.mesh, obj.scene)


@dataclass(frozen=True)
class _Object:
    """The test object on which candidates are measured; `up` as for `PosedGrasps`, that of the first grasp."""

    mesh: Path
    scale: float
    asset: ObjectAsset
    scene: str
    """The table, if the data have tables."""
    up: Tensor | None

    def fields(self, device: torch.device) -> ObjectFields:
        """Distance field of the mesh, for one object."""
        owner, scale = torch.zeros(1, dtype=torch.long, device=device), torch.tensor([self.scale], device=device)
        return ObjectFields([self.asset.grid.on(device)], owner, scale)

    @staticmethod
    def of(batch: GraspBatch) -> _Object:
        """The one object of a batch."""
        name, mesh = batch.objects[0], batch.meshes[0]
        if mesh is None:
            raise ValueError(f"object {name!r}: expected a mesh to measure grasps on, found none")
        scene = "" if batch.plane is None else batch.names[0]
        up = None if batch.up is None else batch.up[0]
        if up is None and batch.plane is not None:
            up = batch.plane[0, :3]
        return _Object(mesh, float(batch.scale[0]), load_asset(mesh, name), scene, up)
