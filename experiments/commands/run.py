"""`dexzoo run`: what `python experiments/run.py` is."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

RUN = Path(__file__).parents[1] / "run.py"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `experiments/run.py` as a script, which is what Lightning starts its further processes with.

    It answers what can be answered at once, its help and misspelt names, before it imports what takes seconds.
    """
    given = sys.argv[1:] if arguments is None else [*arguments]
    before = sys.argv
    sys.argv = [str(RUN), *given]
    try:
        runpy.run_path(str(RUN), run_name="__main__")
    finally:
        sys.argv = before
