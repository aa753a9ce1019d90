"""Base class of all tasks: optimiser, facts stored in a checkpoint, rows of a test."""

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
    """Generator for a clip, grasp or scene of a validation or test, independent of batch and process.

    `seed`: seed of the evaluation; `name`: name of the clip, grasp or scene, unique in its data set.
    """
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32)
    return batch_generator(seed, *words.tolist())


def rows_of(labels: Sequence[Row], columns: Mapping[str, Tensor]) -> list[Row]:
    """A row for each of B samples: its labels, and its values of the columns (B,)."""
    values = {key: column.tolist() for key, column in columns.items()}
    return [label | {key: column[i] for key, column in values.items()} for i, label in enumerate(labels)]


class WrongData(ValueError):
    """A data module of a kind that a task is not for.

    Args:
        expected: the kind that it is for.
        method: name of the task's model.
        found: the data module.
    """

    def __init__(self, expected: type, method: str, found: Any) -> None:
        super().__init__(f"data: expected {expected.__name__} for model {method!r}, found {type(found).__name__}")
        self.expected = expected


class Task(L.LightningModule, Generic[Network, Data]):
    """A network with its optimiser; subclasses define training and testing.

    Ask a task what it can do, not for its class: `supports_rollouts`, `supports_sampling`, `contact_predictor`.

    Args:
        network: makes the network for a hand (a partial: `hand -> network`).
        hand: name or YAML of the hand.
        optimizer: makes the optimiser for the parameters; None for a network without parameters.
        scheduler: makes the learning-rate schedule from the optimiser; a partial. One with an argument `total_steps`
            counts steps, a `ReduceLROnPlateau` monitors `monitor`, others count epochs; `epochs` and `validations` are
            passed to those with such arguments.
        method: name in tables.

    Attributes:
        trainable: whether the network has parameters to train.
        config: of the run, plain values; it goes into checkpoints.
        data_facts: of the data that it was set up with, likewise.
        results: rows of the last test; `row_keys` tell them apart.
        validated: rows of the running validation, whose means are logged.
        rollouts: motions of the last test by clip, those of this process; none where `supports_rollouts` is False.

    Raises ValueError: a network with parameters without `optimizer`.
    """

    datamodule_type: type[Data]
    """The data modules it is for."""
    supports_rollouts = False
    """Whether the network has `rollout(past, goal, n_frames, ...)`, see `MotionModel`: it makes motions."""
    supports_sampling = False
    """Whether the network has `sample(points, n, generator, temperature)`, see `GraspModel`: it makes grasps."""
    row_keys: tuple[str, ...]
    monitor = "val/loss"
    """The metric that judges a validation; smaller is better."""

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
        self.validated: list[Row] = []
        self.rollouts: dict[str, HandPose] = {}
        self._resumed_steps: int | None = None
        self.watch = FiniteWatch()
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def data(self) -> Data:
        """The data module of the running trainer; raises as `accept`."""
        return self.accept(self.trainer.datamodule)  # type: ignore[attr-defined]

    def accept(self, data: Any) -> Data:
        """The data module, where it is one that the task is for. Raises WrongData: a data module of another kind."""
        if not isinstance(data, self.datamodule_type):
            raise WrongData(self.datamodule_type, self.method, data)
        return data

    def check_ready(self) -> None:
        """Checks, once weights are loaded, that training or test can begin."""

    @property
    def contact_predictor(self) -> Any:
        """The `grasp.ContactPredictor` that it is, or has inside; None for others."""
        return None

    def load_contact_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Fills the contact predictor inside with trained weights. Raises ValueError: there is none."""
        raise ValueError(f"weights: expected a model with a contact predictor, {self.method!r} has none")

    def load_published(self, official_weights: str | Path, with_contact: bool = True) -> Report:
        """Fills the network with the weights of a file that the published training wrote.

        `official_weights`: the file, as downloaded; `with_contact`: load the contact predictor in a file of the cVAE
        too, where the network has one. Returns what was loaded and what was left out. Raises ValueError: the network
        has no published layout; CheckpointError: a file that is not one of this network; nothing was loaded.
        """
        return self._published_loader()(official_weights)

    def _published_loader(self) -> Callable[..., Report]:
        loader = getattr(self.network, "load", None)
        if loader is None:
            raise ValueError(
                "official_weights: expected a model in the published layout, contact_map_official or "
                f"grasp_cvae_official, found {self.method!r}, which has another one"
            )
        return loader

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Facts about the data stored in a checkpoint, including `split_hash`."""

    @abstractmethod
    def fit_statistics(self) -> None:
        """Passes the statistics of the training data to the network, once."""

    def setup(self, stage: str) -> None:
        """Computes statistics of the training data, unless they came from a checkpoint.

        Raises ValueError: an unsupported precision.
        """
        take_over_precision(self.trainer)
        self.data_facts = self.facts()
        if not self.fitted:
            with working(f"statistics of the training data for {self.method}"):
                self.fit_statistics()
            self.fitted.fill_(True)

    @property
    def progress(self) -> float:
        """Completed share of the training's steps, in [0, 1]; 0 outside a trainer."""
        return 0.0 if self._trainer is None else min(1.0, self.global_step / pace.total_steps(self.trainer))

    def weights_at(self, progress: float) -> dict[str, float]:
        """Weights of the loss terms with varying weight, after this share of the training."""
        return {}

    def on_train_start(self) -> None:
        """Warns if the training is too short.

        Raises ValueError: the last epoch is not validated, or a resumed training began with another length.
        """
        if self.make_scheduler is not None or self.weights_at(1.0):
            pace.refuse_other_length(self._resumed_steps, pace.total_steps(self.trainer))
        self._resumed_steps = None
        pace.refuse_unseen_end(self.trainer)
        pace.warn_of_idle_terms(self.weights_at, pace.total_steps(self.trainer))

    def on_train_epoch_end(self) -> None:
        """Stops a training whose loss was not finite before a checkpoint is written."""
        self.watch.look()

    def on_fit_start(self) -> None:
        """See `check_ready`."""
        self.check_ready()

    def on_validation_start(self) -> None:
        """Clears the rows of an earlier validation."""
        self.validated = []

    def on_validation_epoch_end(self) -> None:
        """Stops at a validation loss that is not finite; logs the means over the rows of all processes."""
        self.watch.look()
        self.log_means("val", self.gather(self.validated))

    def on_test_start(self) -> None:
        """Clears the results of an earlier test. Raises like `check_ready`."""
        self.check_ready()
        self.results, self.rollouts = [], {}

    def on_test_epoch_end(self) -> None:
        """Gathers the rows of all processes, and logs the means of this method's by how they were refined."""
        self.gather_results()
        mine = [row for row in self.results if row["method"] == self.method]
        for mode in dict.fromkeys(row["refine"] for row in mine):
            self.log_means(self.test_prefix(mode), [row for row in mine if row["refine"] == mode])

    def test_prefix(self, mode: str) -> str:
        """Prefix of the means of test rows with this value of `refine`."""
        return f"test_{mode}"

    def on_train_end(self) -> None:
        """Warns if the training stopped before its schedules were completed."""
        pace.warn_of_early_stop(self.progress)

    def gather_results(self) -> None:
        """Gathers the rows of a test from all processes."""
        self.results = self.gather(self.results)

    def gather(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of all processes, concatenated; one row for a sample that was duplicated to equalise the processes."""
        if self.trainer.world_size == 1:
            return [*rows]
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, [*rows])
        unique: dict[tuple[Any, ...], Row] = {}
        for row in (row for of_rank in gathered for row in of_rank):
            unique.setdefault(tuple(row.get(key) for key in self.row_keys), row)
        return [*unique.values()]

    def repeats(self, batch_idx: int) -> int:
        """Number of samples (0 or 1) at the end of a validation batch that duplicate another process's."""
        loader: Any = self.trainer.val_dataloaders
        sampler = loader.sampler
        if not isinstance(sampler, DistributedSampler):
            return 0
        beyond = len(sampler.dataset) % sampler.num_replicas  # type: ignore[arg-type]
        return int(batch_idx == len(loader) - 1 and 0 < beyond <= sampler.rank)

    def log_loss(self, part: str, total: Tensor, terms: Mapping[str, Tensor], batch_size: int) -> None:
        """Logs a loss and its terms, as means over the samples of an epoch of all processes."""
        how: dict[str, Any] = {"batch_size": batch_size, "on_step": False, "on_epoch": True, "sync_dist": True}
        self.log(f"{part}/loss", total, prog_bar=part == "train", **how)
        self.log_dict({f"{part}/{name}": term for name, term in terms.items()}, **how)

    def log_means(self, prefix: str, rows: Sequence[Row]) -> None:
        """Logs the mean over rows of each number, ignoring NaN, the same in all processes."""
        keys = [key for key, value in (rows[0] if rows else {}).items() if isinstance(value, float)]
        columns = {key: torch.tensor([row[key] for row in rows], dtype=torch.float64) for key in keys}
        means = {f"{prefix}/{key}": column.nanmean().float() for key, column in columns.items()}
        self.log_dict(means, batch_size=1, on_step=False, on_epoch=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Optimiser, and a schedule that counts steps, validations or epochs."""
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
        """Refuses weights that do not match this run.

        Raises ValueError: the checkpoint was not made by dexzoo, is of another hand or joint order, or a training would
        be resumed on different data.
        """
        facts = facts_in(checkpoint, self.hand)
        self._resumed_steps = facts.get("planned_steps") if self._fitting else None
        if self._fitting:
            refuse_other_data(checkpoint, self.data_facts["split_hash"], type(self.data).__qualname__)
