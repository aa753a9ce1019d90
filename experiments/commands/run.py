"""`dexzoo run`: what `python experiments/run.py` is."""

import runpy
import sys
from pathlib import Path

RUN = Path(__file__).parents[1] / "run.py"


def main(arguments: list[str]) -> None:
    """Runs `experiments/run.py` as a script, which is what Lightning starts its further processes with.

    It answers what can be answered at once, its help and misspelt names, before it imports what takes seconds.
    """
    before = sys.argv
    sys.argv = [str(RUN), *arguments]
    try:
        runpy.run_path(str(RUN), run_name="__main__")
    finally:
        sys.argv = before
