"""From a run folder back to the model and the data that it was made with."""

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
    """A finished run: the parts of its folder, each read when it is first asked for, and only once.

        run = Run("runs/motionnet_demo/TIME")
        run.config.model.network     # as config.yaml has it
        run.task.network             # with the weights of the test, in eval mode
        run.data.setup()             # the data module, as the run had it
        run.results[0]["mpjpe_cm"]   # rows of results.parquet

    The path is the run folder, which may have been moved, or a checkpoint in it; `hand`, a name or YAML, replaces that
    of the config. `folder` is that of the run, `config` has everything resolved, and `weights` is the file of
    the checkpoint, checkpoints/best.ckpt unless another was given. Raises RunError where one of the parts is missing or
    does not fit the others.
    """

    def __init__(self, path: str | Path, hand: str | None = None) -> None:
        path, self._hand = Path(path), hand
        self.weights = find_checkpoint(path)
        self.folder = path if self.weights != path else path.parents[1]
        _config_file(self.folder)

    @cached_property
    def config(self) -> DictConfig:
        """Of the run, everything resolved; a hand of the user's is the copy in the folder."""
        return read_config(self.folder, self._hand)

    @cached_property
    def checkpoint(self) -> Content:
        """The content of the file."""
        return read_checkpoint(self.weights)

    @cached_property
    def task(self) -> Task[Any, Any]:
        """The model with its weights, in eval mode."""
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
        """Rows of the test."""
        file = self.folder / "results.parquet"
        if not file.is_file():
            raise RunError(f"{self.folder}: expected results.parquet in it, found none; the run ended before its test")
        return pq.read_table(file).to_pylist()


def load_run(path: str | Path) -> tuple[Task[Any, Any], SplitDataModule[Any, Any]]:
    """The model with the weights of its test, in eval mode, and the data (not set up yet) of a run; see `Run`."""
    run = Run(path)
    return run.task, run.data


def read_config(folder: Path, hand: str | None = None) -> DictConfig:
    """config.yaml of a run folder, in which everything is resolved, with another name or YAML of its hand: if a user's,
    the copy in the folder. RunError where there is none.
    """
    cfg = OmegaConf.load(_config_file(folder))
    assert isinstance(cfg, DictConfig)
    if hand := hand or (str(folder / cfg.own_hand) if "own_hand" in cfg else None):
        if cfg.data.get("hand") == cfg.hand:
            cfg.data.hand = hand
        cfg.hand = hand
    return cfg


def _config_file(folder: Path) -> Path:
    if not (folder / "config.yaml").is_file():
        raise RunError(f"{folder}: expected a run folder with a config.yaml, found none")
    return folder / "config.yaml"


def load_weights(task: Task[Any, Any], path: str | Path) -> Content:
    """Fills a task with the weights and statistics of a checkpoint, file or run folder, and returns its content.

    Raises RunError for no such checkpoint, not one, or one of another network; ValueError for one of another hand.
    """
    path = find_checkpoint(path)
    checkpoint = read_checkpoint(path)
    _fill(task, checkpoint, path)
    return checkpoint


def load_contact(task: Task[Any, Any], path: str | Path) -> None:
    """Fills the contact predictor inside a grasp model with the weights of a run of `model=contact_map`.

    Raises RunError for no such checkpoint, one of another network, or a model without a predictor.
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
        expected = f"the contact predictor of {task.method!r}, with the settings of model.network.contact"
        found = " ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise RunError(f"{path}: expected {expected}, found another network: {found}") from error


def read_checkpoint(path: Path) -> Content:
    """The content of a checkpoint, on the CPU; tensors and plain values only, no code is run. Raises RunError for a
    file that is cut short or holds something else.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling what is no checkpoint raises whatever its bytes happen to mean
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"{path}: expected a checkpoint of plain tensors, found another file: {found}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        found = type(checkpoint).__name__
        raise RunError(f"{path}: expected a Lightning checkpoint with a `state_dict`, found {found}")
    return checkpoint


def _fill(task: Task[Any, Any], checkpoint: Content, path: Path) -> None:
    """Raises as `load_weights`."""
    task.on_load_checkpoint(checkpoint)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except (KeyError, RuntimeError) as error:
        expected = f"the weights of this network ({type(task).__name__} with the `model` of the config)"
        found = " ".join(line.strip() for line in str(error).splitlines()[1:4]) or error
        raise RunError(f"{path}: expected {expected}, found others: {found}") from error
