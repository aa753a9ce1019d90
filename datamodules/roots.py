"""Where a data set lies, and what it is read with, if nobody says: the one place that knows of `data.root=demo`."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from ..files.errors import UnknownName
from ..hands.mano_model import ENVIRONMENT
from .grab.skeleton import GENERIC

DEMO = "demo"
"""The root that stands for demo data in the layout of a data set."""
TREES = {"dexgraspnet": "dexgraspnet_tree", "grab": "grab_tree", "realdex": "realdex_tree"}
"""Data sets whose layout demo data are written in, and the module of `demo` that writes them."""


def variable(dataset: str) -> str:
    """The environment variable that holds the root of a data set: DEXZOO_GRAB for "grab"."""
    return f"DEXZOO_{dataset.upper()}"


def default_root(dataset: str) -> str | None:
    """The root of a data set that the user names none for: its variable, else "demo"; None where there is no demo."""
    return os.environ.get(variable(dataset)) or (DEMO if dataset in TREES else None)


def default_hand() -> str:
    """The hand of people's data that the user names none for: `mano` where DEXZOO_MANO is set, else `mano_skeleton`."""
    return "mano" if os.environ.get(ENVIRONMENT) else GENERIC


def demo_root(dataset: str) -> Path:
    """Folder of demo data in the layout of a data set, in the cache; written on first use, in half a minute at most.

    Args:
        dataset: "dexgraspnet", "grab" or "realdex".

    Raises:
        UnknownName: another data set.
        CacheError: the cache can't be written.
    """
    if dataset not in TREES:
        raise UnknownName("data set with demo data in its layout", dataset, TREES)
    return importlib.import_module(f".demo.{TREES[dataset]}", __package__).demo_tree()


def find_root(dataset: str, root: str | Path | None) -> str | Path | None:
    """The folder that a root stands for: `demo_root` for "demo", else itself; raises as `demo_root`."""
    return demo_root(dataset) if str(root) == DEMO else root
