"""Means, spreads and counts of the columns, per object and over all grasps, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from ..columns import LEGACY, METRICS
from ..grasp import GraspMetric

Columns = Mapping[str, NDArray[np.float64]]
Stats = dict[str, float]

_MOST_OBJECTS = 30
"""Largest number of lines in the printed table of objects; summary.json has all of them."""
_STYLE: dict[str, Any] = {
    **{"box": box.SIMPLE, "padding": (0, 1, 0, 0), "pad_edge": False},
    **{"title_justify": "left", "caption_justify": "left"},
}


def column_stats(values: NDArray[np.float64]) -> Stats:
    """Mean, sample sd (n - 1), median and number of the values that are not NaN, and the number of NaN.

    Mean and median are NaN without values, the sd with fewer than two.
    """
    known = values[~np.isnan(values)]
    n = len(known)
    nan = float("nan")
    return {
        "mean": float(known.mean()) if n else nan,
        "sd": float(known.std(ddof=1)) if n > 1 else nan,
        "median": float(np.median(known)) if n else nan,
        "n": n,
        "n_nan": len(values) - n,
    }


def summarise(objects: pa.ChunkedArray, columns: Columns) -> tuple[dict[str, Stats], dict[str, dict[str, Stats]]]:
    """Statistics of each column over all grasps (objects weighted by their number of grasps), and for each object.

    Args:
        objects: (N,) names, the object of each grasp.
        columns: (N,) values by key.

    Returns:
        {key: stats} and {object: {key: stats}}, objects in the order of their first grasps.
    """
    encoded = objects.combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    names = encoded.dictionary.to_pylist()
    each = {
        name: {key: column_stats(x[rows]) for key, x in columns.items()}
        for name, rows in zip(names, groups, strict=True)
    }
    return {key: column_stats(x) for key, x in columns.items()}, each


def overall_lines(stats: Mapping[str, Stats], chosen: Sequence[type[GraspMetric]]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of `overall_table`, as text."""
    cells = []
    for column in chosen:
        s = stats[column.key]
        spread, median = format_spread(s["mean"], s["sd"]), format_spread(s["median"])
        cells.append([column.key, column.unit, better(column), spread, median, f"{s['n']}", f"{s['n_nan']}"])
    return ["column", "unit", "better", "mean ± sd", "median", "n", "n_nan"], cells


def overall_table(stats: Mapping[str, Stats], chosen: Sequence[type[GraspMetric]]) -> Table:
    """One line per column: mean and sd, median, counts, and which direction is better."""
    table = Table(title="all grasps", caption="mean ± standard deviation over grasps", **_STYLE)
    headings, cells = overall_lines(stats, chosen)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < 3 else "right", no_wrap=True)
    for line in cells:
        table.add_row(*line)
    return table


def object_table(each: Mapping[str, Mapping[str, Stats]], chosen: Sequence[type[GraspMetric]]) -> Table:
    """One line per object: its grasps, and mean ± sd of the first column of each metric."""
    leading = {group[0] for group in (*METRICS.values(), *LEGACY.values())}
    chosen = [column for column in chosen if column in leading]
    shown = list(each)[:_MOST_OBJECTS]
    left = f"; {len(each) - len(shown)} more objects in summary.json" if len(shown) < len(each) else ""
    table = Table(title="objects", caption=f"mean ± standard deviation over an object's grasps{left}", **_STYLE)
    table.add_column("object", no_wrap=True, min_width=12)
    table.add_column("grasps", justify="right")
    for column in chosen:
        table.add_column(column.key, justify="right", overflow="fold")
    for name in shown:
        first = next(iter(each[name].values()))
        cells = (format_spread(each[name][c.key]["mean"], each[name][c.key]["sd"]) for c in chosen)
        table.add_row(name, f"{first['n'] + first['n_nan']:.0f}", *cells)
    return table


def metric_table() -> Table:
    """Table of all metrics: columns with unit, direction, definition and source."""
    table = Table(**_STYLE)
    for heading in ("--metrics", "column", "unit", "better"):
        table.add_column(heading, no_wrap=True)
    for heading in ("definition", "source"):
        table.add_column(heading)
    for name, group in METRICS.items():
        rows = [(column, name if i == 0 else "") for i, column in enumerate(group)]
        rows += [(column, "with --legacy") for column in LEGACY.get(name, ())]
        for column, label in rows:
            table.add_row(label, column.key, column.unit, better(column), column.definition(), column.source)
    return table


def better(column: type[GraspMetric]) -> str:
    """Which direction is better."""
    return "-" if column.higher_is_better is None else "higher" if column.higher_is_better else "lower"


def format_spread(mean: float, sd: float = float("nan")) -> str:
    """`1.23 ± 0.45`; a dash for a missing value."""
    if np.isnan(mean):
        return "-"
    digits = 1 if abs(mean) >= 10 else 2 if abs(mean) >= 0.1 or mean == 0 else 3
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")


def wide_console() -> Console:
    """The terminal, or a console wide enough for all tables if the output goes to a file."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=250)


def without_nan(value: Any) -> Any:
    """The same with None instead of NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: without_nan(x) for key, x in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
