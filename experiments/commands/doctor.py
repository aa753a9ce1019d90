"""`dexzoo doctor`: looks at a data set, or at a file of grasps."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Examines a data set or a file of grasps; 0 if healthy, 1 if not. Without one it says how to get each data set."""
    about = (
        "Looks at a data set: what is there, what is broken, and whether hand and object fit together; or at a file of "
        "grasps: its format and objects. Without arguments it says which data sets there are, and how to get each."
    )
    command = ArgumentParser(prog="dexzoo doctor", description=about)
    what = "data=NAME, data.root=PATH (or demo), other data.KEY=VALUE, hand=NAME; or grasps=PATH, hand=NAME"
    command.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=what)
    command.add_argument("--out", type=Path, default=Path(), help="folder for the sheet of samples; here by default")
    given = command.parse_args(arguments)
    from ...datamodules.doctor.consult import consult, print_guides
    from ..commandline.explain import plain_errors

    if not given.settings:
        print_guides()
        return 0
    return 0 if plain_errors(consult)(given.settings, given.out) else 1
