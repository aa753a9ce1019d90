"""Default roots and hands of data sets: the one place that knows `data.root=demo`."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from ..files.errors import UnknownName
from ..hands.mano_model import ENVIRONMENT
from .grab.skeleton import GENERIC

DEMO = "demo"  # The root that means demo data in the layout of a data set
TREES = {"dexgraspnet": "dexgraspnet_tree", "grab": "grab_tree", "realdex": "realdex_tree"}
"""Data sets with demo data in their layout, and the module of `demo` that writes them."""


def variable(dataset: str) -> str:
    """The environment variable for the root of a data set: DEXZOO_GRAB for "grab"."""
    return f"DEXZOO_{dataset.upper()}"


def default_root(dataset: str) -> str | None:
    """The default root of a data set: its variable, otherwise "demo"; None if it has no demo data."""
    return os.environ.get(variable(dataset)) or (DEMO if dataset in TREES else None)


def default_hand() -> str:
    """The default hand of human data: `mano` if DEXZOO_MANO is set, otherwise `mano_skeleton`."""
    return "mano" if os.environ.get(ENVIRONMENT) else GENERIC


def demo_root(dataset: str) -> Path:
    """Folder of demo data in the layout of a data set, in the cache; written on first use, in half a minute at most.

    The data set is "dexgraspnet", "grab" or "realdex", or UnknownName; raises CacheError if the cache can't be written.
    """
    if dataset not in TREES:
        raise UnknownName("data set with demo data in its layout", dataset, TREES)
    return importlib.import_module(f".demo.{TREES[dataset]}", __package__).demo_tree()


def find_root(dataset: str, root: str | Path | None) -> str | Path | None:
    """The folder meant by a root: `demo_root` for "demo", otherwise itself; raises like `demo_root`."""
    return demo_root(dataset) if str(root) == DEMO else root
