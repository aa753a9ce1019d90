"""Download of RealDex: the files of its list, one after the other.

The list, as kept by its authors, is a JSON array of {filename, url}, and `md5.txt`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ...files.errors import BadFile, UnknownName
from .fetch import DownloadError, Fetcher, file_md5, set_aside

CHECKSUMS = "md5.txt"
_FORBIDDEN = re.compile(r"[/\\:\0]|^\.")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileList:
    """Files available for download, URLs by name."""

    urls: dict[str, str]

    @property
    def objects(self) -> list[str]:
        """Names of the objects that have a zip."""
        return sorted(name.removesuffix(".zip") for name in self.urls if name.endswith(".zip"))

    def chosen(self, objects: Iterable[str] | None) -> list[str]:
        """File names: the checksums, all other small files, and the zips of `objects`, None for every object; raises
        UnknownName if no zip has that name.
        """
        names = self.objects if objects is None else list(dict.fromkeys(objects))
        for name in names:
            if name not in self.objects:
                raise UnknownName("--objects", name, self.objects)
        rest = sorted(name for name in self.urls if not name.endswith(".zip"))
        return [*sorted(rest, key=lambda name: name != CHECKSUMS), *(f"{name}.zip" for name in names)]


def read_list(source: str, fetcher: Fetcher) -> FileList:
    """Reads the list from a path, or with the fetcher from a URL.

    Raises BadFile if it is not a JSON array of {filename, url}, or has a name that would leave the folder;
    DownloadError if it cannot be downloaded.
    """
    is_url = source.startswith(("http://", "https://"))
    content = fetcher.text(source) if is_url else _read(Path(source))
    try:
        entries = json.loads(content)
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"{type(entries).__name__} without entries")
    except (ValueError, RecursionError) as error:
        hint = "give the URL of the raw file, not of the page that shows it" if b"<" in content[:64] else ""
        raise BadFile(source, "a JSON array of {filename, url}", str(error)[:200], hint=hint) from error
    return FileList(dict(_entry(source, number, entry) for number, entry in enumerate(entries)))


def read_checksums(path: Path) -> dict[str, str]:
    """Checksums by file name, from rows "<md5> [*]<path>"; raises BadFile for a malformed row."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-fA-F]{32})\s+\*?(.+?)\s*", line)
        if match is None:
            raise BadFile(path, "rows of md5 and file name", repr(line[:80]), key=f"row {number}")
        found[re.split(r"[/\\]", match[2])[-1]] = match[1].lower()
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(path, "the list of files", error.strerror or str(error)) from error


def _entry(source: str, number: int, entry: object) -> tuple[str, str]:
    name, url = (entry.get("filename"), entry.get("url")) if isinstance(entry, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(url, str) or not name or not url:
        raise BadFile(source, "{filename, url}", repr(entry)[:80], key=f"entry {number}")
    if _FORBIDDEN.search(name) or not url.startswith(("http://", "https://")):
        raise BadFile(source, "a plain file name and an http URL", f"{name!r}, {url!r}", key=f"entry {number}")
    return name, url


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
