"""`dexzoo sweep`: a sweep in W&B's format without W&B."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

_ABOUT = """Runs a sweep in W&B's format without W&B.

Every run is a process and a folder of its own. The same command goes on where it was stopped: finished runs are read
from disk. The parameters are chosen by W&B's own engine, the package `sweeps`.
"""


def main(arguments: list[str]) -> None:
    """Runs the sweep, and shows it."""
    raw = RawDescriptionHelpFormatter
    command = ArgumentParser(prog="dexzoo sweep", description=_ABOUT, formatter_class=raw)
    command.add_argument("file", type=Path, help="sweep in W&B's format, one of experiments/sweeps")
    command.add_argument("--count", type=int, required=True, help="runs; those of earlier calls count")
    command.add_argument("--out", type=Path, help="folder of the sweep; runs/NAME by default")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of every run")
    given = command.parse_intermixed_args(arguments)
    from ..commandline.explain import plain_errors
    from ..plan.sweep import sweep

    plain_errors(sweep)(given.file, given.count, given.out, given.overrides)
