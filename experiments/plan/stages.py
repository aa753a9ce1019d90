"""Runs that need one another, one after the other: `experiment=grasp_generation`.

Each stage is a run of its own, in its own process and folder, with its own checkpoint. A finished stage is not
repeated, an unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..commandline.errors import RunError
from . import table3
from .launch import launch


def run_stages(cfg: DictConfig) -> float:
    """All stages for all seeds, and the table of those that make grasps.

    Args:
        cfg: with `seeds`; `stages`, name to overrides, in which `{name}` is the folder of an earlier stage; `table`,
            names of the stages whose results are merged.

    Returns:
        NaN: there is no one metric.

    Raises:
        RunError: a stage failed; the others stay as they are.
    """
    folder, given = Path(cfg.run_dir), [*_given_overrides(), *_own_configs()]
    main = f"model={HydraConfig.get().runtime.choices.model}"
    merged = []
    for seed in cfg.seeds:
        folders: dict[str, Path] = {}
        for name, overrides in cfg.stages.items():
            folders[str(name)] = folder / f"seed_{seed}" / str(name)
            filled = _filled(overrides, folders)
            fitting = given if main in filled else [o for o in given if not o.lstrip("+~").startswith("model.")]
            launch([*filled, f"seed={seed}", f"name={cfg.name}_{name}", *fitting], folders[str(name)])
        merged += [folders[name] for name in cfg.table]
    table3.merge_runs(merged, folder)
    return float("nan")


def _filled(overrides: Sequence[str], folders: Mapping[str, Path]) -> list[str]:
    """The overrides with the folders of earlier stages in place of their names.

    Raises:
        RunError: the name of a stage that is not an earlier one.
    """
    filled = []
    for override in overrides:
        try:
            filled.append(override.format_map({name: str(path) for name, path in folders.items()}))
        except KeyError as error:
            raise RunError(
                f"stages: {override}: expected the name of an earlier stage, {', '.join(folders)}, found {error}"
            ) from error
    return filled


def _given_overrides() -> list[str]:
    """What the user wrote on the command line, for every stage; what tells runs apart is up to the stages.

    Keys of the model are for the stages of that model.
    """
    own = ("experiment=", "seed=", "seeds=", "name=", "runs=", "ckpt=", "stages", "table", "+experiment=")
    return [o for o in HydraConfig.get().overrides.task if not o.startswith(own)]


def _own_configs() -> list[str]:
    """The user's folders of configs, of `--config-dir` and of `hydra.searchpath`, as an override."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [f"{s.schema}://{s.path}" for s in sources if s.provider.endswith("command-line")]
    return [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []
