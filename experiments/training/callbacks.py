"""Seeds per step and checkpoints in one piece, for a run that resumes bit for bit, and its training time."""

import os
import random
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ...metrics.tables import console


class StepSeed(L.Callback):
    """Sets the global random state before every training step from (seed, epoch, batch, rank).

    Checkpoints hold no random state, and Lightning draws from it at other places in a resumed run than in an unbroken
    one, so without this the two would differ.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, batch_idx, trainer.global_rank])
        for_torch, for_numpy, for_random = (int(x) for x in entropy.generate_state(3))
        torch.manual_seed(for_torch)
        np.random.seed(for_numpy)  # noqa: NPY002  the legacy state is the one that libraries draw from
        random.seed(for_random)


class TrainingClock(L.Callback):
    """Measures the training in `seconds` of wall time, its validations included; checkpoints carry it over a stop, but
    what a stopped run did after its last checkpoint does not count.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.monotonic()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds, self._since = self._now(), None

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self._now()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds = state_dict["seconds"]

    def _now(self) -> float:
        return self.seconds + (0.0 if self._since is None else time.monotonic() - self._since)


class EffectiveBatch(L.Callback):
    """Says on how many samples a step of the optimiser is taken; the learning rate is used as given, scaled by nothing.

    `facts` keeps `batch_size` of one process, `processes`, `accumulate` (batches of a step), `effective_batch`, their
    product, and `learning_rate_rule`; it is empty where nothing was trained.
    """

    def __init__(self) -> None:
        self.facts: dict[str, int | str] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        size, processes, accumulate = data.train_batch_size, trainer.world_size, trainer.accumulate_grad_batches
        joint = size * processes * accumulate
        self.facts = {"batch_size": size, "processes": processes, "accumulate": accumulate}
        self.facts |= {"effective_batch": joint, "learning_rate_rule": "as given"}
        if trainer.is_global_zero:
            product = f": {size} x {processes} processes x {accumulate} accumulated"
            product += "; the learning rate is used as given, not scaled by them"
            console().print(f"batch        {joint} samples a step{product if joint > size else ''}", soft_wrap=True)


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a killed run leaves the old one or the new one, whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        part = f"{path}.part"
        super().save_checkpoint(checkpoint, part, storage_options)
        os.replace(part, path)
