"""The error about a data set that was not found."""

from __future__ import annotations

from pathlib import Path

from ..files.errors import DataError


class DatasetNotFound(DataError):
    """A data set is not where the setting says.

    Args:
        dataset: its name.
        root: folder that was searched, if any.
        found: what is there instead ("no such folder").
        url: where to get it.
        licence: one line on what it allows.
        tree: the tree expected under `root`.
        setting: the setting to change ("root=/path/to/realdex").

    Attributes:
        short: the message in one line, without the tree.
    """

    def __init__(
        self, dataset: str, root: str | Path | None, *, found: str, url: str, licence: str, tree: str, setting: str
    ) -> None:
        where = "" if root is None else f" at {Path(root).absolute()}"
        self.short = (
            f"{dataset} not found{where}: {found.rstrip('.')}; set {setting}, after getting it from {url}; "
            "`dexzoo doctor` shows the tree that it has to be in"
        )
        super().__init__(
            f"{dataset} not found{where}: {found}.\n"
            f"  get it from  {url}\n"
            f"  licence      {licence}\n"
            f"  then set     {setting}\n"
            f"  or use       the demo data, which need no download\n"
            f"  expected tree:\n" + "\n".join(f"    {line}" for line in tree.strip("\n").splitlines())
        )
