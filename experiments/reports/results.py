"""The results of a run: one row per method, refinement and clip, and the table made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...metrics.columns import CONTACT_MAPS, MOTIONS, grasp_columns, in_tables
from ...metrics.tables import Text, TextTable, mean_and_sd, metric_cells, write_json

Row = dict[str, Any]
Key = TypeVar("Key")
Item = TypeVar("Item")

COLUMNS = in_tables((*MOTIONS, *CONTACT_MAPS))
"""Metrics of the printed table of a run, but for grasps, which have tables of their own."""

KEYS = ("method", "variant", "refine", "seed", "fold", "clip", "object", "hand", "data", "split_hash")
"""Columns of results.parquet that say what a row is about; metrics are the other columns of numbers."""

_ABOUT = (*KEYS, "scale")

FILTERED = " + filter"
"""Ends the refinement of rows that are kept by a filter."""


def label_rows(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """Adds columns: the run, data and hand that the rows come from."""
    return [{**dict.fromkeys(KEYS), **row, **labels} for row in rows]


def with_filtered(rows: Sequence[Row]) -> list[Row]:
    """The rows, and once more those that a filter would keep, as a refinement of its own; ground truth only once."""
    kept = [row | {"refine": row["refine"] + FILTERED} for row in rows if row.get("kept") and row["refine"] != "-"]
    return [*rows, *kept]


def metric_names(rows: Sequence[Row]) -> list[str]:
    """The metrics in the rows, those of printed tables first."""
    names = dict.fromkeys(k for row in rows for k, v in row.items() if k not in _ABOUT and isinstance(v, float))
    first = [name for name in (*COLUMNS, *in_tables(grasp_columns())) if name in names]
    return list(dict.fromkeys([*first, *names]))


def method_label(row: Mapping[str, Any]) -> str:
    """Name of a method in tables: with its ablation, if it has one."""
    return row["method"] if row["variant"] in (None, "full") else f"{row['method']} ({row['variant']})"


def group_by(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Rows or others by their key, in order of first appearance."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def group_rows(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some columns."""
    return group_by(rows, lambda row: tuple(row[key] for key in keys))


def by_method(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by `method_label` and refinement."""
    return group_by(rows, lambda row: (method_label(row), row["refine"]))


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """{method: {refine: {metric: {mean, sd, n}}}} over clips."""
    names = metric_names(rows)
    summary: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (method, refine), group in by_method(rows).items():
        found = {name: mean_and_sd(row.get(name, np.nan) for row in group) for name in names}
        stats: dict[str, dict[str, float]] = {name: {"mean": m, "sd": sd, "n": n} for name, (m, sd, n) in found.items()}
        summary.setdefault(method, {})[refine] = stats
    return summary


def flat_means(summary: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]) -> dict[str, float]:
    """{"method/refine/metric": mean} of what `summarise` returns, or metrics.json holds."""
    modes = {f"{method}/{refine}": found for method, of in summary.items() for refine, found in of.items()}
    return {f"{mode}/{name}": stats["mean"] for mode, metrics in modes.items() for name, stats in metrics.items()}


def text_lines(rows: Sequence[Row]) -> Text:
    """Headings and cells of the table of a run: one line per method and refinement, mean ± sd over samples."""
    names = metric_names(rows)
    columns = [column for key, column in COLUMNS.items() if key in names]
    cells = []
    for method, modes in summarise(rows).items():
        for refine, stats in modes.items():
            line = {f"{key}{end}": x[part] for key, x in stats.items() for end, part in (("", "mean"), ("_sd", "sd"))}
            cells.append([method, refine, *metric_cells(columns, line)])
    arrows = (f"{column.title()}{' ↑' * (column.higher_is_better is True)}" for column in columns)
    return ["method", "refine", *arrows], cells


def results_table(rows: Sequence[Row], title: str) -> TextTable:
    """The table of a run."""
    return TextTable(title, "mean ± standard deviation over samples", *text_lines(rows), left=(0, 1))


def write_results(folder: Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> list[Path]:
    """Writes results.parquet, of rows with the columns of `KEYS`, and metrics.json, their summary and further facts."""
    content = {**facts, "summary": summarise(with_filtered(rows))}
    return [write_rows(folder, rows), write_json(folder / "metrics.json", content)]


def write_rows(folder: Path, rows: Sequence[Row]) -> Path:
    """Writes results.parquet; a row is null in the columns that only others have."""
    path, keys = folder / "results.parquet", all_keys(rows)
    pq.write_table(pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in rows]), path)
    return path


def all_keys(rows: Iterable[Row]) -> list[str]:
    """Every column that any row has, in order of first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def read_results(path: Path) -> list[Row]:
    """The rows of a results.parquet."""
    return pq.read_table(path).to_pylist()
