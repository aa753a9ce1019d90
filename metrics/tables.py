"""From numbers to tables: statistics, numbers as text, and tables of text on the screen, in Markdown and as CSV.

A table as text is its headings and its cells; a cell may have two lines, the second an interval.
"""

import csv
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from .base import SampleMetric

Text = tuple[list[str], list[list[str]]]
"""Headings and cells."""


def mean_and_sd(values: Iterable[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (n - 1; NaN for one value) and number of the values that are not NaN."""
    x = np.asarray(list(values), float)
    x = x[~np.isnan(x)]
    if not len(x):
        return math.nan, math.nan, 0
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else math.nan, len(x)


def without_nan(value: Any) -> Any:
    """Plain values for JSON, which has no NaN: None in its place, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_nan(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(x) for x in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def digits_of(mean: float, sd: float = math.nan) -> int:
    """Decimals that a number asks for: three figures or so, and as many as a small spread needs not to be 0.00."""
    digits = 1 if abs(mean) >= 10 else 2 if abs(mean) >= 0.1 or mean == 0 else 3
    return 3 if 5e-4 <= sd < 5e-3 else max(digits, 2) if 5e-3 <= sd < 0.05 else digits


def format_spread(mean: float, sd: float = math.nan, digits: int | None = None) -> str:
    """`1.23 ± 0.45`; a dash where there is nothing, no spread where that is NaN."""
    if math.isnan(mean):
        return "-"
    digits = digits_of(mean, sd) if digits is None else digits
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


def format_difference(mean: float, low: float, high: float, digits: int) -> str:
    """`+0.12 [-0.03, +0.27]`."""
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def format_share(share: float) -> str:
    """`53 %`."""
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def metric_cells(columns: Iterable[type[SampleMetric]], line: Mapping[str, float]) -> list[str]:
    """Metrics of a line as text: `NAME ± NAME_sd`, and below it `[NAME_low, NAME_high]` where the line has them.

    Shares are in percent, without the spread, which of yes and no says nothing new.
    """
    cells = []
    for column in columns:
        mean, sd, low, high = (line.get(f"{column.key}{end}", math.nan) for end in ("", "_sd", "_low", "_high"))
        digits = digits_of(mean, sd) if column.digits is None else column.digits
        cell = format_spread(mean, sd, digits)
        if column.unit == "share":
            cell, digits, low, high = format_share(mean), 0, 100 * low, 100 * high
        cells.append(cell if math.isnan(low) else f"{cell}\n[{low:.{digits}f}, {high:.{digits}f}]")
    return cells


def console(width: int = 200) -> Console:
    """The terminal, or that many columns where the output goes to a file or pipe, which has no width of its own."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=width)


def new_table(title: str | None, caption: str | None, **style: Any) -> Table:
    """An empty table in the one style."""
    sides: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    return Table(title=title, caption=caption, box=box.SIMPLE, padding=(0, 1, 0, 0), **sides, **style)


@dataclass(frozen=True)
class TextTable:
    """A table of text, for `rich.print` and in Markdown; its caption says what must be known to read it."""

    title: str
    caption: str
    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    left: Collection[int] = (0,)
    """Columns that are aligned to the left; the others hold numbers."""

    def __rich__(self) -> Table:
        table = new_table(self.title, self.caption)
        for i, heading in enumerate(self.headings):
            room = max((len(text) for line in self.cells for text in line[i].split("\n")), default=0)
            shown = heading if len(heading) <= room else two_lines(heading)
            table.add_column(shown, justify="left" if i in self.left else "right", overflow="fold")
        for line in self.cells:
            table.add_row(*line)
        return table

    def markdown(self, level: int = 2) -> str:
        """Heading, caption and table."""
        table = markdown_table(self.headings, self.cells, self.left)
        return "\n\n".join([f"{'#' * level} {self.title}", self.caption, table])


def two_lines(heading: str) -> str:
    """A heading on two lines that are as short as they can be, where it has two words."""
    words = heading.split()
    cuts = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    return "\n".join(min(cuts, key=lambda cut: max(map(len, cut)))) if cuts else heading


def markdown_table(headings: Sequence[str], cells: Iterable[Sequence[str]], left: Collection[int]) -> str:
    """A table in Markdown."""
    rules = ["---" if i in left else "---:" for i in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", "<br>") for line in (headings, rules, *cells))


def write_markdown(path: Path, tables: Sequence[TextTable]) -> Path:
    """Writes tables below one another, the first as the title of the file."""
    text = "\n\n".join(table.markdown(level=2 if i else 1) for i, table in enumerate(tables))
    path.write_text(text + "\n", encoding="utf-8")
    return path


def write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Writes lines of the same keys, in full precision."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Writes JSON, None for NaN."""
    path.write_text(json.dumps(without_nan(content), indent=1) + "\n", encoding="utf-8")
    return path
