"""Goal refinement: what it must reach and what it must leave alone."""

from dataclasses import replace

import pytest
import torch

from dexzoo.models.motion.goal_pull import CLOSE, WINDOW, arrival_weights, pull_to_goal


@pytest.fixture
def chunk(batch):
    return batch.future


@pytest.fixture
def near_goal(chunk):
    """3 cm and 0.1 rad per joint from where the chunk ends."""
    end = chunk[:, -1]
    return replace(end, translation=end.translation + torch.tensor([0.0, 0.03, 0.0]), joints=end.joints + 0.1)


LEFT = torch.arange(9, -1, -1).expand(8, -1)


def test_arrival_weights_rise_to_one_and_decelerate():
    weights = arrival_weights(torch.arange(15, -1, -1))
    assert weights[0] == 0
    assert weights[-1] == 1
    assert arrival_weights(torch.tensor(-3)) == 1
    steps = weights[-WINDOW - 1 :].diff()
    torch.testing.assert_close(steps.diff(), torch.full((WINDOW - 1,), -2 / WINDOW**2))


@pytest.mark.parametrize("mode", ["linear", "opt"])
def test_the_last_frame_reaches_the_goal(hand, chunk, near_goal, mode):
    surface = hand.surface(40)
    out = pull_to_goal(mode, hand, surface, chunk, near_goal, LEFT)
    points, goal_points = (hand.place(hand.forward_kinematics(p), surface) for p in (out[:, -1], near_goal))
    tolerance = 1e-4 if mode == "linear" else 2e-3
    assert (points - goal_points).norm(dim=-1).mean() < tolerance


@pytest.mark.parametrize("mode", ["linear", "opt"])
def test_it_works_where_a_test_forbids_gradients(hand, chunk, near_goal, mode):
    surface = hand.surface(40)
    expected = pull_to_goal(mode, hand, surface, chunk, near_goal, LEFT)
    with torch.inference_mode():
        given = (pose.map(torch.clone) for pose in (chunk, near_goal))
        out = pull_to_goal(mode, hand, surface, *given, LEFT.clone())
    assert torch.equal(out.to_vector(), expected.to_vector())


@pytest.mark.parametrize("mode", ["linear", "opt"])
def test_far_from_the_goal_nothing_changes(hand, chunk, mode):
    goal = replace(chunk[:, -1], translation=chunk.translation[:, -1] + 10 * CLOSE)
    out = pull_to_goal(mode, hand, hand.surface(40), chunk, goal, LEFT)
    assert torch.equal(out.translation, chunk.translation)
    assert torch.equal(out.joints, chunk.joints)


def test_off_returns_the_chunk(hand, batch, chunk):
    assert pull_to_goal("off", hand, hand.surface(4), chunk, batch.goal, LEFT) is chunk


def test_unknown_mode_names_the_modes(hand, batch, chunk):
    with pytest.raises(ValueError, match=r"goal_refine: expected one of \('off', 'linear', 'opt'\), found 'snap'"):
        pull_to_goal("snap", hand, hand.surface(4), chunk, batch.goal, LEFT)
