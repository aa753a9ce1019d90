"""`dexzoo metrics`: lists all metrics."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every metric."""
    parser().parse_args(arguments)
    from ...metrics.tables import console
    from ...metrics.tool.summary import metric_tables

    console(250).print(*metric_tables())


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    about = (
        "Lists every metric of grasps, motions and contact maps: column, unit, direction, definition, source, heading."
    )
    return argparse.ArgumentParser(prog="dexzoo metrics", description=about)
