"""From a run folder back to the model and the data that it was made with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ...models import GraspGeneration, Task
from ...models.grasp import OfficialContactMap, OfficialGraspCVAE
from ...models.published import Report
from ..commandline.errors import RunError
from .data import build_data
from .folders import BEST, find_checkpoint

_log = logging.getLogger(__name__)


def load_run(path: str | Path) -> tuple[Any, Any]:
    """Rebuilds the model with the weights of its test, in eval mode, and the data (not set up yet) of a run.

    Args:
        path: the run folder; it needs config.yaml and checkpoints/best.ckpt and may have been moved.

    Returns:
        The task (a `models.Task`), and its data module.

    Raises:
        RunError: not a run folder, no checkpoint in it, or a checkpoint that does not fit the config.
    """
    path = Path(path)
    checkpoint = find_checkpoint(path)
    folder = path if checkpoint != path else path.parents[1]
    if not (folder / "config.yaml").is_file():
        raise RunError(f"{folder}: expected a run folder with a config.yaml, found none")
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    task = instantiate(cfg.model, hand=cfg.hand)
    load_weights(task, checkpoint)
    task.config = OmegaConf.to_container(cfg)
    return task.eval(), build_data(cfg.data)


def load_weights(task: Task, path: str | Path) -> None:
    """Fills a task with the weights and statistics of a checkpoint, file or run folder.

    Raises:
        RunError: no such checkpoint, not one, or one of another network.
        ValueError: one of another hand.
    """
    path = find_checkpoint(path, BEST)
    checkpoint = read_checkpoint(path)
    task.on_load_checkpoint(checkpoint)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except (KeyError, RuntimeError) as error:
        lines = str(error).splitlines()
        raise RunError(
            f"{path}: expected the weights of this network ({type(task).__name__} with the `model` of the config), "
            f"found others: {' '.join(line.strip() for line in lines[1:4]) or error}"
        ) from error


def load_contact(task: Task, path: str | Path) -> None:
    """Fills the contact predictor inside a grasp model with the weights of a run of `model=contact_map`.

    Raises:
        RunError: not a grasp model or one without a predictor, no such checkpoint, or one of another network.
    """
    if not isinstance(task, GraspGeneration):
        raise RunError(f"contact_from: expected a grasp model, which a predictor serves, found {type(task).__name__}")
    path = find_checkpoint(path, BEST)
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


def load_published(task: Task, path: str | Path, with_contact: bool = True) -> Report:
    """Fills the network of a task with the weights of a file that the published training wrote.

    Args:
        task: of a model whose name ends in _official.
        path: the file, as downloaded.
        with_contact: load the contact predictor in a file of the cVAE too, where the model has one.

    Returns:
        What was loaded and what was left out.

    Raises:
        RunError: a model that has no published layout.
        CheckpointError: a file that is not one of this network; nothing was loaded.
    """
    network = task.network
    if isinstance(network, OfficialContactMap):
        return network.load(path)
    if not isinstance(task, GraspGeneration) or not isinstance(network, OfficialGraspCVAE):
        raise RunError(
            f"official_weights: expected model=contact_map_official or model=grasp_cvae_official, found "
            f"{task.method!r}, which has another layout; for its own checkpoints there is init_from=RUN"
        )
    report = network.load(path, with_contact)
    if any(key.startswith("contact_net.") for key in report.loaded):
        task.has_contact.fill_(True)
        _log.warning(
            "official_weights: the contact predictor is that of %s, which RealDex's own training leaves untrained; "
            "contact_from=RUN takes another",
            path,
        )
    return report


def read_checkpoint(path: Path) -> dict[str, Any]:
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
