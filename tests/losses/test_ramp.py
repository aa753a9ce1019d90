"""Ramps against interpolation in a table, and the published schedule in epochs."""

import numpy as np
import pytest

from dexzoo.losses.ramp import Ramp


@pytest.mark.parametrize(("start", "end", "first", "last"), [(0.7, 7, 0.2, 0.5), (10, 2.5, 0, 0.4), (0, 1, 0.3, 1)])
def test_a_ramp_interpolates(start, end, first, last):
    for progress in np.linspace(0, 1, 41):
        expected = 0.0 if progress < first else np.interp(progress, [first, last], [start, end])
        assert Ramp(start, end, first, last).value_at(float(progress)) == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [12, 30, 300])
def test_shares_of_a_length_are_its_epochs(epochs):
    """GOAL's weight near the goal: 0 for epochs 0 to 3, 0.7 at epoch 4, 7 from epoch 10 on."""
    ramp = Ramp(0.7, 7.0, 4 / epochs, 10 / epochs)
    weights = [ramp.value_at(epoch / epochs) for epoch in range(12)]
    assert weights == pytest.approx([0, 0, 0, 0, 0.7, 1.75, 2.8, 3.85, 4.9, 5.95, 7, 7])


def test_a_ramp_without_length_is_a_step():
    step = Ramp(0.0, 1.0, 0.8, 0.8)
    assert [step.value_at(p) for p in (0, 0.8, 0.81, 1)] == [0, 0, 1, 1]
    assert Ramp(3.0, 3.0, 0, 0).value_at(0) == 3


@pytest.mark.parametrize(("first", "last"), [(4, 10), (0.5, 0.4), (-0.1, 0.5), (0.5, 1.1), (1, 1), (float("nan"), 1)])
def test_epochs_and_wrong_orders_are_refused(first, last):
    message = rf"0 <= first <= last <= 1 and first < 1, found first={first:g}, last={last:g}; epochs are divided by"
    with pytest.raises(ValueError, match=message):
        Ramp(0.0, 1.0, first, last)
