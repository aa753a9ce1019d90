"""A run of `run.py` started from another program, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..commandline.arguments import override
from ..commandline.errors import RunError
from ..commandline.screen import console
from ..training.folders import LAST

DONE = "metrics.json"
"""What a run writes last."""
_RUN = Path(__file__).parents[1] / "run.py"


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
    command = [sys.executable, str(_RUN), *overrides, *resume, override("hydra.run.dir", folder)]
    process = subprocess.Popen(command)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()  # it got the signal as well, and ends its run in order
        raise
    if status == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if status:
        raise RunError(f"{folder}: the run ended with status {status}, see above; the same command goes on from here")
    return folder
