"""Merges runs into one table: `dexzoo report RUN [RUN ...]`, and at the end of every sweep."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.experimental.callback import Callback
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from ...geometry.progress import working
from ...metrics.tool.table_file import write_table
from ..commandline.errors import RunError
from ..commandline.screen import console, new_table
from .merging import merge_parts
from .paired import paired_differences
from .results import (
    COLUMNS,
    Row,
    by_method,
    format_spread,
    group_rows,
    mean_and_sd,
    method_label,
    metric_names,
    read_results,
)


def gather(paths: Iterable[str | Path]) -> list[Row]:
    """The rows of several runs. A folder with folds counts as their merged results, a sweep as all of its runs.

    Rows of a baseline that several runs evaluated on the same clips with the same seed are taken once.

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


def merge(rows: Sequence[Row], base: str = "timed", metric: str = "mpjpe_cm") -> list[Row]:
    """One line per method, ablation and refinement.

    Args:
        rows: of `gather`.
        base: method that the others are compared with, clip by clip.
        metric: the one compared.

    Returns:
        Lines with `method`, `refine`, `runs` (seeds x folds), and for every metric `NAME` the mean over clips, averaged
        over runs, and `NAME_sd`, the standard deviation of the runs' means; then `difference`, `ci_low` and `ci_high`,
        the paired difference in `metric` from that of `base` and its 95 % interval (`paired.cluster_interval`).

    Raises:
        RunError: rows without the metric.
    """
    names = metric_names(rows)
    if metric not in names:
        raise RunError(f"expected runs of motion models, with the metric {metric}, found none; grasps: `dexzoo table3`")
    compared = [row for row in rows if row["method"] == base]
    lines = []
    for (method, refine), group in by_method(rows).items():
        runs = group_rows(group, "seed", "fold").values()
        line: Row = {"method": method, "refine": refine, "runs": len(runs)}
        for name in names:
            means = [mean_and_sd(row.get(name, np.nan) for row in run)[0] for run in runs]
            line[name], line[f"{name}_sd"], _ = mean_and_sd(means)
        differences = paired_differences([] if group[0]["method"] == base else group, compared, metric)
        line["difference"], line["ci_low"], line["ci_high"] = differences.interval()
        lines.append(line)
    return lines


def text_lines(lines: Sequence[Row], base: str) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table as text."""
    names = [name for name in COLUMNS if name in lines[0]]
    headings = ["method", "refine", "runs", *(COLUMNS[n] for n in names), f"MPJPE - {base} (95 % CI)"]
    cells = []
    for line in lines:
        spreads = [format_spread(line[n], line[f"{n}_sd"]) for n in names]
        gap = f"{line['difference']:+.2f} [{line['ci_low']:+.2f}, {line['ci_high']:+.2f}]"
        gap = "" if np.isnan(line["difference"]) else gap
        cells.append([line["method"], line["refine"], str(line["runs"]), *spreads, gap])
    return headings, cells


def write_report(folder: Path, lines: Sequence[Row], title: str, base: str) -> list[Path]:
    """Writes report.md and report.csv."""
    headings, cells = text_lines(lines, base)
    folder.mkdir(parents=True, exist_ok=True)
    markdown, table = folder / "report.md", folder / "report.csv"
    body = [headings, ["---", "---", *["---:"] * (len(headings) - 2)], *cells]
    text = "\n".join(f"| {' | '.join(line)} |" for line in body)
    markdown.write_text(f"# {title}\n\n{_explanation(base)}\n\n{text}\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return [markdown, table]


def report(paths: Sequence[str | Path], out: Path, base: str = "timed") -> None:
    """Merges runs, prints the table and writes report.md, report.csv and table.json into `out`."""
    rows = gather(paths)
    with working(f"comparing {len(rows)} rows"):
        lines = merge(rows, base)
    title = f"{rows[0]['data']}, hand {rows[0]['hand']}, {len({(r['fold'], r['clip']) for r in rows})} test clips"
    headings, cells = text_lines(lines, base)
    table = new_table(title, _explanation(base))
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < 2 else "right", no_wrap=i < 2)
    for line in cells:
        table.add_row(*line)
    screen = console()
    screen.print(table)
    seeds = [row["seed"] for row in rows]
    files = [
        *write_report(out, lines, title, base),
        write_table(out, title, headings, cells, rows[0]["data"], seeds),
    ]
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


def _explanation(base: str) -> str:
    return (
        "Mean over clips, then mean ± standard deviation over runs (seeds and folds). Last column: paired difference "
        f"in MPJPE from {base!r}, cm, with its 95 % interval (bootstrap by object, then clip); negative is better."
    )
