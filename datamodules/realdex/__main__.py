"""Command line of RealDex: `python -m dexzoo.datamodules.realdex prepare ROOT --out DIR`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ...files.cache import CacheError
from ...geometry.progress import shown
from ..errors import DataError
from .contact import CONTACT
from .prepare import prepare, report
from .recording import SOURCES


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and runs it; 0 where at least one recording is ready."""
    parser = argparse.ArgumentParser(prog="python -m dexzoo.datamodules.realdex", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("prepare", help="read a download once, into one small file per recording; resumable")
    make.add_argument("root", type=Path, metavar="ROOT", help="the download: zips or folders, at any depth")
    make.add_argument("--out", type=Path, required=True, help="folder for the results")
    make.add_argument("--models", type=Path, help="folder or zip of <object>.obj; ROOT/models by default")
    make.add_argument("--poses", choices=SOURCES, default="auto", help="where palm and joints are read from")
    make.add_argument("--contact-threshold", type=float, default=CONTACT, help="m, where segment.txt is absent")
    make.add_argument("--objects", nargs="+", help="only these objects")
    make.add_argument("--calibration", type=Path, help="calibration_data: makes clouds of depth pictures too; slow")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for path in (given.root, given.models, given.calibration):
        if path is not None and not path.exists():
            parser.error(f"{path}: expected a folder or a zip, found nothing there")
    options = given.models, given.poses, given.contact_threshold, given.objects, given.calibration
    try:
        with shown():
            outcome = prepare(given.root, given.out, *options)
    except (DataError, CacheError) as error:
        parser.error(str(error))
    report(outcome, given.out)
    return 0 if outcome.made or outcome.kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
