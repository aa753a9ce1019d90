"""Before anything is imported: one thread, no tracking, no windows; and the same random numbers in every test."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", "WANDB_SILENT": "true", "MPLBACKEND": "Agg"})

import pytest
import torch

torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Keeps generated demo clips from one test session to the next; their key changes with the generator."""
    os.environ.setdefault("DEXZOO_CACHE", str(config.rootpath / ".pytest_cache" / "d" / "dexzoo"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, found none"))


def pytest_sessionfinish() -> None:
    """Lets go of what dexzoo keeps for later: manifold3d prints a page about solids that outlive the interpreter."""
    for name in [name for name in sys.modules if name.split(".")[0] == "dexzoo"]:
        for value in vars(sys.modules[name]).values():
            if isinstance(value, type(lru_cache(None)(len))):
                value.cache_clear()


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One temporary folder for all processes of a test session, which several may write to at a time."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
