"""The hand of grasp files."""

import pytest

from dexzoo.hands import Hand, load_hand


@pytest.fixture(scope="module")
def hand() -> Hand:
    return load_hand("shadow")
