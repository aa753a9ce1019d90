"""Two methods on the same clips: their differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .results import Row


def paired_differences(rows: Iterable[Row], base: Iterable[Row], metric: str) -> tuple[NDArray[np.float64], list[str]]:
    """Method minus base by clip, averaged over the seeds that both have.

    Rows are paired by seed, fold and clip; a value that one of the methods lacks pairs with nothing.

    Returns:
        Differences (N,), and the object of each of the N clips: what `cluster_interval` takes.
    """
    beside = _values(base, metric)
    clips: dict[tuple[Any, ...], list[float]] = {}
    objects: dict[tuple[Any, ...], str] = {}
    for (seed, fold, clip), (value, obj) in _values(rows, metric).items():
        if (seed, fold, clip) in beside:
            clips.setdefault((fold, clip), []).append(value - beside[seed, fold, clip][0])
            objects[fold, clip] = obj
    return np.array([float(np.mean(x)) for x in clips.values()]), [objects[name] for name in clips]


def _values(rows: Iterable[Row], metric: str) -> dict[tuple[Any, ...], tuple[float, str]]:
    """The metric and the object by seed, fold and clip, where the metric has a value."""
    found = {(row["seed"], row["fold"], row["clip"]): (row.get(metric), row["object"]) for row in rows}
    return {key: (x, str(obj)) for key, (x, obj) in found.items() if x is not None and not math.isnan(x)}
