"""`dexzoo definitions`: one grasp by every definition that the field uses."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Measures, draws and writes."""
    about = "Measures grasps by each definition of penetration, volume and displacement in use (docs/metrics.md)."
    command = ArgumentParser(prog="dexzoo definitions", description=about)
    command.add_argument("--out", type=Path, default=Path("definitions"), help="folder for the picture and table.json")
    command.add_argument("--root", type=Path, metavar="DIR", help="DexGraspNet's folder, with dataset/ and meshdata/")
    command.add_argument("--per-object", type=int, default=20, help="grasps of each of three objects; default: 20")
    given = command.parse_args(arguments)
    from ..bench.definitions import compare_definitions
    from ..commandline.explain import plain_errors

    plain_errors(compare_definitions)(given.out, given.root, given.per_object)
