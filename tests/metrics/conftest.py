"""Fixtures of the tests of the evaluation tool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .given_grasps import Given


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """Grasps whose gap to the object is known, and the tool on them."""
    return Given(tmp_path)
