"""Download of RealDex: the files of its list, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .fetch import DownloadError, Fetcher, file_md5, set_aside
from .filelist import CHECKSUMS, FileList, read_checksums

_log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """Names of files: `got` now, `kept` from before, `unchecked` without a checksum; `failed` has messages."""

    got: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def download_realdex(files: FileList, out: Path, objects: Iterable[str] | None, fetcher: Fetcher) -> Outcome:
    """Downloads the zips of `objects` (None for all) and the small files to `out`. A failure does not stop the others.

    Raises UnknownName for an unknown object, BadFile if `md5.txt` is malformed.
    """
    names, outcome = files.chosen(objects), Outcome()
    checksums: dict[str, str] = {}
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn()) as bar:
        for name in names:
            task = bar.add_task(name, total=None)
            fetcher.progress = lambda done, total, task=task: bar.update(task, completed=done, total=total)
            try:
                _one(files.urls[name], out / name, checksums.get(name), fetcher, outcome)
            except DownloadError as error:
                outcome.failed.append(str(error))
                _log.warning("%s", error)
            if name == CHECKSUMS and (out / name).exists():
                checksums = read_checksums(out / name)
    return outcome


def _one(url: str, target: Path, md5: str | None, fetcher: Fetcher, outcome: Outcome) -> None:
    name = target.name
    if target.exists():
        if md5 is None or file_md5(target) == md5:
            outcome.kept.append(name)
            return
        _log.warning("%s: expected md5 %s, found another; %s", target, md5, set_aside(target, target))
    fetcher.fetch(url, target, md5)
    outcome.got.append(name)
    if md5 is None and name != CHECKSUMS:
        outcome.unchecked.append(name)


def report(outcome: Outcome, out: Path) -> None:
    """Prints what was downloaded, and how to read it."""
    print(
        f"{out}: {len(outcome.got)} files downloaded, {len(outcome.kept)} already present, {len(outcome.failed)} failed"
    )
    if outcome.unchecked:
        print(f"  without a checksum in md5.txt, so not checked: {', '.join(outcome.unchecked)}")
    for message in outcome.failed:
        print(f"  {message}")
    if not outcome.failed:
        print(f"read it with data=realdex data.root={out}; the object meshes are an archive of their own: data.models")
