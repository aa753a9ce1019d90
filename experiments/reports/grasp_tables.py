"""Table 3 of grasp runs: on the screen, as Markdown and as CSV, exact and legacy columns apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...metrics.base import SampleMetric
from ...metrics.columns import grasp_columns, in_tables
from ...metrics.tables import Text, TextTable, format_share, metric_cells, write_csv, write_markdown
from .grasp_results import DROP, PARTS, summarise
from .published import TABLE3
from .results import Row, write_rows

COLUMNS, LEGACY_COLUMNS = in_tables(grasp_columns()), in_tables(grasp_columns(legacy=True))
"""Metrics of the table, and of the one of the same as the field's scripts compute it."""

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


def text_lines(lines: Sequence[Row], columns: Mapping[str, type[SampleMetric]]) -> Text:
    """Headings and cells of the table of some metrics as text; a cell has two lines, the second its interval."""
    shown = [column for key, column in columns.items() if key in lines[0]]
    cells = []
    for line in lines:
        filtered = f"on, drops {format_share(line['dropped'])}" if line["filter"] == "on" else "off"
        cells.append([line["method"], line["refine"], filtered, str(line["grasps"]), *metric_cells(shown, line)])
    return ["method", "refine", "filter", "grasps", *(column.title() for column in shown)], cells


def drop_lines(lines: Sequence[Row]) -> Text:
    """Headings and cells of the filter's drops by criterion."""
    keys = ["dropped", *(key for key in lines[0] if key.startswith(DROP))]
    titles = ["method", "refine", "candidates", *(key.removeprefix(DROP).replace("_", " ") for key in keys)]
    before = [line for line in lines if line["filter"] == "off"]
    about = ([line["method"], line["refine"], str(line["grasps"])] for line in before)
    shares = ([format_share(line[key]) for key in keys] for line in before)
    return titles, [[*names, *cells] for names, cells in zip(about, shares, strict=True)]


def tables(lines: Sequence[Row], title: str, published: bool = True) -> list[TextTable]:
    """Exact columns of the lines of `summarise`, what the filter drops, legacy columns where there are any, and the
    published rows; `published=False` is for other grasps than those of Table 3.
    """
    heading, caption = (f"Table 3: {title}", EXPLANATION) if published else (title, _SHORT)
    made = [TextTable(heading, caption + _known(lines), *text_lines(lines, COLUMNS), left=range(3))]
    if any(key.startswith(DROP) for key in lines[0]):
        made.append(TextTable(_DROPS, "share of candidates", *drop_lines(lines), left=(0, 1)))
    if _has_legacy(lines):
        made.append(TextTable(f"{_LEGACY}: {title}", _FLAWED, *text_lines(lines, LEGACY_COLUMNS), left=range(3)))
    return [*made, TABLE3] if published else made


def write_table(folder: Path, rows: Sequence[Row], title: str) -> list[Path]:
    """Writes the rows of `gather` into a folder, which is made: results.parquet, table3.csv, where there are legacy
    columns table3_legacy.csv, and table3.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = summarise(rows)
    files = [write_rows(folder, rows), write_csv(folder / "table3.csv", _split(lines, legacy=False))]
    if _has_legacy(lines):
        files.append(write_csv(folder / "table3_legacy.csv", _split(lines, legacy=True)))
    return [*files, write_markdown(folder / "table3.md", tables(lines, title))]


def _known(lines: Sequence[Row]) -> str:
    """Knowledge of the objects that refinement and filter have, as the end of a caption."""
    parts = [_FELT[felt] for felt in dict.fromkeys(line["refine_fields"] for line in lines) if felt in _FELT]
    parts += [_FILTERED] if any(line["filter"] == "on" for line in lines) else []
    return "".join(f" {part}" for part in parts)


def _has_legacy(lines: Sequence[Row]) -> bool:
    return any(name in lines[0] for name in LEGACY_COLUMNS)


def _split(lines: Sequence[Row], legacy: bool) -> list[Row]:
    """The lines with the exact metrics, or with the legacy ones."""
    old = {column.key for column in grasp_columns(legacy=True)}
    others = [name for name in lines[0] if f"{name}_n" in lines[0] and (name in old) != legacy]
    left_out = {key for name in others for key in (name, *(f"{name}_{part}" for part in PARTS))}
    return [{key: value for key, value in line.items() if key not in left_out} for line in lines]
