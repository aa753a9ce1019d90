"""The results of a run: one row per method, refinement and clip, and the table made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from ..commandline.screen import new_table

Row = dict[str, Any]

COLUMNS = {
    "mpjpe_cm": "MPJPE (cm)",
    "mpjpe_palm_cm": "palm (cm)",
    "mpjpe_fingers_cm": "fingers (cm)",
    "ave_cm2": "AVE (cm²)",
    "ave_paper": "AVE (m²·100)",
    "vertex_offset_cm": "vertex offset (cm)",
    "surface_offset_cm": "surface offset (cm)",
    "min_distance_cm": "min distance (cm)",
    "min_distance_error_cm": "its error (cm)",
    "penetration_cm": "p.dist (cm)",
    "penetration_max_cm": "on the way (cm)",
    "self_intersection_cm3": "s.i.vol (cm³)",
    "hand_object_cm3": "hand-object (cm³)",
    "sim_displacement_cm": "sim.disp (cm)",
    "six_success": "held in six ↑",
    "q1": "Q1 ↑",
    "contact_ratio": "contact ↑",
    "bin_accuracy": "bin accuracy ↑",
    "contact_f1": "F1 at 5 mm ↑",
    "contact_mae": "mean error",
    "calibration_error": "calibration error",
}
"""Metrics of the printed table and their headings; smaller is better but for those with an arrow up and for the minimum
distance."""

KEYS = ("method", "variant", "refine", "seed", "fold", "clip", "object", "hand", "data", "split_hash")
"""Columns of results.parquet that say what a row is about; metrics are the other columns of numbers."""

_ABOUT = (*KEYS, "scale")

FILTERED = " + filter"
"""Ends the refinement of rows that are kept by a filter."""


def label_rows(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """Adds columns: which run, data and hand the rows come from."""
    return [{**dict.fromkeys(KEYS), **row, **labels} for row in rows]


def with_filtered(rows: Sequence[Row]) -> list[Row]:
    """The rows, and once more those that a filter would keep, as a refinement of its own; ground truth only once."""
    kept = [row | {"refine": row["refine"] + FILTERED} for row in rows if row.get("kept") and row["refine"] != "-"]
    return [*rows, *kept]


def metric_names(rows: Sequence[Row]) -> list[str]:
    """The metrics in the rows, those of the printed table first."""
    names = dict.fromkeys(k for row in rows for k, v in row.items() if k not in _ABOUT and isinstance(v, float))
    return [*(n for n in COLUMNS if n in names), *(n for n in names if n not in COLUMNS)]


def method_label(row: Mapping[str, Any]) -> str:
    """Name of a method in tables: with its ablation, if it has one."""
    return row["method"] if row["variant"] in (None, "full") else f"{row['method']} ({row['variant']})"


def group_rows(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some columns, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def by_method(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by `method_label` and refinement, in order of first appearance."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((method_label(row), row["refine"]), []).append(row)
    return groups


def mean_and_sd(values: Iterable[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (n - 1; NaN for one value) and number of the values that are not NaN."""
    x = np.asarray(list(values), float)
    x = x[~np.isnan(x)]
    if not len(x):
        return float("nan"), float("nan"), 0
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan"), len(x)


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """{method: {refine: {metric: {mean, sd, n}}}} over clips."""
    names = metric_names(rows)
    summary: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (method, refine), group in by_method(rows).items():
        stats: dict[str, dict[str, float]] = {}
        for name in names:
            mean, sd, n = mean_and_sd(row.get(name, np.nan) for row in group)
            stats[name] = {"mean": mean, "sd": sd, "n": n}
        summary.setdefault(method, {})[refine] = stats
    return summary


def flat_summary(rows: Sequence[Row]) -> dict[str, float]:
    """{"method/refine/metric": mean}, for a tracker's summary."""
    return {
        f"{method}/{refine}/{name}": stats["mean"]
        for method, modes in summarise(rows).items()
        for refine, metrics in modes.items()
        for name, stats in metrics.items()
    }


def text_lines(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of `results_table` as text."""
    names = [n for n in metric_names(rows) if n in COLUMNS]
    cells = [
        [method, refine, *(format_spread(stats[n]["mean"], stats[n]["sd"]) for n in names)]
        for method, modes in summarise(rows).items()
        for refine, stats in modes.items()
    ]
    return ["method", "refine", *(COLUMNS[n] for n in names)], cells


def results_table(rows: Sequence[Row], title: str) -> Table:
    """One line per method and refinement: mean ± standard deviation over samples."""
    headings, cells = text_lines(rows)
    table = new_table(title, "mean ± standard deviation over samples")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < 2 else "right", no_wrap=i < 2)
    for line in cells:
        table.add_row(*line)
    return table


def markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]], left: int) -> str:
    """The same in Markdown; headings on one line, lines within a cell apart."""
    one_line = [" ".join(heading.split()) for heading in headings]
    body = [one_line, [*["---"] * left, *["---:"] * (len(headings) - left)], *cells]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", "<br>") for line in body)


def format_spread(mean: float, sd: float) -> str:
    """`1.23 ± 0.45`, with more digits for a small spread; a dash where there is nothing."""
    if np.isnan(mean):
        return "-"
    digits = 1 if abs(mean) >= 10 else 2 if abs(mean) >= 0.1 or mean == 0 else 3
    digits = 3 if 5e-4 <= sd < 5e-3 else max(digits, 2) if 5e-3 <= sd < 0.05 else digits  # a spread is not 0.00
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")


def write_results(folder: Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> list[Path]:
    """Writes results.parquet and metrics.json.

    Args:
        folder: of the run.
        rows: with the columns of `KEYS`.
        facts: what metrics.json says beside the summary.

    Returns:
        The two files.
    """
    parquet, metrics = folder / "results.parquet", folder / "metrics.json"
    pq.write_table(pa.Table.from_pylist([*rows]), parquet)
    metrics.write_text(json.dumps(without_nan({**facts, "summary": summarise(with_filtered(rows))}), indent=1) + "\n")
    return [parquet, metrics]


def read_results(path: Path) -> list[Row]:
    """The rows of a results.parquet."""
    return pq.read_table(path).to_pylist()


def without_nan(value: Any) -> Any:
    """Plain values for JSON, which has no NaN: None in its place, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_nan(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(x) for x in value]
    return None if isinstance(value, float) and np.isnan(value) else value
