"""Table 3 of grasp runs: on the screen, as Markdown and as CSV, exact and legacy columns apart."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from ...metrics.columns import LEGACY
from ..commandline.screen import filled_table
from .grasp_results import DROP, Line, Statistic, all_keys, summarise
from .published import TABLE3
from .results import Row, markdown_table

COLUMNS = {
    "penetration_cm": "p.dist\n(cm)",
    "self_intersection_cm3": "s.i.vol\n(cm³)",
    "hand_object_cm3": "hand-object\n(cm³)",
    "sim_displacement_cm": "sim.disp\n(cm)",
    "six_success": "held in six\ndirections",
    "q1": "Q1\n",
    "contact_ratio": "contact\n",
    "diversity_translation_cm": "spread,\nplace (cm)",
    "diversity_rotation_deg": "spread,\nturn (°)",
    "diversity_joints_deg": "spread,\njoints (°)",
}
"""Metrics of the printed table and their headings, on two lines."""

LEGACY_COLUMNS = {
    "penetration_legacy_cm": "p.dist\n(cm)",
    "hand_object_legacy_cm3": "hand-object\n(cm³)",
    "sim_displacement_legacy_cm": "sim.disp\n(cm)",
}
"""The same as the field's scripts compute it, in a table of their own."""

EXPLANATION = (
    "Mean ± standard deviation over grasps; below it the 95 % interval of the mean (percentile bootstrap, 10,000 "
    "resamples; objects and, independently, seeds are drawn with replacement, and the grasps of an object stay "
    "together), where there are two objects or more. Spreads are among the candidates of one object, mean over objects "
    "and seeds. Lower is better but for the shares, Q1 and the spreads."
)
_SHORT = (
    "Mean ± standard deviation over grasps; below it, with two objects or more, the 95 % interval of the mean. "
    "Lower is better but for the shares, Q1 and the spreads."
)
_FELT = {
    "cloud": "Refinement feels the observed cloud, which is all that a method sees of the object.",
    "mesh": "Refinement feels the object's true mesh, which no method sees and on which grasps are measured.",
}
_FILTERED = "The filter judges grasps by the true mesh."
_DROPS = "What the filter drops, and each criterion by itself"
_LEGACY = "As the field's scripts compute it"
_FLAWED = "Flaws included, see docs/metrics.md; not to be compared with the exact columns."
_SHARES = ("six_success", "contact_ratio")
_LEGACY_KEYS = {column.key for group in LEGACY.values() for column in group}
_PARTS = ("sd", "low", "high", "n")


def text_lines(lines: Sequence[Line], columns: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of some metrics as text; a cell has two lines, the second its interval."""
    names = [name for name in columns if any(name in line.stats for line in lines)]
    headings = ["method\n", "refine\n", "filter\n", "grasps\n", *(columns[name] for name in names)]
    cells = []
    for line in lines:
        filtered = f"on, drops {100 * line.dropped:.0f} %" if line.filtered else "off"
        stats = (_cell(name, line.stats[name]) for name in names)
        cells.append([line.method, line.refine, filtered, str(line.grasps), *stats])
    return headings, cells


def drop_lines(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of what the filter drops, by criterion."""
    before = [line for line in lines if not line.filtered]
    criteria = list(before[0].drops)
    headings = ["method", "refine", "candidates", "dropped", *(name.replace("_", " ") for name in criteria)]
    return headings, [
        [line.method, line.refine, str(line.grasps), _percent(line.dropped), *map(_percent, line.drops.values())]
        for line in before
    ]


def tables(lines: Sequence[Line], title: str, published: bool = True) -> list[Table]:
    """What is printed: exact columns, what the filter drops, legacy columns where there are any, the published rows.

    Args:
        lines: of `summarise`.
        title: of the data.
        published: the table is Table 3, beside which the published rows belong; False is for any other grasps.
    """
    heading, caption = (f"Table 3: {title}", EXPLANATION) if published else (title, _SHORT)
    made = [filled_table(heading, caption + _known(lines), *text_lines(lines, COLUMNS), left=2)]
    if lines[0].drops:
        made.append(filled_table(_DROPS, "share of candidates", *drop_lines(lines), left=2))
    if _has_legacy(lines):
        made.append(filled_table(f"{_LEGACY}: {title}", _FLAWED, *text_lines(lines, LEGACY_COLUMNS), left=2))
    return [*made, TABLE3.table()] if published else made


def write_table(folder: Path, rows: Sequence[Row], title: str) -> list[Path]:
    """Writes results.parquet, table3.csv, where there are legacy columns table3_legacy.csv, and table3.md.

    Args:
        folder: it is made.
        rows: of `gather`.
        title: of the data; it says "demo data" where it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = summarise(rows)
    keys = all_keys(rows)
    parquet, markdown = folder / "results.parquet", folder / "table3.md"
    pq.write_table(pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in rows]), parquet)
    blocks = [f"# Table 3: {title}", EXPLANATION + _known(lines), markdown_table(*text_lines(lines, COLUMNS), left=3)]
    if lines[0].drops:
        blocks += [f"## {_DROPS}", markdown_table(*drop_lines(lines), left=2)]
    files = [parquet, _write_csv(folder / "table3.csv", lines, legacy=False)]
    if _has_legacy(lines):
        files.append(_write_csv(folder / "table3_legacy.csv", lines, legacy=True))
        blocks += [
            f"## {_LEGACY}",
            _FLAWED,
            markdown_table(*text_lines(lines, LEGACY_COLUMNS), left=3),
        ]
    markdown.write_text("\n\n".join([*blocks, TABLE3.markdown()]) + "\n", encoding="utf-8")
    return [*files, markdown]


def _known(lines: Sequence[Line]) -> str:
    """What refinement and filter know of the objects, as the end of a caption."""
    parts = [_FELT[felt] for felt in dict.fromkeys(line.felt for line in lines) if felt in _FELT]
    parts += [_FILTERED] if any(line.filtered for line in lines) else []
    return "".join(f" {part}" for part in parts)


def _has_legacy(lines: Sequence[Line]) -> bool:
    return any(name in line.stats for line in lines for name in LEGACY_COLUMNS)


def _cell(name: str, stat: Statistic) -> str:
    if math.isnan(stat.mean):
        return "-"
    if name in _SHARES:
        mean, interval = _percent(stat.mean), [f"{100 * x:.0f}" for x in (stat.low, stat.high)]
    else:
        digits = 1 if abs(stat.mean) >= 10 else 2 if abs(stat.mean) >= 0.1 or stat.mean == 0 else 3
        mean = f"{stat.mean:.{digits}f}" + ("" if math.isnan(stat.sd) else f" ± {stat.sd:.{digits}f}")
        interval = [f"{x:.{digits}f}" for x in (stat.low, stat.high)]
    return mean if math.isnan(stat.low) else f"{mean}\n[{interval[0]}, {interval[1]}]"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def _write_csv(path: Path, lines: Sequence[Line], legacy: bool) -> Path:
    table = []
    for line in lines:
        entry: Row = {
            "method": line.method,
            "refine": line.refine,
            "refine_fields": line.felt,
            "filter": "on" if line.filtered else "off",
        }
        entry |= {"grasps": line.grasps, "dropped": line.dropped}
        entry |= {f"{DROP}{name}": share for name, share in line.drops.items()}
        for name, stat in line.stats.items():
            if (name in _LEGACY_KEYS) == legacy:
                entry |= {name: stat.mean, **{f"{name}_{part}": getattr(stat, part) for part in _PARTS}}
        table.append(entry)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path
