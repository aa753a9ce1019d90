"""Before anything is imported: one thread, no tracking, no windows; and the same random numbers in every test."""

from __future__ import annotations

import os

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


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
