"""From a run folder back to the model and the data that it was made with."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ...datamodules.base import SplitDataModule
from ...models import Task
from ...models.task import Row
from ..commandline.errors import RunError
from .data import build_data
from .folders import find_checkpoint

Content = dict[str, Any]
"""Of a checkpoint: Lightning's keys, and `dexzoo`, see `Task.on_save_checkpoint`."""


class Run:
    """A finished run: what lies in its folder, each part read when it is first asked for, and only once.

        run = Run("runs/motionnet_demo/TIME")
        run.config.model.network     # as config.yaml has it
        run.task.network             # with the weights of the test, in eval mode
        run.data.setup()             # the data module, as the run had it
        run.results[0]["mpjpe_cm"]   # rows of results.parquet

    Args:
        path: the run folder, which may have been moved, or a checkpoint in it.
        hand: name or YAML of its hand, in place of what the config says.

    Attributes:
        folder: of the run.
        weights: file of the checkpoint, checkpoints/best.ckpt unless `path` is another one.

    Raises:
        RunError: not a run folder, or no checkpoint in it.
    """

    def __init__(self, path: str | Path, hand: str | None = None) -> None:
        path, self._hand = Path(path), hand
        self.weights = find_checkpoint(path)
        self.folder = path if self.weights != path else path.parents[1]
        if not (self.folder / "config.yaml").is_file():
            raise RunError(f"{self.folder}: expected a run folder with a config.yaml, found none")

    @cached_property
    def config(self) -> DictConfig:
        """Of the run, everything resolved; a hand of the user's is the copy in the folder."""
        return read_config(self.folder, self._hand)

    @cached_property
    def checkpoint(self) -> Content:
        """What the file holds; raises as `read_checkpoint`."""
        return read_checkpoint(self.weights)

    @cached_property
    def task(self) -> Task[Any, Any]:
        """The model with its weights, in eval mode.

        Raises:
            RunError: a checkpoint that does not fit the config.
        """
        task: Task[Any, Any] = instantiate(self.config.model, hand=self.config.hand)
        _fill(task, self.checkpoint, self.weights)
        plain: Any = OmegaConf.to_container(self.config)
        task.config = plain
        return task.eval()

    @cached_property
    def data(self) -> SplitDataModule[Any, Any]:
        """The data module, not set up yet."""
        return build_data(self.config.data)

    @cached_property
    def results(self) -> list[Row]:
        """Rows of the test.

        Raises:
            RunError: it has none yet.
        """
        file = self.folder / "results.parquet"
        if not file.is_file():
            raise RunError(f"{self.folder}: expected results.parquet in it, found none; the run ended before its test")
        return pq.read_table(file).to_pylist()


def read_config(folder: Path, hand: str | None = None) -> DictConfig:
    """The config of a run, everything resolved; with another name or YAML of its hand: if a user's, the copy there."""
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    if hand := hand or (str(folder / cfg.own_hand) if "own_hand" in cfg else None):
        if cfg.data.get("hand") == cfg.hand:
            cfg.data.hand = hand
        cfg.hand = hand
    return cfg


def load_run(path: str | Path) -> tuple[Task[Any, Any], SplitDataModule[Any, Any]]:
    """The model with the weights of its test, in eval mode, and the data (not set up yet) of a run; see `Run`.

    Args:
        path: the run folder; it needs config.yaml and checkpoints/best.ckpt and may have been moved.

    Raises:
        RunError: not a run folder, no checkpoint in it, or a checkpoint that does not fit the config.
    """
    run = Run(path)
    return run.task, run.data


def load_weights(task: Task[Any, Any], path: str | Path) -> Content:
    """Fills a task with the weights and statistics of a checkpoint, file or run folder, and returns its content.

    Raises:
        RunError: no such checkpoint, not one, or one of another network.
        ValueError: one of another hand.
    """
    path = find_checkpoint(path)
    checkpoint = read_checkpoint(path)
    _fill(task, checkpoint, path)
    return checkpoint


def load_contact(task: Task[Any, Any], path: str | Path) -> None:
    """Fills the contact predictor inside a grasp model with the weights of a run of `model=contact_map`.

    Raises:
        RunError: no such checkpoint, or one of another network.
        ValueError: the model has no predictor.
    """
    path = find_checkpoint(path)
    checkpoint = read_checkpoint(path)
    task.on_load_checkpoint(checkpoint)
    weights = {k.removeprefix("network."): v for k, v in checkpoint["state_dict"].items() if k.startswith("network.")}
    try:
        task.load_contact_weights(weights)
    except ValueError as error:
        raise RunError(f"contact_from: expected a model with a contact predictor, {task.method!r} has none") from error
    except RuntimeError as error:
        raise RunError(
            f"{path}: expected the contact predictor of {task.method!r}, with the settings of model.network.contact, "
            f"found another network: {' '.join(line.strip() for line in str(error).splitlines()[1:3])}"
        ) from error


def read_checkpoint(path: Path) -> Content:
    """The content of a checkpoint, on the CPU; tensors and plain values only, no code is run.

    Raises:
        RunError: a file that is cut short or holds something else.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling what is no checkpoint raises whatever its bytes happen to mean
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"{path}: expected a checkpoint of plain tensors, found another file: {found}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise RunError(
            f"{path}: expected a Lightning checkpoint with a `state_dict`, found {type(checkpoint).__name__}"
        )
    return checkpoint


def _fill(task: Task[Any, Any], checkpoint: Content, path: Path) -> None:
    """Raises as `load_weights`."""
    task.on_load_checkpoint(checkpoint)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except (KeyError, RuntimeError) as error:
        lines = str(error).splitlines()
        raise RunError(
            f"{path}: expected the weights of this network ({type(task).__name__} with the `model` of the config), "
            f"found others: {' '.join(line.strip() for line in lines[1:4]) or error}"
        ) from error
