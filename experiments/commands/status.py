"""`dexzoo status`: how far the runs of a table, a sweep or an experiment are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Shows it; nothing is started."""
    given = parser().parse_args(arguments)
    from ..commandline.explain import plain_errors
    from ..plan.plan import show_status

    plain_errors(show_status)(given.folder)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    about = "Shows which runs of a table, a sweep or an experiment with stages are waiting, running, stopped, done or "
    about += "failed, how long they took and where they are. Nothing is started."
    command = argparse.ArgumentParser(prog="dexzoo status", description=about)
    command.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="all below it; default: runs")
    return command
