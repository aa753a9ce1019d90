"""Errors about data: every message says where, what was expected, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from .names import did_you_mean


class DataError(ValueError):
    """Base of all errors about data."""


class BadFile(DataError):
    """A file of a data set cannot be used.

    The message says which file, which part of it ("qpos", "row 3"), what was expected, what was found, and the nearest
    alternative that works.
    """

    def __init__(self, path: str | Path, expected: str, found: str, *, key: str = "", hint: str = "") -> None:
        self.path = Path(path)
        where = f"{path}, {key}" if key else str(path)
        super().__init__(f"{where}: expected {expected}, found {found}" + (f"; {hint}" if hint else ""))


class UnknownName(DataError):
    """A name of the kind `what` ("split") is unknown; the message gives all known ones, and the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(
            f"{what}: expected one of {', '.join(names) or '(none)'}, found {name!r}{did_you_mean(str(name), names)}"
        )


def check_names(**given: tuple[str, Collection[str]]) -> None:
    """Raises UnknownName for the first argument whose value is not among those given with it: split=(value, known)."""
    for what, (name, known) in given.items():
        if name not in known:
            raise UnknownName(what, name, known)
