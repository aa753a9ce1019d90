"""What a Lightning run needs so that it resumes bit for bit: seeds per step, and checkpoints written in one piece."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO


class StepSeed(L.Callback):
    """Sets the global random state before every training step from (seed, epoch, batch, rank).

    Checkpoints hold no random state, and Lightning draws from it at other places in a resumed run than in an unbroken
    one, so without this the two would differ.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds torch, numpy and random."""
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, batch_idx, trainer.global_rank])
        for_torch, for_numpy, for_random = (int(x) for x in entropy.generate_state(3))
        torch.manual_seed(for_torch)
        np.random.seed(for_numpy)  # noqa: NPY002  the legacy state is the one that libraries draw from
        random.seed(for_random)


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a killed run leaves the old one or the new one, whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Saves under a temporary name first."""
        part = f"{path}.part"
        super().save_checkpoint(checkpoint, part, storage_options)
        os.replace(part, path)
