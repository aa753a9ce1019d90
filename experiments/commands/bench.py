"""`dexzoo bench`: times dexzoo against its peers."""

from argparse import ArgumentParser
from pathlib import Path

from ..bench import names


def main(arguments: list[str]) -> None:
    """Runs a benchmark."""
    command = ArgumentParser(prog="dexzoo bench", description="Times dexzoo against its peers in one run.")
    command.add_argument("name", choices=names(), metavar="NAME", help=f"one of {', '.join(names())}")
    command.add_argument("--quick", action="store_true", help="under 40 s, less exact")
    command.add_argument("--json", type=Path, metavar="FILE", help="writes the numbers to FILE as well")
    command.add_argument("--out", type=Path, metavar="DIR", help="writes table.json for the documentation into DIR")
    command.add_argument("--plot", type=Path, metavar="PNG", help="draws how the cost grows")
    command.add_argument("--root", type=Path, metavar="DIR", help="data to measure on, where the benchmark takes any")
    given = command.parse_args(arguments)
    from ..bench.harness import bench
    from ..commandline.explain import plain_errors

    options = {"root": given.root} if given.root else {}
    plain_errors(bench)(given.name, given.quick, given.out, given.plot, given.json, **options)
