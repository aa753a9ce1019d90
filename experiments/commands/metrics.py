"""`dexzoo metrics`: lists all metrics."""

from argparse import ArgumentParser


def main(arguments: list[str]) -> None:
    """Prints every metric."""
    shown = "column, unit, direction, definition, source, heading"
    about = f"Lists every metric of grasps, motions and contact maps: {shown}."
    ArgumentParser(prog="dexzoo metrics", description=about).parse_args(arguments)
    from ...metrics.tables import console
    from ...metrics.tool.summary import metric_tables

    console(250).print(*metric_tables())
