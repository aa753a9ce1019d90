"""A run of `run.py` started from another program, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .folders import LAST, RunError
from .results import console

DONE = "metrics.json"
"""What a run writes last."""
_RUN = Path(__file__).with_name("run.py")


def launch(overrides: Sequence[str], folder: Path) -> Path:
    """One run of `run.py` in a process of its own; nothing where it is already finished.

    Args:
        overrides: of the command line.
        folder: of the run.

    Returns:
        The folder.

    Raises:
        RunError: the run failed.
    """
    out = console()
    if (folder / DONE).exists():
        out.print(f"done         {folder}", soft_wrap=True)
        return folder
    resume = ["ckpt=last"] if (folder / LAST).exists() else []
    out.print(f"run          {folder}", soft_wrap=True)
    command = [sys.executable, str(_RUN), *overrides, *resume, f"hydra.run.dir={folder}"]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise RunError(f"{folder}: the run ended with status {status}, see above; the same command goes on from here")
    return folder
