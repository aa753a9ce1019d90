"""A sweep in W&B's format without W&B: `dexzoo sweep FILE --count N [--out DIR] [KEY=VALUE ...]`.

It is a plan that grows: the next run follows from those before, chosen by W&B's own engine, the package `sweeps`.
"""

import json
import random
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from ...metrics.tables import console
from ..commandline.arguments import quoted
from ..commandline.errors import RunError
from ..reports.results import flat_means
from .plan import DONE, Plan, PlannedRun
from .sweep_file import Sweep, as_overrides, load_engine, parameters_of, read_sweep
from .sweep_report import Trial, show


def sweep(file: Path, count: int, out: Path | None, overrides: Sequence[str]) -> None:
    """Runs and shows a sweep; the arguments are those of the command line. Raises RunError for a count below 1, and as
    `read_sweep`, `run_sweep` and `show`.
    """
    if count < 1:
        raise RunError(f"--count: expected at least 1, found {count}")
    read = read_sweep(file, quoted(overrides))
    folder = out or Path("runs") / read.name
    show(read, run_sweep(read, count, folder), folder)


def run_sweep(sweep: Sweep, count: int, out: Path) -> list[Trial]:
    """The first `count` runs of a sweep, fewer where a grid has fewer.

    A run that fails is left out of the search and tried again by the next call, but the first one ends the sweep.
    Raises RunError where the folder holds another sweep, the first run failed, or a run does not write the metric.
    """
    plan = Plan(out, {"name": sweep.name, "fixed": sweep.fixed, **sweep.search})
    trials: list[Trial] = []
    for number in range(count):
        name = f"{number:03d}"
        made_with = plan.overrides(name)
        parameters = parameters_of(sweep, made_with) if made_with else _propose(sweep, trials, number)
        if parameters is None:
            break
        trial = Trial(out / name, parameters, None)
        try:
            plan.make(PlannedRun(name, [*sweep.fixed, *as_overrides(parameters), f"name={sweep.name}"]))
        except RunError as error:
            if all(other.score is None for other in trials):
                raise
            console().print(f"[yellow]failed[/]       {escape(str(error))}", soft_wrap=True)
        else:
            trial = replace(trial, score=read_score(out / name, sweep.metric))
        trials.append(trial)
    return trials


def read_score(folder: Path, metric: str) -> float | None:
    """The metric of a finished run; None where it is not a number, RunError where the run has no such metric."""
    found = json.loads((folder / DONE).read_text())
    if metric in found:
        return found[metric]
    flat = flat_means(found.get("summary", {}))
    if metric not in flat:
        known = [*(key for key in found if "/" in key), *flat]
        raise RunError(f"{folder}: expected the metric {metric}, found none; there are {', '.join(known)}")
    return flat[metric]


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
    values = {key: entry["value"] for key, entry in found.config.items()}
    return {key: x.item() if isinstance(x, np.generic) else x for key, x in values.items()}
