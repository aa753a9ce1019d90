"""The terminal: its width, tables in the one style, and the lines of a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH = 200
"""Columns that the tables need; a file or pipe has no width of its own."""


class ScreenHandler(logging.Handler):
    """Standard error as it is at the moment, above the bars where there are any; only the first process speaks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        if rank_zero_only.rank == 0:
            print(self.format(record), file=sys.stderr)


def new_table(title: str, caption: str) -> Table:
    """An empty table in the one style."""
    sides: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    return Table(title=title, caption=caption, box=box.SIMPLE, padding=(0, 1, 0, 0), **sides)


def filled_table(title: str, caption: str, headings: Sequence[str], cells: Sequence[Sequence[str]], left: int) -> Table:
    """A table of text for the screen; the first `left` columns are aligned to the left, the first one wraps."""
    table = new_table(title, caption)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < left else "right", no_wrap=i > 0)
    for line in cells:
        table.add_row(*line)
    return table


def console() -> Console:
    """The terminal, or 200 columns where the output goes to a file."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=_WIDTH)
