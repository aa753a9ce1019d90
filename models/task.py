"""What the tasks around all networks share: optimiser, facts of a checkpoint, rows of a test."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning as L
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DistributedSampler

from dexzoo import __version__

from ..datamodules.base import batch_generator
from ..geometry.progress import working
from ..hands import load_hand
from ..hands.pose import HandPose
from ..losses import FiniteWatch
from . import pace
from .checkpoint import KEY, facts_in, refuse_other_data
from .precision import take_over_precision
from .published.checkpoints import Report

Row = dict[str, Any]

Network = TypeVar("Network", bound=nn.Module)
"""Tensors in, poses or maps out."""
Data = TypeVar("Data", bound=L.LightningDataModule)
"""What it is trained and tested on."""


def draw_generator(seed: int, name: str) -> torch.Generator:
    """What is drawn for a clip, grasp or scene of a validation or test, whichever batch or process has it.

    Args:
        seed: of the evaluation.
        name: of the clip, grasp or scene, unique in its data set.
    """
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32)
    return batch_generator(seed, *words.tolist())


class Task(L.LightningModule, Generic[Network, Data]):
    """A network with its optimiser; subclasses say what is learned and how it is tested.

    What it can do is asked of it, never of its class: `supports_rollouts`, `supports_sampling`, `contact_predictor`.

    Args:
        network: makes the network from a hand (a partial: `hand -> network`).
        hand: name or YAML of the hand.
        optimizer: makes the optimiser from parameters; None for a network without parameters.
        scheduler: makes the learning-rate schedule from the optimiser; a partial. One that takes the number of steps,
            `total_steps`, counts steps, a `ReduceLROnPlateau` watches `monitor`, others count epochs; `epochs` and
            `validations` are given to those that take them.
        method: the name in tables.

    Attributes:
        trainable: whether the network has parameters to train.
        config: of the run, plain values; it goes into checkpoints.
        data_facts: of the data that it was set up with, likewise.
        results: rows of the last test; `row_keys` tell them apart.
        rollouts: motions of the last test by clip, those of this process; none where `supports_rollouts` is False.

    Raises:
        ValueError: a network with parameters without `optimizer`.
    """

    datamodule_type: type[Data]
    """The data modules it is for."""
    supports_rollouts = False
    """Whether the network has `rollout(past, goal, n_frames, ...)`, see `MotionModel`: it makes motions."""
    supports_sampling = False
    """Whether the network has `sample(points, n, generator, temperature)`, see `GraspModel`: it makes grasps."""
    row_keys: tuple[str, ...]
    monitor = "val/loss"
    """What a validation is judged by; smaller is better."""

    def __init__(
        self,
        network: Callable[..., Network],
        hand: str,
        optimizer: Callable[..., Optimizer] | None,
        scheduler: Callable[..., LRScheduler] | None,
        method: str,
    ) -> None:
        super().__init__()
        self.hand = load_hand(hand)
        self.network: Network = network(hand=self.hand)
        self.trainable = any(p.requires_grad for p in self.network.parameters())
        if self.trainable and optimizer is None:
            raise ValueError(f"model {method!r} has parameters: it needs `loss` and `optimizer`")
        self.make_optimizer: Any = optimizer
        self.make_scheduler: Any = scheduler
        self.method = method
        self.config: dict[str, Any] = {}
        self.data_facts: dict[str, Any] = {}
        self.results: list[Row] = []
        self.rollouts: dict[str, HandPose] = {}
        self._resumed_steps: int | None = None
        self.watch = FiniteWatch()
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def data(self) -> Data:
        """The data module of the running trainer; raises as `accept`."""
        return self.accept(self.trainer.datamodule)  # type: ignore[attr-defined]

    def accept(self, data: Any) -> Data:
        """The data module, where it is one that the task is for.

        Raises:
            ValueError: one of another kind.
        """
        if not isinstance(data, self.datamodule_type):
            raise ValueError(
                f"data: expected {self.datamodule_type.__name__} for model {self.method!r}, "
                f"found {type(data).__name__}; "
                "grasps come from data=demo_grasps, dexgraspnet, unidexgrasp, multidex, realdex_grasps or grab_grasps, "
                "motions from data=demo, realdex or grab"
            )
        return data

    def check_ready(self) -> None:
        """Checks, once weights are loaded, that nothing is missing without which no training or test begins."""

    @property
    def contact_predictor(self) -> Any:
        """The `grasp.ContactPredictor` that it is, or has inside; None for others."""
        return None

    def load_contact_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Fills the contact predictor inside with trained weights.

        Raises:
            ValueError: there is none.
        """
        raise ValueError(f"contact_from: expected a model with a contact predictor, {self.method!r} has none")

    def load_published(self, path: str | Path, with_contact: bool = True) -> Report:
        """Fills the network with the weights of a file that the published training wrote.

        Args:
            path: the file, as downloaded.
            with_contact: load the contact predictor in a file of the cVAE too, where the network has one.

        Returns:
            What was loaded and what was left out.

        Raises:
            ValueError: the network has no published layout.
            CheckpointError: a file that is not one of this network; nothing was loaded.
        """
        return self._published_loader()(path)

    def _published_loader(self) -> Callable[..., Report]:
        loader = getattr(self.network, "load", None)
        if loader is None:
            raise ValueError(
                f"official_weights: expected model=contact_map_official or model=grasp_cvae_official, found "
                f"{self.method!r}, which has another layout; for its own checkpoints there is init_from=RUN"
            )
        return loader

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data; `split_hash` is part of it."""

    @abstractmethod
    def fit_statistics(self) -> None:
        """Gives the network the statistics of the training data, once."""

    def setup(self, stage: str) -> None:
        """Takes statistics from the training data, unless a checkpoint brought them.

        Raises:
            ValueError: a precision that is not for our tasks.
        """
        take_over_precision(self.trainer)
        self.data_facts = self.facts()
        if not self.fitted:
            with working(f"statistics of the training data for {self.method}"):
                self.fit_statistics()
            self.fitted.fill_(True)

    @property
    def progress(self) -> float:
        """Share of the training's steps that are done, in [0, 1]; 0 outside a trainer."""
        return 0.0 if self._trainer is None else min(1.0, self.global_step / pace.total_steps(self.trainer))

    def weights_at(self, progress: float) -> dict[str, float]:
        """Weights of the terms of the loss that change, when this share of the training is done."""
        return {}

    def on_train_start(self) -> None:
        """Says what the training is too short for.

        Raises:
            ValueError: no validation follows its last epoch, or a resumed training began with another length.
        """
        if self.make_scheduler is not None or self.weights_at(1.0):
            pace.refuse_other_length(self._resumed_steps, pace.total_steps(self.trainer))
        self._resumed_steps = None
        pace.refuse_unseen_end(self.trainer)
        pace.warn_of_idle_terms(self.weights_at, pace.total_steps(self.trainer))

    def on_train_epoch_end(self) -> None:
        """Stops a training whose loss was not finite before a checkpoint is written of it."""
        self.watch.look()

    def on_validation_epoch_end(self) -> None:
        """Likewise for the loss of the validation."""
        self.watch.look()

    def on_train_end(self) -> None:
        """Says that the training stopped before its schedules were through."""
        pace.warn_of_early_stop(self.progress)

    def gather_results(self) -> None:
        """Collects the rows of a test from all processes."""
        self.results = self.gather(self.results)

    def gather(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of all processes, one after the other; of a sample that several have, to have equally many, one row."""
        if self.trainer.world_size == 1:
            return [*rows]
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, [*rows])
        unique: dict[tuple[Any, ...], Row] = {}
        for row in (row for of_rank in gathered for row in of_rank):
            unique.setdefault(tuple(row.get(key) for key in self.row_keys), row)
        return [*unique.values()]

    def repeats(self, batch_idx: int) -> int:
        """Samples, 0 or 1, at the end of a validation batch that another process has too, to have equally many."""
        loader: Any = self.trainer.val_dataloaders
        sampler = loader.sampler
        if not isinstance(sampler, DistributedSampler):
            return 0
        beyond = len(sampler.dataset) % sampler.num_replicas  # type: ignore[arg-type]
        return int(batch_idx == len(loader) - 1 and 0 < beyond <= sampler.rank)

    def log_means(self, prefix: str, rows: Sequence[Row]) -> None:
        """Logs the mean over rows, the same in all processes, of each of their numbers, NaN left out."""
        keys = [key for key, value in (rows[0] if rows else {}).items() if isinstance(value, float)]
        columns = {key: torch.tensor([row[key] for row in rows], dtype=torch.float64) for key in keys}
        means = {f"{prefix}/{key}": column.nanmean().float() for key, column in columns.items()}
        self.log_dict(means, batch_size=1, on_step=False, on_epoch=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Optimiser, and a schedule that counts what it is made for: steps, validations or epochs."""
        optimizer = self.make_optimizer([p for p in self.network.parameters() if p.requires_grad])
        if self.make_scheduler is None:
            return optimizer
        twin = self.make_optimizer([nn.Parameter(torch.zeros(1))])
        schedule = pace.schedule_of(self.make_scheduler, optimizer, twin, self.trainer, self.monitor)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to know what the weights mean."""
        checkpoint[KEY] = {
            "version": __version__,
            "hand": self.hand.name,
            "joint_names": list(self.hand.joint_names),
            "config": self.config,
            "planned_steps": pace.total_steps(self.trainer) if self._fitting else None,
            **self.data_facts,
        }

    @property
    def _fitting(self) -> bool:
        return self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses weights that do not fit this run.

        Raises:
            ValueError: the checkpoint was not made by dexzoo, is of another hand or joint order, or a training would
                be resumed on other data than it began with.
        """
        facts = facts_in(checkpoint, self.hand)
        self._resumed_steps = facts.get("planned_steps") if self._fitting else None
        if self._fitting:
            refuse_other_data(checkpoint, self.data_facts["split_hash"], type(self.data).__qualname__)
