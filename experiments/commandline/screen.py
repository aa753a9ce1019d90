"""The terminal: its width, tables in the one style, and the lines of a log."""

from __future__ import annotations

import logging
import sys

from lightning.pytorch.utilities import rank_zero_only

from ...metrics.tables import console, new_table

__all__ = ["ScreenHandler", "console", "new_table"]


class ScreenHandler(logging.Handler):
    """Standard error as it is at the moment, above the bars where there are any; only the first process speaks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        if rank_zero_only.rank == 0:
            print(self.format(record), file=sys.stderr)
