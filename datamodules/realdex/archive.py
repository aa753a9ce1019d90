"""One interface to files in unpacked folders and in zips, which are never unpacked."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import IO

from ...files.errors import BadFile

IMAGES = (".png", ".jpg", ".jpeg")
"""Suffixes omitted from listings, because a recording has thousands of pictures; they are opened by name."""
MAX_BYTES = 64 << 20  # Largest size of a file, unless the caller allows more; RealDex's have a few MB

_log = logging.getLogger(__name__)


class Folder(ABC):
    """A folder of a data set, on disk or in a zip; `path` is for messages and names, inside a zip appended to the
    zip's.
    """

    path: Path

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file `name`, such as "final_data.npy" or "TF/world-rh_palm.txt"."""

    @abstractmethod
    def list(self, name: str = "") -> list[str]:
        """Sorted names in this folder or in its folder `name`, none if absent; folders end in "/", pictures are
        omitted.
        """

    @abstractmethod
    def child(self, name: str) -> Folder:
        """The folder `name` in this one."""

    @abstractmethod
    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """Content of a file; raises BadFile if it is absent, damaged, over `limit` bytes, or a link that leaves the
        data set.
        """

    @abstractmethod
    def digest(self, name: str) -> str:
        """Digest that changes with the content of a file; for a zip it is taken from its table of contents."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Identifier of the folder, with links resolved."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.name

    def open(self, name: str) -> IO[bytes]:
        """Opens a file for reading; raises BadFile like `read`."""
        return io.BytesIO(self.read(name))

    def _too_long(self, name: str, size: int, limit: int) -> BadFile:
        return BadFile(self.path / name, f"at most {limit >> 20} MB", f"{size >> 20} MB")


class DiskFolder(Folder):
    """A folder on disk. Links are followed as long as they stay inside `root`, the root of the data set or else the
    folder.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path, self.root = path, (root or path).resolve()

    @property
    def identity(self) -> str:
        return str(self.path.resolve())

    def exists(self, name: str) -> bool:
        return (self.path / name).is_file()

    def list(self, name: str = "") -> list[str]:
        folder = self.path / name
        if not (folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)):
            return []
        return sorted(filter(None, (self._entry(entry) for entry in os.scandir(folder))))

    def child(self, name: str) -> DiskFolder:
        return DiskFolder(self.path / name, self.root)

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        path = self.path / name
        if not path.resolve().is_relative_to(self.root):
            raise BadFile(path, f"a file inside {self.root}", f"a link to {path.resolve()}")
        try:
            size = path.stat().st_size
            if size > limit:
                raise self._too_long(name, size, limit)
            return path.read_bytes()
        except FileNotFoundError as error:
            raise BadFile(path, "a file", "no such file") from error
        except OSError as error:
            raise BadFile(path, "a file that can be read", error.strerror or str(error)) from error

    def digest(self, name: str) -> str:
        return hashlib.sha256(self.read(name)).hexdigest()

    def _entry(self, entry: os.DirEntry[str]) -> str | None:
        if entry.name.lower().endswith(IMAGES):
            return None
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(self.root):
            _log.warning("%s: a link out of %s, left out", entry.path, self.root)
            return None
        return entry.name + "/" * entry.is_dir()


class ZipFolder(Folder):
    """The folder `inside` of a zip, "" for the whole archive."""

    def __init__(self, zip: ZipIndex, inside: str = "") -> None:
        self.zip, self.inside = zip, inside
        self.path = zip.path / inside

    @property
    def identity(self) -> str:
        return str(self.zip.path.resolve() / self.inside)

    def exists(self, name: str) -> bool:
        return self._member(name) in self.zip.files

    def list(self, name: str = "") -> list[str]:
        return sorted(self.zip.folders.get(self._member(name), ()))

    def child(self, name: str) -> ZipFolder:
        return ZipFolder(self.zip, self._member(name))

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        info = self.zip.files.get(self._member(name))
        if info is None:
            raise BadFile(self.path / name, "a file", "no such file")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BadFile(self.path / name, "a file", "a link; unpack the zip if you trust it")
        if info.file_size > limit:
            raise self._too_long(name, info.file_size, limit)
        try:
            return self.zip.archive.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            hint = "the zip is damaged: download it again"
            raise BadFile(self.path / name, "a complete member of the zip", str(error), hint=hint) from error

    def digest(self, name: str) -> str:
        info = self.zip.files.get(self._member(name))
        return "" if info is None else f"{info.filename} {info.file_size} {info.CRC:08x}"

    def _member(self, name: str) -> str:
        path = str(PurePosixPath(self.inside, name.rstrip("/")))
        return "" if path == "." else path


class ZipIndex:
    """Table of contents of a zip, which stays open, because reading the table of an 18 GB zip is slow.

    Raises BadFile if `path` is not a zip, is truncated, or has a member whose path leaves it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise BadFile(path, "a complete zip", str(error), hint="download it again") from error
        self.files: dict[str, zipfile.ZipInfo] = {}
        self.folders: dict[str, set[str]] = {}
        for info in self.archive.infolist():
            self._add(info)

    def _add(self, info: zipfile.ZipInfo) -> None:
        parts = PurePosixPath(info.filename).parts
        if info.filename.startswith("/") or ".." in parts or "\\" in info.filename or ":" in info.filename:
            raise BadFile(self.path, "members that stay inside the zip", f"one called {info.filename!r}")
        if info.is_dir():
            return
        self.files["/".join(parts)] = info
        if info.filename.lower().endswith(IMAGES):
            return
        for depth in range(len(parts)):
            above, here = "/".join(parts[:depth]), parts[depth] + "/" * (depth < len(parts) - 1)
            self.folders.setdefault(above, set()).add(here)


def open_folder(path: Path) -> Folder:
    """A folder, or a zip treated as one; raises BadFile for a zip that cannot be read."""
    return ZipFolder(ZipIndex(path)) if path.is_file() else DiskFolder(path)
