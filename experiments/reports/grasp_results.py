"""The results of grasp runs: rows, one per candidate, gathered and summarised. `grasp_tables` makes tables of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...metrics.columns import SPREADS
from ...metrics.tables import mean_and_sd
from ...models.grasp.evaluation import GROUND_TRUTH, KEPT
from ..commandline.errors import RunError
from . import results
from .intervals import crossed_interval
from .merging import lacks, merge_parts, read_runs
from .results import Row, all_keys, by_method, group_rows

FELT = "refine_fields"
"""Column of what the refinement felt of the object: "cloud", "mesh", or "-" where nothing was refined."""

KEYS = (*results.KEYS, FELT, "scale", "candidate", "kept", "mesh", "pose")
"""Columns that every row has; of the others those that begin with `drop_` are criteria of the filter."""

_ABOUT = (*KEYS, "implausible")  # what a row is about; the other columns are metrics

DROP = "drop_"
"""Before the name of a criterion of the filter."""

PARTS = ("sd", "low", "high", "n")
"""Ends of the columns of a line that say more of a metric than its mean."""

_IDENTITY = ("refine", "seed", "fold", "object", "scale", "candidate")
_SPREADS = {column.key for column in SPREADS}  # one value per object, which every candidate repeats


def gather(paths: Iterable[str | Path]) -> list[Row]:
    """The rows of several grasp runs; those of the data set's own grasps, which every run has, once and without a seed.

    Raises RunError for a folder without results, a run of motions, refinements that felt different things, or runs that
    cannot be merged, see `merge_parts`.
    """
    rows = merge_parts([(folder, _without_seed(folder, rows)) for folder, rows in read_runs(paths)], _IDENTITY)
    check_felt(rows)
    return sorted(rows, key=lambda row: row["method"] != GROUND_TRUTH)  # stable: the floor comes first


def _without_seed(folder: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows of a grasp run, those of the data set's own grasps without a seed."""
    if lacking := lacks(rows, KEYS):
        raise RunError(
            f"{folder}: expected rows of a grasp run, found {lacking}; `dexzoo report` merges runs of motions"
        )
    return [{**row, "seed": None} if row["method"] == GROUND_TRUTH else row for row in rows]


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Two lines per method, ablation and refinement: all candidates, and those that the filter keeps.

    They have `method`; `refine` and `refine_fields`; `filter`, "off" or "on"; `grasps`, their number; `dropped`, share
    of the candidates that the filter drops, and `drop_<criterion>`, that each drops by itself; and `statistic` of each
    metric.
    """
    names = metric_names(rows)
    criteria = [key for key in all_keys(rows) if key.startswith(DROP)]
    lines = []
    for (method, refine), group in by_method(rows).items():
        dropped = float(np.mean([not row["kept"] for row in group]))
        drops = {key: mean_and_sd(_values(group, key))[0] for key in criteria}
        for kept in (False, True):
            some = [row for row in group if row["kept"] or not kept]
            line: Row = {"method": method, "refine": refine, FELT: group[0][FELT], "filter": "on" if kept else "off"}
            line |= {"grasps": len(some), "dropped": dropped, **drops}
            for name in names:
                line |= statistic(some, name, kept)
            lines.append(line)
    return lines


def metric_names(rows: Sequence[Row]) -> list[str]:
    """The metrics in the rows."""
    return [key for key in all_keys(rows) if key not in _ABOUT and not key.startswith((DROP, KEPT))]


def statistic(rows: Sequence[Row], name: str, kept: bool = False) -> dict[str, float]:
    """Statistics of one metric over rows of one method; a spread counts once per seed, object and scale.

    `NAME` is the mean of the values that are not NaN, `NAME_sd` their sample standard deviation (n - 1), `NAME_low` and
    `NAME_high` the 95 % interval of the mean (`crossed_interval`), `NAME_n` their number. With `kept` the rows are
    those that a filter kept, and spreads are the ones among them.
    """
    found = name
    if name in _SPREADS:
        rows = [group[0] for group in group_rows(rows, "seed", "object", "scale").values()]
        found = f"{KEPT}{name}" if kept else name
    values = _values(rows, found)
    mean, sd, n = mean_and_sd(values)
    low, high = crossed_interval(values, [row["object"] for row in rows], [row["seed"] for row in rows])
    return dict(zip((name, *(f"{name}_{part}" for part in PARTS)), (mean, sd, low, high, n), strict=True))


def check_felt(rows: Iterable[Row]) -> None:
    """Refuses rows of one refinement that felt the observed cloud in some and the true mesh in others."""
    for (refine,), group in group_rows(rows, "refine").items():
        felt = sorted({row[FELT] for row in group})
        if len(felt) > 1:
            found = " and ".join(map(repr, felt))
            raise RunError(f"refine.fields: expected runs with refine={refine} on the same fields, found {found}")


def _values(rows: Iterable[Row], name: str) -> NDArray[np.float64]:
    """A column, NaN where a row has no value."""
    return np.array([row.get(name) for row in rows], float)  # None becomes NaN
