"""The picture of a sweep: a line per run through its parameters to its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray


def parallel_coordinates(
    path: Path, columns: Mapping[str, Sequence[Any]], scores: Sequence[float], metric: str, maximize: bool
) -> Path:
    """Draws one axis per parameter and a last one for the score; the best runs are dark and on top.

    Args:
        path: of the picture.
        columns: values of each parameter, one per run.
        scores: of the runs, at least one.
        metric: name of the score.
        maximize: a larger score is better.

    Returns:
        `path`.
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
    """Heights of values on their axis.

    Positive numbers that span more than a factor of 20 are placed by their logarithm; what is not a number by its
    order among the texts.

    Returns:
        Heights (n,) in [0, 1], 0.5 where all are equal; heights and texts of the labels.
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
