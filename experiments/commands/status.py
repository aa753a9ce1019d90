"""`dexzoo status`: progress of the runs of a table, a sweep or an experiment with stages."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Shows it."""
    about = "Shows how far the runs of a table, a sweep or an experiment with stages are. Nothing is started."
    command = ArgumentParser(prog="dexzoo status", description=about)
    command.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="where they are; default: runs")
    given = command.parse_args(arguments)
    from ..commandline.explain import plain_errors
    from ..plan.plan import show_status

    plain_errors(show_status)(given.folder)
