"""Which clips are drawn, and the curve of the error."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dexzoo.experiments.reports import figures
from dexzoo.hands import HandPose, load_hand
from dexzoo.metrics.tool import pictures


def test_clips_are_chosen_by_their_error():
    errors = {"a": 3.0, "b": 1.0, "c": 2.0, "d": float("nan")}
    assert [figures.clip_at_percentile(errors, p) for p in (0, 50, 100)] == ["b", "c", "a"]


def test_error_over_time_of_a_hand_that_drifts_away():
    hand = load_hand("shadow")
    frames = 11
    still = HandPose(torch.zeros(frames, 3), torch.eye(3).expand(frames, 3, 3), hand.rest.expand(frames, -1), "shadow")
    drift = replace(still, translation=torch.linspace(0, 0.05, frames)[:, None] * torch.tensor([1.0, 0.0, 0.0]))
    clips = {"clip": SimpleNamespace(pose=still)}
    curve = figures.error_over_time(hand, clips, {"clip": drift}, nodes=21)
    assert curve == pytest.approx(np.linspace(0, 5, 21), abs=1e-4)


def test_long_text_is_cut_to_the_width():
    picture = pictures.text_strip("a long heading that does not fit\nshort", 80)
    assert picture.shape == (2 * 18, 80, 3)
    assert (picture[:, -3:] == 255).all()
