"""The results of grasp runs: rows, one per candidate, gathered and summarised. `grasp_tables` makes tables of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.grasp.evaluation import GROUND_TRUTH, KEPT
from ..commandline.errors import RunError
from . import results
from .merging import merge_parts
from .results import Row, by_method, group_rows, mean_and_sd, read_results

FELT = "refine_fields"
"""Column of what the refinement felt of the object: "cloud", "mesh", or "-" where nothing was refined."""

KEYS = (*results.KEYS, FELT, "scale", "candidate", "kept", "mesh", "pose")
"""Columns that every row has; of the others those that begin with `drop_` are criteria of the filter."""

_ABOUT = (*KEYS, "implausible")  # what a row is about; the other columns are metrics

DROP = "drop_"
"""Before the name of a criterion of the filter."""

RESAMPLES = 10_000
"""Bootstrap resamples of objects and seeds."""

_IDENTITY = ("refine", "seed", "fold", "object", "scale", "candidate")
_SPREADS = "diversity_"  # metrics with one value per object, which every candidate repeats


@dataclass(frozen=True)
class Statistic:
    """Mean, sample standard deviation (n - 1), 95 % interval of the mean and number of the values that are not NaN."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Line:
    """What the table says of one method with one refinement, before or after the filter.

    Attributes:
        method: with its ablation, if it has one.
        refine: "off", "dexzoo", "unidexgrasp".
        filtered: only the candidates that the filter kept.
        grasps: how many there are.
        dropped: share of the candidates that the filter drops.
        drops: share that each criterion drops by itself.
        stats: by metric.
        felt: what the refinement felt of the object: "cloud", "mesh", or "-" where nothing was refined.
    """

    method: str
    refine: str
    filtered: bool
    grasps: int
    dropped: float
    drops: dict[str, float]
    stats: dict[str, Statistic]
    felt: str


# ------------------------------------------------------------------------------------------------------------ gathering


def gather(paths: Iterable[str | Path]) -> list[Row]:
    """The rows of several grasp runs; those of the data set's own grasps, which every run has, once and without a seed.

    Raises:
        RunError: a folder without results, a run of motions, refinements that felt different things, or runs that
            cannot be merged, see `merge_parts`.
    """
    rows = merge_parts([(path, _rows_of(path)) for path in map(Path, paths)], _IDENTITY)
    check_felt(rows)
    return sorted(rows, key=lambda row: row["method"] != GROUND_TRUTH)  # stable: the floor comes first


def _rows_of(path: Path) -> list[Row]:
    file = path / "results.parquet"
    if not file.is_file():
        raise RunError(f"{path}: expected a run with a results.parquet, found none; is the run finished?")
    rows = read_results(file)
    missing = [key for key in KEYS if not rows or key not in rows[0]]
    if missing:
        found = f"no column {missing[0]!r}" if rows else "no rows"
        raise RunError(f"{file}: expected rows of a grasp run, found {found}; report.py merges runs of motions")
    return [{**row, "seed": None} if row["method"] == GROUND_TRUTH else row for row in rows]


# ----------------------------------------------------------------------------------------------------------- statistics


def summarise(rows: Sequence[Row]) -> list[Line]:
    """Two lines per method, ablation and refinement: all candidates, and those that the filter keeps."""
    names = metric_names(rows)
    criteria = [key.removeprefix(DROP) for key in all_keys(rows) if key.startswith(DROP)]
    lines = []
    for (method, refine), group in by_method(rows).items():
        dropped = float(np.mean([not row["kept"] for row in group]))
        drops = {name: mean_and_sd(_values(group, f"{DROP}{name}"))[0] for name in criteria}
        for filtered in (False, True):
            some = [row for row in group if row["kept"] or not filtered]
            stats = {name: statistic(some, name, filtered) for name in names}
            lines.append(Line(method, refine, filtered, len(some), dropped, drops, stats, group[0][FELT]))
    return lines


def metric_names(rows: Sequence[Row]) -> list[str]:
    """The metrics in the rows."""
    return [key for key in all_keys(rows) if key not in _ABOUT and not key.startswith((DROP, KEPT))]


def statistic(rows: Sequence[Row], name: str, kept: bool = False) -> Statistic:
    """Statistics of one metric over some rows; a spread counts once per seed, object and scale.

    Args:
        rows: of one method.
        name: of the metric.
        kept: the rows are those that a filter kept: spreads are the ones among them.
    """
    if name.startswith(_SPREADS):
        rows = [group[0] for group in group_rows(rows, "seed", "object", "scale").values()]
        name = f"{KEPT}{name}" if kept else name
    values = _values(rows, name)
    low, high = crossed_interval(values, [row["object"] for row in rows], [row["seed"] for row in rows])
    mean, sd, n = mean_and_sd(values)
    return Statistic(mean, sd, low, high, n)


def crossed_interval(
    values: NDArray[np.float64], objects: Sequence[Any], seeds: Sequence[Any], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean, for values that go by object and by seed.

    Objects and seeds are drawn with replacement, independently of one another, and a value counts as often as its
    object was drawn times as often as its seed was (Owen, "The pigeonhole bootstrap", 2007).

    Args:
        values: (N,); NaN are left out.
        objects, seeds: N of each.
        resamples: how often to draw.
        seed: of the random numbers.

    Returns:
        Percentiles 2.5 and 97.5 of the resampled means; NaN where the values are of fewer than two objects.
    """
    known = ~np.isnan(values)
    rows, row = np.unique([str(x) for x in objects], return_inverse=True)
    columns, column = np.unique([str(x) for x in seeds], return_inverse=True)
    if len(np.unique(row[known])) < 2:
        return math.nan, math.nan
    sums, counts = np.zeros((2, len(rows), len(columns)))
    np.add.at(sums, (row[known], column[known]), values[known])
    np.add.at(counts, (row[known], column[known]), 1)
    rng = np.random.default_rng(seed)
    drawn, drawn_seeds = (rng.multinomial(n, np.full(n, 1 / n), resamples) for n in counts.shape)
    total, number = (np.einsum("rs,rs->r", drawn @ x, drawn_seeds) for x in (sums, counts))
    low, high = np.percentile(total[number > 0] / number[number > 0], [2.5, 97.5])
    return float(low), float(high)


def check_felt(rows: Iterable[Row]) -> None:
    """Refuses rows of one refinement that felt the observed cloud in some and the true mesh in others.

    Raises:
        RunError: they are not alike.
    """
    for (refine,), group in group_rows(rows, "refine").items():
        felt = sorted({row[FELT] for row in group})
        if len(felt) > 1:
            found = " and ".join(map(repr, felt))
            raise RunError(f"refine.fields: expected runs with refine={refine} on the same fields, found {found}")


def all_keys(rows: Sequence[Row]) -> list[str]:
    """Every column that any row has, in order of first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _values(rows: Iterable[Row], name: str) -> NDArray[np.float64]:
    """A column, NaN where a row has no value."""
    found = (row.get(name) for row in rows)
    return np.array([math.nan if value is None else float(value) for value in found])
