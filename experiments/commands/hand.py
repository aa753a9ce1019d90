"""`dexzoo hand`: what a hand consists of, what it lacks, and a picture."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks a hand; 1 where it cannot be loaded, or is implausible."""
    given = parser().parse_args(arguments)
    from ...hands.check import check_hand
    from ..commandline.explain import plain_errors

    return 0 if plain_errors(check_hand)(given.hand, given.out) else 1


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    about = "Prints a hand's joints, limits and points, says what it lacks, and draws it: run it after every change."
    command = argparse.ArgumentParser(prog="dexzoo hand", description=about)
    command.add_argument("hand", help="shadow, shadow_e3m5, mano, mano_skeleton, or the path of a YAML file")
    command.add_argument("--out", type=Path, help="picture to write; default: NAME.png in the current folder")
    return command
