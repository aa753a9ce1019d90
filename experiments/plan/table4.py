"""RealDex, Table 4, of runs of motion models."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...geometry.progress import working
from ...metrics.tables import console
from ...metrics.tool.table_file import write_table
from ..commandline.errors import RunError
from ..commandline.settings import Table4
from ..reports import motion_figures, motion_tables
from ..reports.report import gather
from ..reports.results import Row, group_by, mean_and_sd, method_label
from ..training.folders import BEST
from ..training.load import read_config
from .plan import DONE


def parts_of(runs: Iterable[str | Path]) -> list[Path]:
    """The folders with weights and a config in some runs: a run, its folds, or the runs of a sweep."""
    found = (file.parents[1] for run in runs for file in sorted(Path(run).rglob(str(BEST))))
    return [part for part in dict.fromkeys(found) if (part / "config.yaml").is_file()]


def label_of(part: Path) -> str:
    """Name in the table of the model that a folder of `parts_of` holds: with its ablation, if it has one."""
    config = read_config(part)
    return method_label({"method": config.model.method, "variant": config.get("variant")})


def costs_of(parts: Iterable[Path]) -> dict[str, Row]:
    """`parameters` and `minutes` of training by method, mean over the runs that say so."""
    found: dict[str, Row] = {}
    for method, some in group_by((part for part in parts if (part / DONE).is_file()), label_of).items():
        facts = [x for part in some if (x := json.loads((part / DONE).read_text())).get("training_s") is not None]
        if facts:
            minutes = mean_and_sd(x["training_s"] / 60 for x in facts)[0]
            found[method] = {"parameters": mean_and_sd(x["parameters"] for x in facts)[0], "minutes": minutes}
    return found


def merge_runs(runs: Sequence[str | Path], settings: Table4) -> None:
    """Prints the tables of some runs or sweeps, and writes them and the pictures; raises as `gather` and
    `check_rows`.
    """
    rows = sorted(gather(runs), key=lambda row: row["variant"] is None)  # baselines, which have none, come last
    check_rows(rows, settings)
    parts = parts_of(runs)
    with working(f"comparing {len(rows)} rows"):
        lines = motion_tables.lines_of(rows, costs_of(parts))
        comparisons = motion_tables.compare(rows, settings.base)
    clips = len({(row["fold"], row["clip"]) for row in rows})
    data = f"{rows[0]['data']}, hand {rows[0]['hand']}"
    title = f"{data}, {clips} test clips"
    screen, out = console(), Path(settings.out)
    for table in motion_tables.tables(lines, comparisons, title, settings.base):
        screen.print(table)
    facts = {"runs": [str(run) for run in runs], "data": rows[0]["data"], "hand": rows[0]["hand"], "clips": clips}
    files = motion_tables.write(out, lines, comparisons, title, settings.base, facts)
    cells, seeds = motion_tables.text_lines(lines), [row["seed"] for row in rows]
    files.append(write_table(out, f"Table 4: {title}", *cells, rows[0]["data"], seeds))
    if settings.size:
        files += motion_figures.draw(out, group_by(parts, label_of), rows, data, settings)
    for file in files:
        screen.print(f"wrote        {file}", soft_wrap=True)


def check_rows(rows: Sequence[Row], settings: Table4) -> None:
    """Refuses rows of other runs than those of motions, or without the base or the key."""
    if any("mpjpe_cm" not in row for row in rows):
        raise RunError("runs: expected runs of motion models, found one without MPJPE; grasps are for `dexzoo table3`")
    methods = list(dict.fromkeys(method_label(row) for row in rows))
    if settings.base not in methods:
        raise RunError(f"base: expected a method of the runs ({', '.join(methods)}), found {settings.base!r}")
    known = [name for name in motion_tables.COLUMNS if name in rows[0]]
    if settings.key not in known:
        raise RunError(f"key: expected a metric of the runs ({', '.join(known)}), found {settings.key!r}")
