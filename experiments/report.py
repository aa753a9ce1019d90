"""Merges runs into one table: `python experiments/report.py RUN [RUN ...]`, and at the end of every sweep."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.experimental.callback import Callback
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from omegaconf import DictConfig

from dexzoo.experiments.errors import plain_errors
from dexzoo.experiments.folders import RunError
from dexzoo.experiments.results import (
    COLUMNS,
    Row,
    console,
    format_spread,
    group_rows,
    mean_and_sd,
    method_label,
    metric_names,
    new_table,
    read_results,
)
from dexzoo.geometry.progress import working

RESAMPLES = 10_000
"""Bootstrap resamples of the clips."""


def gather(paths: Iterable[str | Path]) -> list[Row]:
    """The rows of several runs. A folder with folds counts as their merged results, a sweep as all of its runs.

    Rows of a reference that several runs evaluated on the same clips with the same seed are taken once.

    Raises:
        RunError: a folder without results, or runs of different data or hands.
    """
    rows: dict[tuple[Any, ...], Row] = {}
    for path in map(Path, paths):
        own = path / "results.parquet"
        files = [own] if own.exists() else _outermost(path.rglob("results.parquet"))
        if not files:
            raise RunError(
                f"{path}: expected a run or a sweep with a results.parquet, found none; is the run finished?"
            )
        for row in (row for file in files for row in read_results(file)):
            rows[tuple(row[k] for k in ("method", "variant", "refine", "seed", "fold", "clip"))] = row
    for key in ("data", "hand"):
        found = sorted({row[key] for row in rows.values()})
        if len(found) > 1:
            raise RunError(f"{key}: expected runs that can be compared, found {' and '.join(map(repr, found))}")
    return list(rows.values())


def merge(rows: Sequence[Row], reference: str = "timed", metric: str = "mpjpe_cm") -> list[Row]:
    """One line per method, ablation and refinement.

    Args:
        rows: of `gather`.
        reference: method that the others are compared with, clip by clip.
        metric: the one compared.

    Returns:
        Lines with `method`, `refine`, `runs` (seeds x folds), and for every metric `NAME` the mean over clips, averaged
        over runs, and `NAME_sd`, the standard deviation of the runs' means; then `difference`, `ci_low` and `ci_high`,
        the paired difference in `metric` from the reference and its 95 % interval (bootstrap over clips).
    """
    names = metric_names(rows)
    base = _by_clip([row for row in rows if row["method"] == reference], metric)
    lines = []
    for (_, _, refine), group in group_rows(rows, "method", "variant", "refine").items():
        runs = group_rows(group, "seed", "fold").values()
        line: Row = {"method": method_label(group[0]), "refine": refine, "runs": len(runs)}
        for name in names:
            means = [mean_and_sd(row.get(name, np.nan) for row in run)[0] for run in runs]
            line[name], line[f"{name}_sd"], _ = mean_and_sd(means)
        differences = [] if group[0]["method"] == reference else paired_differences(_by_clip(group, metric), base)
        line["difference"], line["ci_low"], line["ci_high"] = bootstrap_interval(np.asarray(differences))
        lines.append(line)
    return lines


def paired_differences(values: dict[tuple, float], base: dict[tuple, float]) -> list[float]:
    """Method minus reference of each clip, averaged over seeds; keys are (seed, fold, clip)."""
    clips: dict[tuple, list[float]] = {}
    for (seed, fold, clip), value in values.items():
        if (seed, fold, clip) in base:
            clips.setdefault((fold, clip), []).append(value - base[seed, fold, clip])
    return [float(np.mean(differences)) for differences in clips.values()]


def bootstrap_interval(differences: NDArray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float, float]:
    """Mean of the differences and its 95 % percentile interval, resampling clips; NaN where there are none."""
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return float("nan"), float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(len(differences), size=(resamples, len(differences)))
    low, high = np.percentile(differences[picks].mean(1), [2.5, 97.5])
    return float(differences.mean()), float(low), float(high)


def text_lines(lines: Sequence[Row], reference: str) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table as text."""
    names = [name for name in COLUMNS if name in lines[0]]
    headings = ["method", "refine", "runs", *(COLUMNS[n] for n in names), f"MPJPE - {reference} (95 % CI)"]
    cells = []
    for line in lines:
        spreads = [format_spread(line[n], line[f"{n}_sd"]) for n in names]
        gap = f"{line['difference']:+.2f} [{line['ci_low']:+.2f}, {line['ci_high']:+.2f}]"
        gap = "" if np.isnan(line["difference"]) else gap
        cells.append([line["method"], line["refine"], str(line["runs"]), *spreads, gap])
    return headings, cells


def write_report(folder: Path, lines: Sequence[Row], title: str, reference: str) -> list[Path]:
    """Writes report.md and report.csv."""
    headings, cells = text_lines(lines, reference)
    folder.mkdir(parents=True, exist_ok=True)
    markdown, table = folder / "report.md", folder / "report.csv"
    body = [headings, ["---", "---", *["---:"] * (len(headings) - 2)], *cells]
    text = "\n".join(f"| {' | '.join(line)} |" for line in body)
    markdown.write_text(f"# {title}\n\n{_explanation(reference)}\n\n{text}\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return [markdown, table]


def report(paths: Sequence[str | Path], out: Path, reference: str = "timed") -> None:
    """Merges runs, prints the table and writes report.md and report.csv into `out`."""
    rows = gather(paths)
    with working(f"comparing {len(rows)} rows"):
        lines = merge(rows, reference)
    title = f"{rows[0]['data']}, hand {rows[0]['hand']}, {len({(r['fold'], r['clip']) for r in rows})} test clips"
    headings, cells = text_lines(lines, reference)
    table = new_table(title, _explanation(reference))
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < 2 else "right", no_wrap=i < 2)
    for line in cells:
        table.add_row(*line)
    screen = console()
    screen.print(table)
    for path in write_report(out, lines, title, reference):
        screen.print(f"report       {path}", soft_wrap=True)


class MultirunReport(Callback):
    """Hydra callback: the merged table of a sweep."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints it and writes it into the sweep's folder."""
        if rank_zero_only.rank == 0 and any(Path(config.hydra.sweep.dir).rglob("results.parquet")):
            report([config.hydra.sweep.dir], Path(config.hydra.sweep.dir))


def _by_clip(rows: Iterable[Row], metric: str) -> dict[tuple, float]:
    return {(row["seed"], row["fold"], row["clip"]): row[metric] for row in rows}


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
        f"in MPJPE from {reference!r}, cm, with its 95 % interval from a bootstrap over clips; negative is better."
    )


@plain_errors
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="run folders or sweep folders")
    parser.add_argument("--out", type=Path, help="folder for report.md and report.csv (default: the first run)")
    parser.add_argument("--reference", default="timed", help="method that the others are compared with")
    args = parser.parse_args()
    report(args.runs, args.out or Path(args.runs[0]), args.reference)


if __name__ == "__main__":
    main()
