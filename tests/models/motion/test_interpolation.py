"""The trivial baselines against closed forms."""

import pytest
import torch

from dexzoo.models.motion import HoldStill, Linear, MinimumJerk, TimedInterpolation


def roll(model, clips, **kwargs):
    from dexzoo.hands.pose import HandPose

    pose = HandPose.stack([clip.pose for clip in clips])
    count = torch.full((len(clips),), 20)
    fps = torch.full((len(clips),), 30.0)
    return pose, model.rollout(pose[:, :1], pose[:, -1], count, torch.zeros(len(clips), 1, 3), fps, **kwargs)


def test_hold_still_stays(hand, equal_clips):
    pose, out = roll(HoldStill(hand), equal_clips)
    torch.testing.assert_close(out.translation, pose.translation[:, :1].expand(-1, 20, -1))
    torch.testing.assert_close(out.joints, pose.joints[:, :1].expand(-1, 20, -1))


@pytest.mark.parametrize(
    ("model", "curve"), [(Linear, lambda u: u), (MinimumJerk, lambda u: 10 * u**3 - 15 * u**4 + 6 * u**5)]
)
def test_paths_follow_their_curve(hand, equal_clips, model, curve):
    pose, out = roll(model(hand), equal_clips)
    share = curve(torch.arange(1, 21) / 20)[None, :, None]
    expected = pose.translation[:, :1] + share * (pose.translation[:, -1:] - pose.translation[:, :1])
    torch.testing.assert_close(out.translation, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", [Linear, MinimumJerk, TimedInterpolation])
def test_paths_end_at_the_goal(hand, equal_clips, model):
    pose, out = roll(model(hand), equal_clips)
    torch.testing.assert_close(out[:, -1].to_vector(), pose[:, -1].to_vector(), atol=1e-5, rtol=0)


def test_timed_interpolation_recovers_a_shared_progress_curve(hand, equal_clips):
    """All clips run along u^2, so the fitted curve is u^2 and the baseline is right up to the lookup's grid."""
    model = TimedInterpolation(hand)
    model.fit_statistics(equal_clips, [])
    grid = torch.linspace(0, 1, 101) ** 2
    torch.testing.assert_close(model.curves, grid.expand(3, -1), atol=2e-3, rtol=0)
    pose, out = roll(model, equal_clips)
    torch.testing.assert_close(out.translation, pose.translation[:, 1:], atol=1e-3, rtol=0)
    torch.testing.assert_close(out.joints, pose.joints[:, 1:], atol=2e-3, rtol=0)


def test_timed_interpolation_leaves_out_what_does_not_move(hand, equal_clips):
    from dataclasses import replace

    clip = equal_clips[0]
    still = replace(clip, pose=replace(clip.pose, joints=clip.pose.joints[:1].expand(21, -1)))
    model = TimedInterpolation(hand)
    model.fit_statistics([still, *equal_clips], [])
    assert model.curves.isfinite().all()
    torch.testing.assert_close(model.curves[2], torch.linspace(0, 1, 101) ** 2, atol=2e-3, rtol=0)
