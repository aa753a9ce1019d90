"""Report of a sweep: the table of its runs, the best configuration, and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import OmegaConf

from ...metrics.tables import console, new_table
from ..commandline.errors import RunError
from .sweep_file import Sweep


@dataclass(frozen=True)
class Trial:
    """One run of a sweep; its score is the metric, None where the run failed or it is not a number."""

    folder: Path
    parameters: Mapping[str, Any]
    score: float | None


def write_best(sweep: Sweep, best: Trial, out: Path) -> Path:
    """Writes `out`/experiment/NAME.yaml for `dexzoo run --config-dir OUT experiment=NAME`.

    It holds the best parameters and the groups of the command; its other keys belong to the search.
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


def show(sweep: Sweep, trials: Sequence[Trial], out: Path) -> None:
    """Prints the table of the runs, best first, and writes the best configuration and the picture; RunError where no
    run has a score.
    """
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        raise RunError("sweep: expected a run with a score, found none")
    table = new_table(f"{sweep.name}: {len(trials)} runs", f"best first, {sweep.metric}")
    for heading in ("run", sweep.metric, *(key.removeprefix("model.") for key in sweep.swept)):
        table.add_column(heading, justify="right", overflow="fold")
    scored.sort(key=lambda trial: float(trial.score or 0.0), reverse=sweep.maximize)
    for trial in [*scored, *(trial for trial in trials if trial.score is None)]:
        values = [trial.score, *(trial.parameters[key] for key in sweep.swept)]
        shown = ("-" if x is None else f"{x:.4g}" if isinstance(x, float) else str(x) for x in values)
        table.add_row(trial.folder.name, *shown)
    screen = console()
    screen.print(table)
    columns = {key: [trial.parameters[key] for trial in scored] for key in sweep.swept}
    scores = [float(trial.score or 0.0) for trial in scored]
    picture = parallel_coordinates(out / "sweep.png", columns, scores, sweep.metric, sweep.maximize)
    for file in (write_best(sweep, scored[0], out), picture):
        screen.print(f"wrote        {file}", soft_wrap=True)


def parallel_coordinates(
    path: Path, columns: Mapping[str, Sequence[Any]], scores: Sequence[float], metric: str, maximize: bool
) -> Path:
    """Draws one axis per parameter and a last one for the score; the best runs are dark and on top. Columns and scores
    have a value for each run; with `maximize` the largest score is the best. Returns the path.
    """
    axes = {**columns, metric: scores}
    heights = np.stack([place(values)[0] for values in axes.values()], axis=1)
    figure = Figure(figsize=(1.7 * len(axes) + 1, 4.5), layout="constrained")
    plot = figure.subplots()
    worst_first = np.argsort(np.asarray(scores) * (1 if maximize else -1))
    for rank, run in enumerate(worst_first):
        good = rank / max(len(scores) - 1, 1)
        plot.plot(heights[run], color=colormaps["viridis_r"](0.1 + 0.9 * good), alpha=0.4 + 0.6 * good, linewidth=1.5)
    for x, values in enumerate(axes.values()):
        plot.axvline(x, color="0.6", linewidth=0.8)
        for height, label in zip(*place(values)[1:], strict=True):
            plot.text(x + 0.03, height, label, fontsize=7, va="center", backgroundcolor=(1, 1, 1, 0.8))
    short = [key.removeprefix("model.").replace(".", ".\n") for key in axes]
    plot.set_xticks(range(len(axes)), short, fontsize=8)
    plot.set_yticks([])
    plot.set_title(f"{len(scores)} runs, dark = best {metric}", fontsize=9)
    figure.savefig(path, dpi=120)
    return path


def place(values: Sequence[Any]) -> tuple[NDArray[np.float64], list[float], list[str]]:
    """Heights (n,) of values on their axis in [0, 1], 0.5 where all are equal; heights and texts of its labels.

    Positive numbers that span more than a factor of 20 are placed by their logarithm, other values than numbers by the
    order of their texts.
    """
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        names = sorted({str(x) for x in values})
        ticks = [i / (len(names) - 1) if len(names) > 1 else 0.5 for i in range(len(names))]
        return np.array([ticks[names.index(str(x))] for x in values]), ticks, names
    numbers = np.asarray(values, float)
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return np.full(len(numbers), 0.5), [0.5], [f"{low:.3g}"]
    if low > 0 and high / low > 20:
        heights = np.log(numbers / low) / np.log(high / low)
    else:
        heights = (numbers - low) / (high - low)
    return heights, [0.0, 1.0], [f"{low:.3g}", f"{high:.3g}"]
