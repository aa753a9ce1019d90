"""Means, spreads and counts of the columns, per object and over all grasps, and the list of all metrics."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..base import SampleMetric
from ..columns import CONTACT_MAPS, LEGACY, METRICS, MOTIONS, SPREADS
from ..grasp import GraspMetric
from ..tables import TextTable, format_spread, mean_and_sd

Columns = Mapping[str, NDArray[np.float64]]
Stats = dict[str, float]

_MOST_OBJECTS = 30
"""Lines of the printed table of objects; summary.json has all of them."""


def column_stats(values: NDArray[np.float64]) -> Stats:
    """Mean, sample sd (n - 1), median and number of the values that are not NaN, and the number of NaN. Mean and median
    are NaN without values, the sd with fewer than two.
    """
    mean, sd, n = mean_and_sd(values)
    median = float(np.nanmedian(values)) if n else float("nan")
    return {"mean": mean, "sd": sd, "median": median, "n": n, "n_nan": len(values) - n}


def summarise(objects: pa.ChunkedArray, columns: Columns) -> tuple[dict[str, Stats], dict[str, dict[str, Stats]]]:
    """Statistics of each column (N,) over all grasps (objects weighted by their number of grasps), and for each object,
    whose names are (N,): {key: stats} and {object: {key: stats}}, objects in the order of their first grasps.
    """
    encoded = objects.combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)

    def stats(rows: NDArray[np.intp] | slice) -> dict[str, Stats]:
        return {key: column_stats(x[rows]) for key, x in columns.items()}

    names = encoded.dictionary.to_pylist()
    return stats(slice(None)), {name: stats(rows) for name, rows in zip(names, groups, strict=True)}


def overall_table(stats: Mapping[str, Stats], chosen: Sequence[type[GraspMetric]]) -> TextTable:
    """One line per column: mean and sd, median, counts, and which direction is better."""
    headings, cells = ["column", "unit", "better", "mean ± sd", "median", "n", "n_nan"], []
    for column in chosen:
        s = stats[column.key]
        spread, median = (format_spread(*x, digits=column.digits) for x in ((s["mean"], s["sd"]), (s["median"],)))
        cells.append([column.key, column.unit, column.better(), spread, median, f"{s['n']}", f"{s['n_nan']}"])
    return TextTable("all grasps", "mean ± standard deviation over grasps", headings, cells, left=range(3))


def object_table(each: Mapping[str, Mapping[str, Stats]], chosen: Sequence[type[GraspMetric]]) -> TextTable:
    """One line per object: its grasps, and mean ± sd of the first column of each metric."""
    leading = {group[0] for group in (*METRICS.values(), *LEGACY.values())}
    chosen = [column for column in chosen if column in leading]
    shown = list(each)[:_MOST_OBJECTS]
    left = f"; {len(each) - len(shown)} more objects in summary.json" if len(shown) < len(each) else ""
    headings, cells = ["object", "grasps", *(column.key for column in chosen)], []
    for name in shown:
        first = next(iter(each[name].values()))
        spreads = (format_spread(each[name][c.key]["mean"], each[name][c.key]["sd"], c.digits) for c in chosen)
        cells.append([name, f"{first['n'] + first['n_nan']:.0f}", *spreads])
    caption = f"mean ± standard deviation over an object's grasps{left}"
    return TextTable("objects", caption, headings, cells)


def metric_tables() -> list[TextTable]:
    """Every metric, of grasps, motions and contact maps: its columns with unit, direction, definition and source."""
    of_grasps = []
    for name, group in METRICS.items():
        of_grasps += [(column, name if i == 0 else "") for i, column in enumerate(group)]
        of_grasps += [(column, "with --legacy") for column in LEGACY.get(name, ())]
    of_grasps += [(column, "in runs") for column in SPREADS]
    return [
        _listed("grasps: `dexzoo evaluate --metrics NAME`, `dexzoo run model.metrics=[NAME]`", "NAME", of_grasps),
        _listed("motions: all that a run can measure", None, [(column, "") for column in MOTIONS]),
        _listed("contact maps", None, [(column, "") for column in CONTACT_MAPS]),
    ]


def _listed(title: str, asked_by: str | None, columns: Iterable[tuple[type[SampleMetric], str]]) -> TextTable:
    headings = [asked_by] if asked_by else []
    cells = [
        [*[name] * len(headings), c.key, c.unit, c.better(), c.definition(), c.source, " ".join(c.heading.split())]
        for c, name in columns
    ]
    headings += ["column", "unit", "better", "definition", "source", "heading in tables"]
    return TextTable(title, "", headings, cells, left=range(len(headings)))
