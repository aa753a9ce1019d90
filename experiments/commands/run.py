"""`dexzoo run`: what `python experiments/run.py` is."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from ..commandline.help import help_text
from ..commandline.settings import wants_help

RUN = Path(__file__).parents[1] / "run.py"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `experiments/run.py` as a script, which is what Lightning starts its further processes with."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    if wants_help(given):
        print(help_text(given))
        return
    before = sys.argv
    sys.argv = [str(RUN), *given]
    try:
        runpy.run_path(str(RUN), run_name="__main__")
    finally:
        sys.argv = before
