"""What a Lightning run needs so that it resumes bit for bit: seeds per epoch, and checkpoints written in one piece."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO


class EpochSeed(L.Callback):
    """Sets the global random state at the start of every training epoch from (seed, epoch, rank).

    Checkpoints hold no random state, so without this a resumed run would draw other numbers than an unbroken one.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Covers the first epoch of a resumed run, for which Lightning does not call `on_train_epoch_start`."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seeds torch, numpy and random."""
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        state = [int(x) for x in entropy.generate_state(3)]
        torch.manual_seed(state[0])
        np.random.seed(state[1])  # noqa: NPY002  the legacy state is the one that libraries draw from
        random.seed(state[2])


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a killed run leaves the old one or the new one, whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Saves under a temporary name first."""
        part = f"{path}.part"
        super().save_checkpoint(checkpoint, part, storage_options)
        os.replace(part, path)
