"""`dexzoo hand`: what a hand consists of, what it lacks, and a picture."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Checks a hand; 1 where it cannot be loaded, or is implausible."""
    about = "Prints a hand's joints, limits and points, says what it lacks, and draws it: run it after every change."
    command = ArgumentParser(prog="dexzoo hand", description=about)
    command.add_argument("hand", help="shadow, shadow_e3m5, mano, mano_skeleton, or the path of a YAML file")
    command.add_argument("--out", type=Path, help="picture to write; default: NAME.png in the current folder")
    given = command.parse_args(arguments)
    from ...hands.check import check_hand
    from ..commandline.explain import plain_errors

    return 0 if plain_errors(check_hand)(given.hand, given.out) else 1
