"""Two methods on the same clips: their differences, and an interval of the mean for clips that share objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .results import Row

RESAMPLES = 10_000
"""Bootstrap resamples."""
_AT_ONCE = 2_000_000
"""Values drawn in one step, which bounds the memory."""


@dataclass(frozen=True)
class Differences:
    """Method minus the one it is compared with, averaged over the seeds that both have.

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


def cluster_interval(
    values: ArrayLike, objects: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over clips and its 95 % percentile interval, for clips that share objects.

    Objects are drawn with replacement, then as many clips of each as it has, with replacement (the two-stage bootstrap
    of Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Where every object has one
    clip this is the plain bootstrap over clips. With one object only its clips are drawn: the interval then says
    nothing of other objects. With few objects it is too narrow: in a simulation with as much spread between objects as
    within them it held the truth in 94 of 100 data sets of 20 objects and in 83 of 100 of 3 (the plain bootstrap: 64
    and 54).

    Args:
        values: (N,); NaN are left out.
        objects: N names.
        resamples: how often to draw.
        seed: of the random numbers.

    Returns:
        Mean, and percentiles 2.5 and 97.5 of the resampled means; NaN where there are no values.
    """
    x = np.asarray(values, float)
    known = ~np.isnan(x)
    if not known.any():
        return math.nan, math.nan, math.nan
    _, cluster = np.unique(np.array(objects, dtype=str)[known], return_inverse=True)
    x = x[known][np.argsort(cluster, kind="stable")]
    sizes = np.bincount(cluster)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(sizes), size=(resamples, len(sizes)))
    step = max(1, _AT_ONCE // len(x))
    means = [_resampled_means(x, sizes, drawn[i : i + step], rng) for i in range(0, resamples, step)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(x.mean()), float(low), float(high)


def _resampled_means(
    x: NDArray[np.float64], sizes: NDArray[np.intp], drawn: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Means (R,) of the clips drawn from the objects `drawn` (R, G); `x` holds the clips object by object."""
    starts = np.cumsum(sizes) - sizes
    count = sizes[drawn]
    size = np.repeat(count.ravel(), count.ravel())
    picked = np.repeat(starts[drawn].ravel(), count.ravel()) + (rng.random(len(size)) * size).astype(int)
    total = count.sum(1)
    return np.add.reduceat(x[picked], np.cumsum(total) - total) / total


def _values(rows: Iterable[Row], metric: str) -> dict[tuple[Any, ...], tuple[float, str]]:
    """The metric and the object by seed, fold and clip, where the metric has a value."""
    found = {(row["seed"], row["fold"], row["clip"]): (row.get(metric), row["object"]) for row in rows}
    return {key: (x, str(obj)) for key, (x, obj) in found.items() if x is not None and not math.isnan(x)}
