"""The command `run.py` in this process."""

import sys

from hydra.core.global_hydra import GlobalHydra

from dexzoo.experiments import run


def run_here(*args: str) -> None:
    """Runs the command in the current folder."""
    sys.argv = ["run.py", *args]
    try:
        run.main()
    finally:
        GlobalHydra.instance().clear()
