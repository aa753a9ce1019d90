"""What the tasks around all networks share: optimiser, facts of a checkpoint, rows of a test."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from dexzoo import __version__

from ...hands import load_hand
from ...losses import FiniteWatch
from .precision import take_over_precision

Row = dict[str, Any]

PRIME = 7919
"""Between the seeds of test batches, so that two runs with neighbouring seeds share none."""


class Task(L.LightningModule):
    """A network with its optimiser; subclasses say what is learned and how it is tested.

    Args:
        network: makes the network from a hand (a partial: `hand -> network`).
        hand: name or YAML of the hand.
        optimizer: makes the optimiser from parameters; None for a network without parameters.
        scheduler: makes the learning-rate schedule from the optimiser; a partial. One that takes the number of steps,
            `total_steps`, counts steps, a `ReduceLROnPlateau` watches `monitor`, others count epochs.
        method: the name in tables.

    Attributes:
        trainable: whether the network has parameters to train.
        config: of the run, plain values; it goes into checkpoints.
        data_facts: of the data that it was set up with, likewise.
        results: rows of the last test; `row_keys` tell them apart.

    Raises:
        ValueError: a network with parameters without `optimizer`.
    """

    takes: type[L.LightningDataModule]
    """The data modules it is for."""
    row_keys: tuple[str, ...]
    monitor = "val/loss"
    """What a validation is judged by; smaller is better."""

    def __init__(
        self,
        network: Callable[..., nn.Module],
        hand: str,
        optimizer: Callable[..., Optimizer] | None,
        scheduler: Callable[..., LRScheduler] | None,
        method: str,
    ) -> None:
        super().__init__()
        self.hand = load_hand(hand)
        self.network: Any = network(hand=self.hand)
        self.trainable = any(p.requires_grad for p in self.network.parameters())
        if self.trainable and optimizer is None:
            raise ValueError(f"model {method!r} has parameters: it needs `loss` and `optimizer`")
        self.make_optimizer: Any = optimizer
        self.make_scheduler: Any = scheduler
        self.method = method
        self.config: dict[str, Any] = {}
        self.data_facts: dict[str, Any] = {}
        self.results: list[Row] = []
        self.watch = FiniteWatch()
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def data(self) -> Any:
        """The data module of the running trainer.

        Raises:
            ValueError: one of another kind.
        """
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, self.takes):
            raise ValueError(
                f"data: expected {self.takes.__name__} for model {self.method!r}, found {type(data).__name__}; "
                "grasps come from data=demo_grasps, dexgraspnet, unidexgrasp, multidex, realdex_grasps or grab_grasps, "
                "motions from data=demo, realdex or grab"
            )
        return data

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
            self.fit_statistics()
            self.fitted.fill_(True)

    def on_train_epoch_end(self) -> None:
        """Stops a training whose loss was not finite before a checkpoint is written of it."""
        self.watch.look()

    def on_validation_epoch_end(self) -> None:
        """Likewise for the loss of the validation."""
        self.watch.look()

    def gather_results(self) -> None:
        """Collects the rows of all processes; a sample that two of them tested, to have equally many, is kept once."""
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, self.results)
            unique = {tuple(row[k] for k in self.row_keys): row for rows in gathered for row in rows}
            self.results = [*unique.values()]

    def configure_optimizers(self) -> Any:
        """Optimiser, and a schedule that counts what it is made for: steps, validations or epochs."""
        optimizer = self.make_optimizer([p for p in self.network.parameters() if p.requires_grad])
        if self.make_scheduler is None:
            return optimizer
        if self.make_scheduler.func is ReduceLROnPlateau:
            schedule = {
                "scheduler": self.make_scheduler(optimizer),
                "monitor": self.monitor,
                "frequency": self.trainer.check_val_every_n_epoch,
                "strict": False,  # a fold of the data may have no validation clips
            }
            return {"optimizer": optimizer, "lr_scheduler": schedule}
        if "total_steps" not in inspect.signature(self.make_scheduler.func).parameters:
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.make_scheduler(optimizer)}}
        scheduler = self.make_scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to know what the weights mean."""
        checkpoint["dexzoo"] = {
            "version": __version__,
            "hand": self.hand.name,
            "joint_names": list(self.hand.joint_names),
            "config": self.config,
            **self.data_facts,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses weights that do not fit this run.

        Raises:
            ValueError: the checkpoint was not made by dexzoo, is of another hand or joint order, or a training would
                be resumed on other data than it began with.
        """
        facts = checkpoint.get("dexzoo")
        if facts is None:
            raise ValueError(f"not a dexzoo checkpoint: expected a key 'dexzoo', found {sorted(checkpoint)}")
        mine, theirs = list(self.hand.joint_names), facts["joint_names"]
        if facts["hand"] != self.hand.name or theirs != mine:
            raise ValueError(
                f"the checkpoint is for the hand {facts['hand']!r} with {len(theirs)} joints, this run uses "
                f"{self.hand.name!r} with {len(mine)}; run with hand={facts['hand']}"
            )
        resumed = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        if resumed and facts["split_hash"] != self.data_facts["split_hash"]:
            raise ValueError(
                "the checkpoint was trained on another set or split of the data than this run has; resume with the "
                "data it began with, or start a new training from its weights with init_from=RUN"
            )
