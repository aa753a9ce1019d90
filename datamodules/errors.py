"""What can be wrong with data: every message says where, what was expected, what was found, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class DataError(ValueError):
    """Base of all errors about data."""


class DatasetNotFound(DataError):
    """The data set is not where the setting says.

    Args:
        dataset: its name.
        root: folder that was searched, if any.
        found: what is there instead ("no such folder").
        url: where to get it.
        licence: one line on what it allows.
        tree: the tree expected under `root`.
        setting: the setting to change ("data.root=/path/to/realdex").

    Attributes:
        short: the same in one line, without the tree.
    """

    def __init__(
        self, dataset: str, root: str | Path | None, *, found: str, url: str, licence: str, tree: str, setting: str
    ) -> None:
        where = "" if root is None else f" at {Path(root).absolute()}"
        self.short = (
            f"{dataset} not found{where}: {found.rstrip('.')}; set {setting}, after getting it from {url}, or use "
            "data=demo; `dexzoo doctor` shows the tree that it has to be in"
        )
        super().__init__(
            f"{dataset} not found{where}: {found}.\n"
            f"  get it from  {url}\n"
            f"  licence      {licence}\n"
            f"  then set     {setting}\n"
            f"  or use       data=demo, which needs no download\n"
            f"  expected tree:\n" + "\n".join(f"    {line}" for line in tree.strip("\n").splitlines())
        )


class BadFile(DataError):
    """A file of a data set that can't be used.

    Args:
        path: the file.
        expected: what should be there.
        found: what is there.
        key: which part of the file ("qpos", "row 3").
        hint: the nearest thing that works.
    """

    def __init__(self, path: str | Path, expected: str, found: str, *, key: str = "", hint: str = "") -> None:
        self.path = Path(path)
        where = f"{path}, {key}" if key else str(path)
        super().__init__(f"{where}: expected {expected}, found {found}" + (f"; {hint}" if hint else ""))


class UnknownName(DataError):
    """A name that is not among those there are; the message gives the nearest of them.

    Args:
        what: kind of name ("split").
        name: the name asked for.
        known: all names there are.
    """

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
        nearest = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"{what}: expected one of {', '.join(names) or '(none)'}, found {name!r}{nearest}")
