"""`dexzoo prepare`: reads a download of RealDex once, into one small file per recording."""

import argparse
import logging
from pathlib import Path

SOURCES = ("auto", "tf", "final_data")
"""Sources of poses that RealDex's reader has; a test compares."""


def main(arguments: list[str]) -> int:
    """Prepares; 0 where at least one recording is ready."""
    about = "Reads a download of RealDex once, into one small file per recording; goes on where it was stopped."
    command = argparse.ArgumentParser(prog="dexzoo prepare", description=about)
    add = command.add_argument
    add("root", type=Path, metavar="ROOT", help="the download: zips or folders, at any depth")
    add("--out", type=Path, required=True, help="folder for the results")
    add("--models", type=Path, help="folder or zip of <object>.obj; ROOT/models by default")
    add("--poses", choices=SOURCES, default="auto", help="where palm and joints are read from")
    add("--contact-threshold", type=float, help="m, where segment.txt is absent; default: 0.01")
    add("--objects", nargs="+", help="only these objects")
    add("--calibration", type=Path, help="calibration_data: makes clouds of depth pictures too; slow")
    given = command.parse_args(arguments)
    from ..commandline.explain import plain_errors

    return plain_errors(_prepare)(given)


def _prepare(given: argparse.Namespace) -> int:
    from ...datamodules.realdex.contact import CONTACT
    from ...datamodules.realdex.prepare import prepare, report
    from ...files.errors import DataError

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for path in (given.root, given.models, given.calibration):
        if path is not None and not path.exists():
            raise DataError(f"{path}: expected a folder or a zip, found nothing there")
    threshold = CONTACT if given.contact_threshold is None else given.contact_threshold
    options = (given.models, given.poses, threshold, given.objects, given.calibration)
    outcome = prepare(given.root, given.out, *options)
    report(outcome, given.out)
    return 0 if outcome.made or outcome.kept else 1
