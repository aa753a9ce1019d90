"""Merges runs into one table: `dexzoo report RUN [RUN ...]`, and at the end of every sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.experimental.callback import Callback
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from ...geometry.progress import working
from ...metrics.columns import MOTIONS, in_tables
from ...metrics.tables import TextTable, console, format_difference, markdown_table, mean_and_sd, write_csv
from ...metrics.tool.table_file import write_table
from ..commandline.errors import RunError
from .merging import merge_parts
from .paired import paired_differences
from .results import Row, by_method, group_rows, method_label, metric_cells, metric_names, narrow_table, read_results

COLUMNS = in_tables(MOTIONS)


def gather(paths: Iterable[str | Path]) -> list[Row]:
    """The rows of several runs. A folder with folds counts as their merged results, a sweep as all of its runs.

    Rows of a reference that several runs evaluated on the same clips with the same seed are taken once.

    Raises:
        RunError: a folder without results, runs that cannot be merged (see `merge_parts`), or that were tested on
            other clips.
    """
    parts: list[tuple[Path, list[Row]]] = []
    for path in map(Path, paths):
        own = path / "results.parquet"
        files = [own] if own.exists() else _outermost(path.rglob("results.parquet"))
        if not files:
            raise RunError(
                f"{path}: expected a run or a sweep with a results.parquet, found none; is the run finished?"
            )
        parts += [(file.parent, read_results(file)) for file in files]
    rows = merge_parts(parts, ("refine", "seed", "fold", "clip"))
    if "candidate" not in rows[0]:  # grasps have no clips in common; they are refused for having no MPJPE
        _check_clips(rows)
    return rows


def merge(rows: Sequence[Row], reference: str = "timed", metric: str = "mpjpe_cm") -> list[Row]:
    """One line per method, ablation and refinement.

    Args:
        rows: of `gather`.
        reference: method that the others are compared with, clip by clip.
        metric: the one compared.

    Returns:
        Lines with `method`, `refine`, `runs` (seeds x folds), and for every metric `NAME` the mean over clips, averaged
        over runs, and `NAME_sd`, the standard deviation of the runs' means; then `difference`, `ci_low` and `ci_high`,
        the paired difference in `metric` from the reference and its 95 % interval (`paired.cluster_interval`).

    Raises:
        RunError: rows without the metric.
    """
    names = metric_names(rows)
    if metric not in names:
        raise RunError(f"expected runs of motion models, with the metric {metric}, found none; grasps: `dexzoo table3`")
    base = [row for row in rows if row["method"] == reference]
    lines = []
    for (method, refine), group in by_method(rows).items():
        runs = group_rows(group, "seed", "fold").values()
        line: Row = {"method": method, "refine": refine, "runs": len(runs)}
        for name in names:
            means = [mean_and_sd(row.get(name, np.nan) for row in run)[0] for run in runs]
            line[name], line[f"{name}_sd"], _ = mean_and_sd(means)
        differences = paired_differences([] if group[0]["method"] == reference else group, base, metric)
        line["difference"], line["ci_low"], line["ci_high"] = differences.interval()
        lines.append(line)
    return lines


def text_lines(lines: Sequence[Row], reference: str) -> TextTable:
    """Headings and cells of the table as text."""
    columns = [column for key, column in COLUMNS.items() if key in lines[0]]
    cells = []
    for line in lines:
        gap = format_difference(line["difference"], line["ci_low"], line["ci_high"], digits=2)
        gap = "" if np.isnan(line["difference"]) else gap
        cells.append([line["method"], line["refine"], str(line["runs"]), *metric_cells(columns, line), gap])
    titles = (column.title() for column in columns)
    return ["method", "refine", "runs", *titles, f"MPJPE - {reference} (95 % CI)"], cells


def write_report(folder: Path, lines: Sequence[Row], title: str, reference: str) -> list[Path]:
    """Writes report.md and report.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, text = folder / "report.md", markdown_table(*text_lines(lines, reference), left=2)
    markdown.write_text(f"# {title}\n\n{_explanation(reference)}\n\n{text}\n", encoding="utf-8")
    return [markdown, write_csv(folder / "report.csv", lines)]


def report(paths: Sequence[str | Path], out: Path, reference: str = "timed") -> None:
    """Merges runs, prints the table and writes report.md, report.csv and table.json into `out`."""
    rows = gather(paths)
    with working(f"comparing {len(rows)} rows"):
        lines = merge(rows, reference)
    title = f"{rows[0]['data']}, hand {rows[0]['hand']}, {len({(r['fold'], r['clip']) for r in rows})} test clips"
    table, screen = text_lines(lines, reference), console()
    screen.print(narrow_table(title, _explanation(reference), *table))
    seeds = [row["seed"] for row in rows]
    files = [*write_report(out, lines, title, reference), write_table(out, title, *table, rows[0]["data"], seeds)]
    for path in files:
        screen.print(f"report       {path}", soft_wrap=True)


class MultirunReport(Callback):
    """Hydra callback: the merged table of a sweep."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints it and writes it into the sweep's folder; a sweep whose runs cannot be merged says why."""
        folder = Path(config.hydra.sweep.dir)
        if rank_zero_only.rank == 0 and any(folder.rglob("results.parquet")):
            try:
                report([folder], folder)
            except RunError as error:
                console().print(f"no report    {error}", soft_wrap=True)


def _check_clips(rows: Sequence[Row]) -> None:
    """Refuses methods that were tested on other clips of the same split."""
    first: dict[Any, tuple[str, set[str]]] = {}
    for (_, _, refine, seed, fold), group in group_rows(rows, "method", "variant", "refine", "seed", "fold").items():
        name, clips = f"{method_label(group[0])}, {refine}, seed {seed}", {row["clip"] for row in group}
        other, known = first.setdefault(fold, (name, clips))
        if clips != known:
            raise RunError(
                f"clips: expected all runs to be tested on the same clips, found {len(known)} of {other}, "
                f"{len(clips)} of {name}, and {len(clips & known)} in both"
            )


def _outermost(files: Iterable[Path]) -> list[Path]:
    ordered = sorted(files, key=lambda file: len(file.parts))
    kept: list[Path] = []
    for file in ordered:
        if not any(file.is_relative_to(other.parent) for other in kept):
            kept.append(file)
    return sorted(kept)


def _explanation(reference: str) -> str:
    return (
        "Mean over clips, then mean ± standard deviation over runs (seeds and folds). Last column: paired difference "
        f"in MPJPE from {reference!r}, cm, with its 95 % interval (bootstrap by object, then clip); negative is better."
    )
