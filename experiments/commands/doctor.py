"""`dexzoo doctor`: looks at a data set, or at a file of grasps."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Examines a data set; 0 where the data are healthy, 1 where not. Without one it says how to get each."""
    given = parser().parse_args(arguments)
    from ...datamodules.doctor.consult import consult, print_guides
    from ..commandline.explain import plain_errors

    if not given.settings:
        print_guides()
        return 0
    return 0 if plain_errors(consult)(given.settings, given.out) else 1


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    about = (
        "Looks at a data set: what is there, what is broken, and whether hand and object fit together; or at a file of "
        "grasps: its format and objects. Without arguments it says which data sets there are, and how to get each."
    )
    command = argparse.ArgumentParser(prog="dexzoo doctor", description=about)
    what = (
        "data=NAME, data.root=PATH (or demo), other data.KEY=VALUE of the reader, hand=NAME; or grasps=PATH, hand=NAME"
    )
    command.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=what)
    command.add_argument("--out", type=Path, default=Path(), help="folder for the sheet of samples; here by default")
    return command
