"""Two methods on the same clips: their differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import cluster_interval
from .results import Row


@dataclass(frozen=True)
class Differences:
    """Method minus reference, averaged over the seeds that both have.

    Attributes:
        values: (N,), one per clip.
        objects: N names, the object of each clip.
    """

    values: NDArray[np.float64]
    objects: tuple[str, ...]

    @property
    def n_objects(self) -> int:
        """How many objects the clips are of."""
        return len(set(self.objects))

    def interval(self) -> tuple[float, float, float]:
        """Mean and its 95 % interval, see `cluster_interval`."""
        return cluster_interval(self.values, self.objects)


def paired_differences(rows: Iterable[Row], base: Iterable[Row], metric: str) -> Differences:
    """Pairs the rows of two methods by seed, fold and clip; a value that one of them lacks pairs with nothing."""
    beside = _values(base, metric)
    clips: dict[tuple[Any, ...], list[float]] = {}
    objects: dict[tuple[Any, ...], str] = {}
    for (seed, fold, clip), (value, obj) in _values(rows, metric).items():
        if (seed, fold, clip) in beside:
            clips.setdefault((fold, clip), []).append(value - beside[seed, fold, clip][0])
            objects[fold, clip] = obj
    return Differences(np.array([float(np.mean(x)) for x in clips.values()]), tuple(objects[name] for name in clips))


def _values(rows: Iterable[Row], metric: str) -> dict[tuple[Any, ...], tuple[float, str]]:
    """The metric and the object by seed, fold and clip, where the metric has a value."""
    found = {(row["seed"], row["fold"], row["clip"]): (row.get(metric), row["object"]) for row in rows}
    return {key: (x, str(obj)) for key, (x, obj) in found.items() if x is not None and not math.isnan(x)}
