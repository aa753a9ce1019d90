"""`dexzoo download`: gets a data set, or says how to get it."""

import argparse
import logging
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Downloads, or prints what the user has to do; 0 where all that was asked for is there."""
    about = (
        "Gets the zips of RealDex: what is there already is kept, broken ones go on. Of the other data sets (grab, "
        "dexgraspnet) and of the MANO model (mano), which need your registration or click, it says how to get them."
    )
    command = argparse.ArgumentParser(prog="dexzoo download", description=about)
    command.add_argument("name", metavar="NAME", help="realdex, grab, dexgraspnet or mano")
    realdex = command.add_argument_group("of realdex")
    realdex.add_argument("--out", type=Path, help="folder for the zips, which need no unpacking")
    realdex.add_argument("--list", metavar="URL_OR_FILE", help="the list of files; without it, where that is")
    which = realdex.add_mutually_exclusive_group()
    which.add_argument("--objects", nargs="+", help="only these objects; a zip has up to 18 GB")
    which.add_argument("--all", action="store_true", help="every object")
    realdex.add_argument("--timeout", type=float, default=60.0, help="s that the server may be silent; default: 60")
    realdex.add_argument("--tries", type=int, default=6, help="in a row that bring nothing; default: 6")
    given = command.parse_args(arguments)
    from ..commandline.explain import plain_errors

    return plain_errors(_download)(given)


def _download(given: argparse.Namespace) -> int:
    from ...datamodules.download.fetch import Fetcher
    from ...datamodules.download.guides import GUIDES, REALDEX_LIST
    from ...datamodules.download.realdex import download_realdex, read_list, report
    from ...files.errors import DataError, UnknownName

    if given.name in GUIDES:
        print(GUIDES[given.name].text())
        return 0
    if given.name != "realdex":
        raise UnknownName("data set", given.name, ["realdex", *GUIDES])
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if given.out is None:
        raise DataError("--out: expected a folder for the zips, found nothing; set --out DIR")
    if given.list is None:
        raise DataError(f"--list: expected a URL or a file, found nothing; {REALDEX_LIST}")
    fetcher = Fetcher(timeout=given.timeout, tries=given.tries)
    files = read_list(given.list, fetcher)
    if not given.all and not given.objects:
        raise DataError(f"expected --objects or --all, found neither; there are: {', '.join(files.objects)}")
    outcome = download_realdex(files, given.out, None if given.all else given.objects, fetcher)
    report(outcome, given.out)
    return 1 if outcome.failed else 0
