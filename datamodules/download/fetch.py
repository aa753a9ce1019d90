"""Download of one file: resumed, retried, checked, and put in place atomically."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlsplit

from ...files.errors import DataError
from .pages import Page

CHUNK = 1 << 20
MARGIN = 256 << 20  # Bytes of the disk to keep free
Progress = Callable[[int, "int | None"], None]
"""Called with the bytes received so far and the size of the file, None if the server does not say."""

_PAGE = 1 << 20
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_log = logging.getLogger(__name__)


class DownloadError(DataError):
    """A file cannot be downloaded; the message names it, and says what to do."""


class ChecksumError(DownloadError):
    """A downloaded file differs from the published one; it is kept aside."""


class _TryAgain(Exception):
    """The connection broke; the bytes received are kept."""


@dataclass
class Fetcher:
    """Downloads files over http and https."""

    timeout: float = 60.0
    tries: int = 6
    pause: float = 1.0
    progress: Progress = lambda done, total: None
    _opener: urllib.request.OpenerDirector = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())  # a confirmed download may be identified by one
        self._opener = urllib.request.build_opener(cookies)
        self._opener.addheaders = [("User-Agent", "dexzoo"), ("Accept-Encoding", "identity")]

    def text(self, url: str, limit: int = 16 << 20) -> bytes:
        """Content of a small file, at most `limit` bytes; raises DownloadError."""
        return self._persist(url, lambda: self._small(url, limit), lambda: 0)

    def fetch(self, url: str, target: Path, md5: str | None = None) -> Path:
        """Downloads a file to `target`, which appears only when it is complete and agrees with `md5`, 32 hexadecimal
        digits.

        The content of `<target>.part` is not downloaded again. Raises ChecksumError if the file differs from the
        published one, and keeps it as `<target>.bad`; DownloadError for no such file, a web page instead, no space on
        the disk, or no answer after `tries`.
        """
        part = target.with_name(f"{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._persist(url, lambda: self._continue(url, part), lambda: part.stat().st_size if part.exists() else 0)
        if md5 is not None and (found := file_md5(part)) != md5.lower():
            raise ChecksumError(f"{target}: expected md5 {md5}, found {found}; {set_aside(part, target)}")
        if md5 is None and target.suffix == ".zip" and not zipfile.is_zipfile(part):
            raise ChecksumError(f"{target}: expected a complete zip, found none; {set_aside(part, target)}")
        os.replace(part, target)
        return target

    def _persist(self, url: str, action: Callable[[], bytes], size: Callable[[], int]) -> bytes:
        """Retries until `tries` consecutive tries bring no further bytes."""
        left, before = self.tries, size()
        while True:
            try:
                return action()
            except (_TryAgain, OSError, http.client.HTTPException) as error:
                _check_final(url, error)
                grown, before = size() > before, size()
                left = self.tries if grown else left - 1
                if left <= 0:
                    kept = "the bytes received are kept: run it again to continue"
                    hint = kept if before else "is there a network connection?"
                    found = f"{self.tries} failed tries ({error or type(error).__name__})"
                    raise DownloadError(f"{url}: expected a file, found {found}; {hint}") from error
                _log.warning("%s: %s; trying again", url, error or type(error).__name__)
                time.sleep(min(self.pause * 2 ** (self.tries - left), 60.0))

    def _open(self, url: str, start: int = 0) -> http.client.HTTPResponse:
        if urlsplit(url).scheme not in ("http", "https"):
            raise DownloadError(f"{url}: expected a URL with http or https")
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        return self._opener.open(request, timeout=self.timeout)

    def _small(self, url: str, limit: int) -> bytes:
        with self._open(url) as answer:
            content = answer.read(limit + 1)
            expected = answer.headers.get("Content-Length")
        if len(content) > limit:
            raise DownloadError(f"{url}: expected at most {limit} bytes, found more")
        if expected is not None and len(content) < int(expected):
            raise _TryAgain(f"broke off after {len(content)} of {expected} bytes")
        return content

    def _continue(self, url: str, part: Path, confirmed: bool = False) -> bytes:
        start = part.stat().st_size if part.exists() else 0
        try:
            answer = self._open(url, start)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not start:
                raise
            return self._beyond(error, part, start)
        with answer:
            page = _page(answer)
            if page is None:
                self._receive(answer, part, start)
                return b""
        following = page.confirmed()
        if following is None or confirmed:
            raise DownloadError(_page_message(url, page))
        return self._continue(following, part, confirmed=True)

    def _beyond(self, error: urllib.error.HTTPError, part: Path, start: int) -> bytes:
        """Handles a server that has no further bytes: the file is complete, or the part is of another file."""
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if total is None or int(total[1]) != start:
            part.unlink()
            raise _TryAgain("the part is longer than the file; starting over")
        return b""

    def _receive(self, answer: http.client.HTTPResponse, part: Path, start: int) -> None:
        start = _checked_start(answer, start)
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        check_room(part.parent, (total or 0) - start, part)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            done = start
            while data := answer.read1(CHUNK):
                if done == 0 and data.lstrip().lower().startswith((b"<!doctype", b"<html")):
                    part.unlink()
                    raise DownloadError(_page_message(answer.url, Page(data.decode("utf-8", "replace"), answer.url)))
                file.write(data)
                done += len(data)
                self.progress(done, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise _TryAgain(f"broke off after {done} of {total} bytes")


def check_room(folder: Path, needed: int, what: Path) -> None:
    """Raises DownloadError unless the disk of `folder` has space for `needed` more bytes."""
    free = shutil.disk_usage(folder).free
    if needed + MARGIN > free:
        found = f"{free / 1e9:.2f} GB"
        expected = f"{(needed + MARGIN) / 1e9:.2f} GB of free disk"
        raise DownloadError(f"{what}: expected {expected}, found {found}; free some space")


def file_md5(path: Path) -> str:
    """The checksum of a file, 32 hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()


def set_aside(path: Path, target: Path) -> str:
    """Moves a file that is not what it should be to `<target>.bad`, and says so."""
    bad = target.with_name(f"{target.name}.bad")
    os.replace(path, bad)
    return f"kept aside as {bad.name}; run it again to download it again, or ask its publisher"


def _checked_start(answer: http.client.HTTPResponse, start: int) -> int:
    """Offset at which the response begins: a server that does not support ranges sends the whole file."""
    if answer.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != start:
        given = answer.headers.get("Content-Range")
        raise DownloadError(f"{answer.url}: expected bytes from {start} on, found {given}")
    return start


def _check_final(url: str, error: Exception) -> None:
    """Raises DownloadError for errors that another try would not change."""
    if isinstance(error, urllib.error.HTTPError) and error.code not in _AGAIN:
        hint = "has the publisher moved it?" if error.code in (404, 410) else "is it public?"
        raise DownloadError(f"{url}: expected a file, found {error.code} {error.reason}; {hint}") from error
    if isinstance(error, OSError) and error.errno == 28:
        hint = "free some space and run it again"
        raise DownloadError(f"{url}: expected space for the file, found a full disk; {hint}") from error


def _page(answer: http.client.HTTPResponse) -> Page | None:
    if answer.headers.get_content_type() != "text/html":
        return None
    return Page(answer.read(_PAGE).decode("utf-8", "replace"), answer.url)


def _page_message(url: str, page: Page) -> str:
    return (
        f"{url}: expected a file, found a web page, {page.title or 'without title'!r}; its server may have a daily "
        "limit (Google Drive has) or require you to sign in: open the URL in a browser, save the file in the "
        "folder given with --out under its own name, and run this again, which checks it; or try again tomorrow"
    )
