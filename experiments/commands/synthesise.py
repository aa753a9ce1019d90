"""`dexzoo synthesise`: finds grasps of the demo objects, for any hand."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Finds and tests grasps, and says how to use them."""
    about = "Finds grasps of the demo objects and tests them in simulation; minutes, goes on where it was stopped."
    command = ArgumentParser(prog="dexzoo synthesise", description=about)
    add = command.add_argument
    add("--out", type=Path, required=True, help="folder for grasps.npz and the finished parts")
    add("--hand", default="shadow", help="name of a hand, or the path of its YAML")
    add("--seeds", type=int, nargs="+", default=[0, 1], help="grasps are shared out over them; default: 0 1")
    add("--per-object", type=int, default=40, help="grasps wanted of each object; default: 40")
    add("--steps", type=int, default=300, help="annealing steps; 200 to 400 are sensible; default: 300")
    add("--objects", nargs="+", help="only these objects")
    given = command.parse_args(arguments)
    from ...synthesis.generate import generate
    from ..commandline.explain import plain_errors

    path = plain_errors(generate)(**vars(given))
    print(f"wrote {path}; use it with data.grasps={path}")
