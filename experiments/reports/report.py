"""Merges runs into one table: `dexzoo report RUN [RUN ...]`, and at the end of every sweep."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.experimental.callback import Callback
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from ...geometry.progress import working
from ...metrics.columns import MOTIONS, in_tables
from ...metrics.tables import (
    Text,
    TextTable,
    console,
    format_difference,
    mean_and_sd,
    metric_cells,
    write_csv,
    write_markdown,
)
from ...metrics.tool.table_file import write_table
from ..commandline.errors import RunError
from .intervals import cluster_interval, paired_differences
from .merging import merge_parts, read_runs
from .results import Row, by_method, group_rows, method_label, metric_names

COLUMNS = in_tables(MOTIONS)
_EXPLANATION = (
    "Mean over clips, then mean ± standard deviation over runs (seeds and folds). Last column: paired difference in "
    "MPJPE from {base!r}, cm, with its 95 % interval (bootstrap by object, then clip); negative is better."
)


def gather(paths: Iterable[str | Path]) -> list[Row]:
    """The rows of several runs, see `read_runs`; those of a baseline that several runs evaluated on the same clips with
    the same seed are taken once. Raises RunError as `merge_parts`, and for runs that were tested on other clips.
    """
    rows = merge_parts(read_runs(paths), ("refine", "seed", "fold", "clip"))
    if "candidate" not in rows[0]:  # grasps have no clips in common; they are refused for having no MPJPE
        _check_clips(rows)
    return rows


def means_of(rows: Sequence[Row]) -> list[Row]:
    """One line per method, ablation and refinement: `method`, `refine`, `runs` (seeds x folds), and for every metric
    `NAME`, the mean over clips, averaged over runs, and `NAME_sd`, the standard deviation of the runs' means.
    """
    names, lines = metric_names(rows), []
    for (method, refine), group in by_method(rows).items():
        runs = group_rows(group, "seed", "fold").values()
        line: Row = {"method": method, "refine": refine, "runs": len(runs)}
        for name in names:
            means = [mean_and_sd(row.get(name, np.nan) for row in run)[0] for run in runs]
            line[name], line[f"{name}_sd"], _ = mean_and_sd(means)
        lines.append(line)
    return lines


def merge(rows: Sequence[Row], base: str = "timed", metric: str = "mpjpe_cm") -> list[Row]:
    """The lines of `means_of` with the paired `difference` in one metric from the method `base`, clip by clip, and its
    95 % interval, `ci_low` and `ci_high` (`cluster_interval`). Raises RunError for rows without the metric.
    """
    if metric not in metric_names(rows):
        raise RunError(f"expected runs of motion models, with the metric {metric}, found none; grasps: `dexzoo table3`")
    compared = [row for row in rows if row["method"] == base]
    lines = []
    for line, group in zip(means_of(rows), by_method(rows).values(), strict=True):
        pairs = paired_differences([] if group[0]["method"] == base else group, compared, metric)
        lines.append(line | dict(zip(("difference", "ci_low", "ci_high"), cluster_interval(*pairs), strict=True)))
    return lines


def text_lines(lines: Sequence[Row], base: str) -> Text:
    """Headings and cells of the table as text."""
    columns = [column for key, column in COLUMNS.items() if key in lines[0]]
    cells = []
    for line in lines:
        gap = [line[key] for key in ("difference", "ci_low", "ci_high")]
        gap = "" if np.isnan(gap[0]) else format_difference(*gap, digits=2)
        cells.append([line["method"], line["refine"], str(line["runs"]), *metric_cells(columns, line), gap])
    titles = (column.title() for column in columns)
    return ["method", "refine", "runs", *titles, f"MPJPE - {base} (95 % CI)"], cells


def report(paths: Sequence[str | Path], out: Path, base: str = "timed") -> None:
    """Merges runs, prints the table and writes report.md, report.csv and table.json into `out`."""
    rows = gather(paths)
    with working(f"comparing {len(rows)} rows"):
        lines = merge(rows, base)
    title = f"{rows[0]['data']}, hand {rows[0]['hand']}, {len({(r['fold'], r['clip']) for r in rows})} test clips"
    table, screen = TextTable(title, _EXPLANATION.format(base=base), *text_lines(lines, base), left=(0, 1)), console()
    screen.print(table)
    out.mkdir(parents=True, exist_ok=True)
    for path in (
        write_markdown(out / "report.md", [table]),
        write_csv(out / "report.csv", lines),
        write_table(out, title, table.headings, table.cells, rows[0]["data"], [row["seed"] for row in rows]),
    ):
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
            found = f"found {len(known)} of {other}, {len(clips)} of {name}, and {len(clips & known)} in both"
            raise RunError(f"clips: expected all runs to be tested on the same clips, {found}")
