"""`dexzoo metrics`: lists the metrics of grasps."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every metric."""
    parser().parse_args(arguments)
    from ...metrics.tool.summary import metric_table, wide_console

    wide_console().print(metric_table())


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    about = (
        "Lists every metric of grasps: columns, units, direction, definition, source; `dexzoo evaluate` measures them."
    )
    return argparse.ArgumentParser(prog="dexzoo metrics", description=about)
