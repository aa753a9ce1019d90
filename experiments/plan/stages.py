"""Runs that need one another, as one experiment: `experiment=grasp_generation`."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..commandline.errors import RunError
from ..commandline.settings import Table3
from . import table3
from .plan import Plan, PlannedRun


def run_stages(cfg: DictConfig) -> float:
    """All stages for all seeds, each a run with a checkpoint of its own, and the table of those that make grasps;
    returns NaN, because there is no one metric.

    The config has `seeds`; `stages`, name to overrides, in which `{name}` is the folder of an earlier stage; `table`,
    names of the stages whose results are merged. RunError for a stage that names no earlier one, and as
    `Plan.carry_out`.
    """
    out, given = Path(cfg.run_dir), [*_given_overrides(), *_own_configs()]
    main, runs = f"model={HydraConfig.get().runtime.choices.model}", []
    for seed in cfg.seeds:
        for i, (name, overrides) in enumerate(cfg.stages.items()):
            fitting = given if main in overrides else [o for o in given if not o.lstrip("+~").startswith("model.")]
            own = [*overrides, f"seed={seed}", f"name={cfg.name}_{name}", *fitting]
            needs = {stage: f"seed_{seed}/{stage}" for stage in _needed(overrides, [*cfg.stages][:i])}
            runs.append(PlannedRun(f"seed_{seed}/{name}", own, needs))
    Plan(out).carry_out(runs)
    merged = [out / f"seed_{seed}" / name for seed in cfg.seeds for name in cfg.table]
    table3.merge_runs(merged, Table3(out=str(out)))
    return float("nan")


def _needed(overrides: Sequence[str], earlier: Sequence[str]) -> list[str]:
    """The stages that overrides name; raises as `run_stages`."""
    found = re.findall(r"(?<!\$)\{(\w+)\}", " ".join(overrides))
    if others := set(found) - {*earlier}:
        expected = f"expected the name of an earlier stage, {', '.join(earlier)}, found {min(others)!r}"
        raise RunError(f"stages: {' '.join(overrides)}: {expected}")
    return found


def _given_overrides() -> list[str]:
    """Overrides of the command line for every stage; those that tell runs apart are up to the stages."""
    own = ("experiment=", "seed=", "seeds=", "name=", "runs=", "ckpt=", "stages", "table", "+experiment=")
    return [o for o in HydraConfig.get().overrides.task if not o.startswith(own)]


def _own_configs() -> list[str]:
    """The user's folders of configs, of `--config-dir` and of `hydra.searchpath`, as an override."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [f"{s.schema}://{s.path}" for s in sources if s.provider.endswith("command-line")]
    return [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []
