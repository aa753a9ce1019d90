"""A sweep in W&B's format without W&B: `dexzoo sweep FILE --count N [--out DIR] [KEY=VALUE ...]`.

Every run is a process and a folder of its own. The same command goes on where it was stopped: finished runs are read
from disk. The parameters are chosen by W&B's own engine, the package `sweeps`.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import OmegaConf

from ..commandline.arguments import quoted
from ..commandline.errors import RunError
from ..commandline.screen import console, new_table
from . import launch
from .sweep_figures import parallel_coordinates
from .sweep_file import Sweep, as_overrides, load_engine, read_sweep

SETTINGS, PARAMETERS = "sweep.json", "parameters.json"
"""What a sweep's folder says about the sweep, and a run's folder about its parameters."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        folder: of the run.
        parameters: value of each key.
        score: the metric; None where the run failed or it is not a number.
    """

    folder: Path
    parameters: Mapping[str, Any]
    score: float | None


# ------------------------------------------------------------------------------------------------------------- the runs


def run_sweep(sweep: Sweep, count: int, out: Path) -> list[Trial]:
    """The first `count` runs of a sweep, fewer where a grid has fewer; finished ones are read from disk.

    A run that fails is left out of the search and tried again by the next call, but the first one ends the sweep.

    Args:
        sweep: the sweep.
        count: runs.
        out: folder of the sweep; run k lies in `out`/k.

    Raises:
        RunError: the folder holds another sweep, the first run failed, or a run does not write the metric.
    """
    _note_settings(sweep, out)
    trials: list[Trial] = []
    for number in range(count):
        folder = out / f"{number:03d}"
        note = folder / PARAMETERS
        parameters = json.loads(note.read_text()) if note.is_file() else _propose(sweep, trials, number)
        if parameters is None:
            break
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(parameters) + "\n")
        try:
            launch.launch([*sweep.fixed, *as_overrides(parameters), f"name={sweep.name}"], folder)
        except RunError as error:
            if all(trial.score is None for trial in trials):
                raise
            console().print(f"[yellow]failed[/]       {error}", soft_wrap=True)
            trials.append(Trial(folder, parameters, None))
            continue
        trials.append(Trial(folder, parameters, read_score(folder, sweep.metric)))
    return trials


def read_score(folder: Path, metric: str) -> float | None:
    """The metric of a finished run; None where it is not a number.

    Raises:
        RunError: the run has no such metric.
    """
    found = json.loads((folder / launch.DONE).read_text())
    if metric in found:
        return found[metric]
    flat = {
        f"{method}/{refine}/{name}": stats["mean"]
        for method, modes in found.get("summary", {}).items()
        for refine, metrics in modes.items()
        for name, stats in metrics.items()
    }
    if metric not in flat:
        known = [*(key for key in found if "/" in key), *flat]
        raise RunError(f"{folder}: expected the metric {metric}, found none; there are {', '.join(known)}")
    return flat[metric]


def best_of(trials: Sequence[Trial], maximize: bool) -> Trial:
    """The trial with the best score.

    Raises:
        RunError: none has one.
    """
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        raise RunError("sweep: expected a run with a score, found none")
    return (max if maximize else min)(scored, key=lambda trial: float(trial.score or 0.0))


def _propose(sweep: Sweep, trials: Sequence[Trial], number: int) -> dict[str, Any] | None:
    """The parameters of the next run, the same each time; None after the last one of a grid."""
    engine = load_engine()
    history = [
        engine.SweepRun(
            name=trial.folder.name,
            config={key: {"value": value} for key, value in trial.parameters.items()},
            summary_metrics={} if trial.score is None else {sweep.metric: trial.score},
            state=engine.RunState.failed if trial.score is None else engine.RunState.finished,
        )
        for trial in trials
    ]
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002  the generator that the package draws from
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = engine.next_run(dict(sweep.search), history)
    if found is None:
        return None
    return {
        key: entry["value"].item() if isinstance(entry["value"], np.generic) else entry["value"]
        for key, entry in found.config.items()
    }


def _note_settings(sweep: Sweep, out: Path) -> None:
    settings = {"name": sweep.name, "fixed": list(sweep.fixed), **sweep.search}
    note = out / SETTINGS
    if note.is_file() and json.loads(note.read_text()) != settings:
        raise RunError(
            f"{out}: expected a new folder or one of this sweep, found a sweep with other settings; set --out DIR"
        )
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(settings, indent=1) + "\n")


# ------------------------------------------------------------------------------------------------------ what is written


def write_best(sweep: Sweep, best: Trial, out: Path) -> Path:
    """Writes the best parameters as `out`/experiment/NAME.yaml.

    It holds the groups of the command (model, data, ...) and the parameters. Other keys of
    the command belong to the search. Used by `dexzoo run --config-dir OUT experiment=NAME`.
    """
    conf = Path(__file__).parents[1] / "conf"
    pairs = [override.split("=", 1) for override in sweep.fixed]
    groups = [{f"override /{key}": choice} for key, choice in pairs if (conf / key.split("@")[0]).is_dir()]
    body = OmegaConf.create({})
    for key, value in best.parameters.items():
        OmegaConf.update(body, key, value, force_add=True)
    name = f"{sweep.name}_best"
    path = out / "experiment" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    values: Any = OmegaConf.to_container(body)
    head = f"# @package _global_\n# dexzoo run --config-dir {out} experiment={name}\n"
    head += f"# {sweep.metric} {best.score:.6g} in {best.folder}\n"
    path.write_text(head + yaml.safe_dump({"defaults": groups, "name": name, **values}, sort_keys=False))
    return path


def show(sweep: Sweep, trials: Sequence[Trial], out: Path) -> list[Path]:
    """Prints the table of the runs, best first, and writes the best configuration and the picture; returns the files.

    Raises:
        RunError: no run has a score.
    """
    best = best_of(trials, sweep.maximize)
    table = new_table(f"{sweep.name}: {len(trials)} runs", f"best first, {sweep.metric}")
    for heading in ("run", sweep.metric, *(key.removeprefix("model.") for key in sweep.swept)):
        table.add_column(heading, justify="right", overflow="fold")
    worst = float("-inf") if sweep.maximize else float("inf")
    by_score = sorted(trials, key=lambda t: worst if t.score is None else t.score, reverse=sweep.maximize)
    for trial in by_score:
        values = [trial.score, *(trial.parameters[key] for key in sweep.swept)]
        shown = ("-" if x is None else f"{x:.4g}" if isinstance(x, float) else str(x) for x in values)
        table.add_row(trial.folder.name, *shown)
    screen = console()
    screen.print(table)
    scored = [trial for trial in trials if trial.score is not None]
    columns = {key: [trial.parameters[key] for trial in scored] for key in sweep.swept}
    scores = [float(trial.score or 0.0) for trial in scored]
    files = [write_best(sweep, best, out)]
    files.append(parallel_coordinates(out / "sweep.png", columns, scores, sweep.metric, sweep.maximize))
    for file in files:
        screen.print(f"wrote        {file}", soft_wrap=True)
    return files


def sweep(file: Path, count: int, out: Path | None, overrides: Sequence[str]) -> None:
    """Runs and shows a sweep.

    Args:
        file: in W&B's format.
        count: runs; those of earlier calls count.
        out: folder of the sweep; None is runs/NAME.
        overrides: KEY=VALUE of every run, as the command line has them.

    Raises:
        RunError: a count below 1, and as `read_sweep`, `run_sweep` and `show`.
    """
    if count < 1:
        raise RunError(f"--count: expected at least 1, found {count}")
    read = read_sweep(file, quoted(overrides))
    folder = out or Path("runs") / read.name
    show(read, run_sweep(read, count, folder), folder)
