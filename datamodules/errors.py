"""The release of a data set by its authors, the error that it was not found, and a check of what is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files.errors import BadFile, DataError


@dataclass(frozen=True)
class Release:
    """A data set as its authors publish it."""

    dataset: str  # its name
    url: str  # where to get it
    licence: str  # one line on what it allows
    tree: str  # expected under its root
    setting: str  # the setting to change ("root=/path/to/realdex")

    def folder(self, root: str | Path | None) -> Path:
        """The root if it is a folder; otherwise raises DatasetNotFound."""
        if root is None:
            raise DatasetNotFound(self, None, "`root` is not set")
        path = Path(root).expanduser()
        if not path.is_dir():
            raise DatasetNotFound(self, path, "not a folder" if path.exists() else "no such folder")
        return path


class DatasetNotFound(DataError):
    """A data set is not where the setting says; `short` is the message in one line, without the tree.

    Args:
        release: the data set.
        root: folder that was searched, if any.
        found: what is there instead ("no such folder").
    """

    def __init__(self, release: Release, root: str | Path | None, found: str) -> None:
        where = "" if root is None else f" at {Path(root).absolute()}"
        self.short = (
            f"{release.dataset} not found{where}: {found.rstrip('.')}; set {release.setting}, after getting it from "
            f"{release.url}; `dexzoo doctor` shows the tree that it has to be in"
        )
        super().__init__(
            f"{release.dataset} not found{where}: {found}.\n"
            f"  get it from  {release.url}\n"
            f"  licence      {release.licence}\n"
            f"  then set     {release.setting}\n"
            f"  or use       the demo data, which need no download\n"
            f"  expected tree:\n{indented(release.tree)}"
        )


def holds(folder: Path) -> str:
    """Description of a folder's content, for messages."""
    inside = sorted(child.name for child in folder.iterdir())
    return f"it holds {', '.join(inside[:5])}" if inside else "it is empty"


def indented(tree: str) -> str:
    """The lines of a tree, for messages."""
    return "\n".join(f"    {line}" for line in tree.strip("\n").splitlines())


def check_rotations(path: Path, key: str, array: NDArray, row: str = "frame") -> None:
    """Raises BadFile, naming the worst frame, unless all of (T, ..., 3, 3) are rotation matrices to 1e-3."""
    array = array.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        defect = np.abs(array.swapaxes(-1, -2) @ array - np.eye(3)).max(axis=(-1, -2))
        defect = np.where(np.linalg.det(array) < 0, np.inf, defect)
    defect = np.nan_to_num(defect, nan=np.inf).reshape(len(array), -1).max(axis=1)
    worst = int(defect.argmax())
    if defect[worst] > 1e-3:
        raise BadFile(path, "rotation matrices", f"R^T R off by {defect[worst]:.2g} at {row} {worst}", key=key)
