"""Lines of a log on the terminal."""

import logging
import sys

from lightning.pytorch.utilities import rank_zero_only


class ScreenHandler(logging.Handler):
    """Standard error as it is at the moment, above the bars where there are any; only the first process speaks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        if rank_zero_only.rank == 0:
            print(self.format(record), file=sys.stderr)
