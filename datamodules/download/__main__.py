"""Command line of the downloads: `python -m dexzoo.datamodules.download realdex --out DIR --list URL --objects a b`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import DataError
from .fetch import Fetcher
from .filelist import read_list
from .guides import GUIDES, REALDEX_LIST
from .realdex import Outcome, download_realdex


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and runs it; 0 where all that was asked for is there."""
    parser = _parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if given.command in GUIDES:
        print(GUIDES[given.command].text())
        return 0
    if given.list is None:
        parser.error(f"--list: expected a URL or a file, found nothing; {REALDEX_LIST}")
    fetcher = Fetcher(timeout=given.timeout, tries=given.tries)
    try:
        files = read_list(given.list, fetcher)
        if not given.all and not given.objects:
            parser.error(f"expected --objects or --all, found neither; there are: {', '.join(files.objects)}")
        outcome = download_realdex(files, given.out, None if given.all else given.objects, fetcher)
    except DataError as error:
        parser.error(str(error))
    return _report(outcome, given.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dexzoo.datamodules.download", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    realdex = commands.add_parser("realdex", help="get its zips; what is there already is kept, broken ones go on")
    realdex.add_argument("--out", type=Path, required=True, help="folder for the zips, which need no unpacking")
    realdex.add_argument("--list", metavar="URL_OR_FILE", help=f"the list of files; {REALDEX_LIST}")
    which = realdex.add_mutually_exclusive_group()
    which.add_argument("--objects", nargs="+", help="only these objects; a zip has up to 18 GB")
    which.add_argument("--all", action="store_true", help="every object")
    realdex.add_argument("--timeout", type=float, default=60.0, help="s that the server may be silent")
    realdex.add_argument("--tries", type=int, default=6, help="in a row that bring nothing")
    for name, guide in GUIDES.items():
        commands.add_parser(name, help=f"print how to get {guide.title}, which needs your registration or click")
    return parser


def _report(outcome: Outcome, out: Path) -> int:
    print(f"{out}: {len(outcome.got)} files got, {len(outcome.kept)} were there, {len(outcome.failed)} failed")
    if outcome.unchecked:
        print(f"  without a checksum in md5.txt, so not checked: {', '.join(outcome.unchecked)}")
    for message in outcome.failed:
        print(f"  {message}")
    if not outcome.failed:
        print(f"read it with data=realdex data.root={out}; the object meshes are an archive of their own: data.models")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
