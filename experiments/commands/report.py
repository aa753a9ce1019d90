"""`dexzoo report`: merges runs of motion models into one table."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Merges runs."""
    about = "Merges runs of motion models into one table, with the paired difference of each from one of them."
    command = ArgumentParser(prog="dexzoo report", description=about)
    command.add_argument("runs", nargs="+", metavar="RUN", help="run folders or sweep folders")
    command.add_argument("--out", type=Path, help="folder for report.md and report.csv; default: the first run")
    command.add_argument("--base", default="timed", help="method that the others are compared with; default: timed")
    given = command.parse_args(arguments)
    from ..commandline.explain import plain_errors
    from ..reports.report import report

    plain_errors(report)(given.runs, given.out or Path(given.runs[0]), given.base)
