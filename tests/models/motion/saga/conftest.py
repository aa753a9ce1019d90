"""Clips and a tiny model for the tests of SAGA-hand."""

import pytest

from dexzoo.datamodules.windows import ClipStore
from tests.models.motion.saga.saga_cases import cut, tiny_model


@pytest.fixture
def whole(equal_clips):
    return cut(equal_clips)


@pytest.fixture
def batch(whole):
    return ClipStore.of(whole).clips(range(6))


@pytest.fixture
def model(hand, whole):
    return tiny_model(hand, whole)
