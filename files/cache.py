"""Cache of arrays that are slow to compute, keyed by the hash of what they were made from."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray]

_log = logging.getLogger(__name__)
_DAMAGED = (OSError, ValueError, EOFError, NotImplementedError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
"""Exceptions that numpy and zipfile raise for a damaged entry."""


class CacheError(ValueError):
    """The cache can't be written."""


def cache_dir() -> Path:
    """Folder of the cache: $DEXZOO_CACHE, or ~/.cache/dexzoo. It may be deleted at any time."""
    return Path(os.environ.get("DEXZOO_CACHE") or Path.home() / ".cache" / "dexzoo")


def content_key(*parts: object) -> str:
    """Hash of what an entry is made from: bytes as they are, a Path by the content of its file, the rest by `repr`."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)  # so that ("ab", "c") is not ("a", "bc")
    return digest.hexdigest()[:32]


def cached(kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """Returns the arrays cached under `key`, computing them on a miss.

    They are written under a name unique to this process and then renamed, so a killed run leaves no partial entry, and
    two processes that make the same entry each end up with a complete one. Raises CacheError if the cache can't be
    written.

    Args:
        kind: folder of the entry; change it when `make` changes.
        key: from `content_key`, of everything that `make` depends on.
        make: called without arguments when the entry is absent or unreadable.
    """
    path = cache_dir() / kind / f"{key}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as entry:
                return dict(entry)
        except _DAMAGED as error:
            _log.warning("cache: %s is unreadable (%s) and is computed again", path, error)
    arrays = make()
    write_whole(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    return arrays


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file atomically, in a folder that is created: under a temporary name that is then renamed.

    `write` writes the content to an open file. Raises CacheError if the folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    except OSError as error:
        raise CacheError(
            f"cache: can't write to {path.parent} ({error.strerror}); set DEXZOO_CACHE to a writable folder"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_folder_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Fills a new folder under a temporary name and renames it; of two processes that do so at the same time, the first
    wins.

    `write` writes the content into a new, empty folder. Raises OSError if it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        write(half)
        os.replace(half, path)
    except OSError:
        if not path.is_dir():  # another process was first: its folder is the same
            raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
