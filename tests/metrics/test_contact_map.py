"""Errors of contact maps: counts by hand, and calibration of a predictor whose probabilities are true."""

import pytest
import torch

from dexzoo.metrics.functional.contact_map import calibration_error, contact_f1


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    predicted = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]).bool()
    target = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]).bool()
    precision, recall = 1 / 2, 1 / 3
    expected = torch.tensor([2 * precision * recall / (precision + recall), torch.nan, 0])
    torch.testing.assert_close(contact_f1(predicted, target), expected.double(), equal_nan=True)


def test_a_predictor_that_means_its_probabilities_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    share = torch.tensor([0.7, 0.2, 0.06, 0.04])
    drawn = torch.multinomial(share, 200_000, replacement=True, generator=generator)
    target = (drawn[None] + 0.5) / 4
    assert float(calibration_error(share.log().expand(1, 200_000, 4), target)) < 0.005
    sure = torch.tensor([20.0, 0, 0, 0]).expand(1, 200_000, 4)
    assert float(calibration_error(sure, target)) == pytest.approx(0.3, abs=0.005)


def test_gaps_of_different_intervals_do_not_cancel():
    """Half the points at 0.9 never hit, half at 0.6 always: (0.9 + 0.4) / 2."""
    logits = torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log().repeat_interleave(10, 0)[None]
    target = torch.tensor([0.75, 0.25]).repeat_interleave(10)[None]
    assert float(calibration_error(logits, target)) == pytest.approx(0.65)


def test_full_contact_belongs_to_the_last_bin_and_a_regression_has_no_calibration():
    logits = torch.tensor([-20.0, 20.0]).expand(1, 3, 2)
    assert float(calibration_error(logits, torch.ones(1, 3))) == pytest.approx(0, abs=1e-6)
    assert calibration_error(torch.zeros(2, 3, 1), torch.ones(2, 3)).isnan().all()
