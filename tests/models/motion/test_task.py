"""The task: what a test reports, what a checkpoint carries and what it refuses."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import lightning as L
import pytest
import torch

from dexzoo.datamodules import MotionDataModule
from dexzoo.datamodules.splits import Split
from dexzoo.hands.pose import HandPose
from dexzoo.models import MotionNet, MotionSynthesis
from dexzoo.models.motion import HoldStill, TimedInterpolation

TINY = partial(MotionNet, n_points=8, n_object_points=8, hidden=16)
LOSS = {"keypoints": 100.0}
ADAM = partial(torch.optim.Adam, lr=1e-3)


class SixClips(MotionDataModule):
    title = "six clips"

    def __init__(self, clips, n_test=2, clips_per_batch=None):
        super().__init__(batch_size=16, clips_per_batch=clips_per_batch, min_windows_per_epoch=0)
        self.clips, self.n_test = clips, n_test

    def load(self):
        return self.clips

    def split(self, samples):
        self.split_group = "recording"
        return Split(list(samples[: -self.n_test]), [], list(samples[-self.n_test :]))


@pytest.fixture
def data(clips):
    return SixClips(clips)


def make_trainer(tmp_path, **kwargs):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(default_root_dir=tmp_path, max_epochs=1, **quiet, **kwargs)


@pytest.fixture
def checkpoint(data, tmp_path):
    task = MotionSynthesis(TINY, "shadow", LOSS, ADAM)
    task.config = {"seed": 1}
    trainer = make_trainer(tmp_path)
    trainer.fit(task, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_rows_of_a_baseline_are_those_of_the_definition(data, clips, hand, tmp_path):
    """Hold still: the mean distance of the key points from where they were in the first frame."""
    task = MotionSynthesis(HoldStill, "shadow", method="hold")
    make_trainer(tmp_path).test(task, data, verbose=False)
    assert [(row["method"], row["refine"], row["clip"]) for row in task.results] == [
        ("hold", "off", "clip4"),
        ("hold", "off", "clip5"),
    ]
    for row, clip in zip(task.results, clips[4:], strict=True):
        points = hand.keypoints(hand.forward_kinematics(clip.pose))
        expected = 100 * (points[1:] - points[:1]).norm(dim=-1).mean()
        assert row["mpjpe_cm"] == pytest.approx(expected.item(), rel=1e-4)
        assert task.rollouts[clip.name].shape == (len(clip.pose.joints),)


def test_given_frames_are_given_and_not_counted(data, clips, hand, tmp_path):
    task = MotionSynthesis(HoldStill, "shadow", given_frames=5)
    make_trainer(tmp_path).test(task, data, verbose=False)
    points = hand.keypoints(hand.forward_kinematics(clips[4].pose))
    expected = 100 * (points[5:] - points[4:5]).norm(dim=-1).mean()
    assert task.results[0]["mpjpe_cm"] == pytest.approx(expected.item(), rel=1e-4)
    assert torch.equal(task.rollouts["clip4"].joints[:5], clips[4].pose.joints[:5])


def test_baselines_are_fitted_to_the_training_clips(data, tmp_path):
    """All clips share one progress curve, so the baseline that follows the mean curve is right."""
    task = MotionSynthesis(TimedInterpolation, "shadow")
    make_trainer(tmp_path).test(task, data, verbose=False)
    assert max(row["mpjpe_cm"] for row in task.results) < 0.2


def test_a_learned_model_is_tested_in_every_mode_and_teacher_forced(data, tmp_path):
    task = MotionSynthesis(TINY, "shadow", LOSS, ADAM, goal_refine=("off", "linear"))
    make_trainer(tmp_path).test(task, data, verbose=False)
    assert [row["refine"] for row in task.results] == ["off"] * 2 + ["linear"] * 2 + ["teacher_forced"] * 2
    logged = set(task.trainer.callback_metrics)
    assert {"test/mpjpe_cm", "test_linear/mpjpe_cm", "test_teacher_forced/mpjpe_cm"} <= logged


def test_a_checkpoint_says_what_its_weights_mean(checkpoint, data, hand):
    facts = torch.load(checkpoint, weights_only=True)["dexzoo"]
    assert facts["hand"] == "shadow"
    assert facts["joint_names"] == list(hand.joint_names)
    assert facts["fps"] == 30.0
    assert facts["config"] == {"seed": 1}
    data.setup()
    assert facts["split_hash"] == data.split_hash


def test_statistics_come_with_the_checkpoint(checkpoint, data, tmp_path):
    task = MotionSynthesis(TINY, "shadow", LOSS, ADAM)
    make_trainer(tmp_path).test(task, data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert task.fitted
    assert torch.equal(task.network.motion.sd, saved["network.motion.sd"])
    assert not torch.equal(task.network.motion.sd, torch.ones_like(task.network.motion.sd))


def test_a_checkpoint_of_another_hand_is_refused(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    content["dexzoo"] |= {"hand": "allegro", "joint_names": ["a", "b"]}
    with pytest.raises(ValueError, match=r"is for the hand 'allegro' with 2 joints, this run uses 'shadow' with 22"):
        MotionSynthesis(TINY, "shadow", LOSS, ADAM).on_load_checkpoint(content)


def test_a_file_that_is_no_checkpoint_of_ours_is_refused():
    with pytest.raises(ValueError, match=r"not a dexzoo checkpoint: expected a key 'dexzoo', found \['epoch'\]"):
        MotionSynthesis(TINY, "shadow", LOSS, ADAM).on_load_checkpoint({"epoch": 1})


def test_a_checkpoint_that_does_not_say_where_its_data_stood_is_not_resumed(data, checkpoint, tmp_path):
    """Those of before; the next epoch would have had the batches of an earlier one."""
    old = torch.load(checkpoint, weights_only=True)
    assert old.pop("SixClips") == {"epoch": 1, "batch": 0}
    torch.save(old, tmp_path / "old.ckpt")
    task = MotionSynthesis(TINY, "shadow", LOSS, ADAM)
    with pytest.raises(ValueError, match=r"where its data stood: expected a state of SixClips.*from its weights"):
        make_trainer(tmp_path).fit(task, data, ckpt_path=tmp_path / "old.ckpt")
    make_trainer(tmp_path).test(task, data, ckpt_path=tmp_path / "old.ckpt", verbose=False)


def test_training_is_not_resumed_on_other_clips(checkpoint, clips, tmp_path):
    other = SixClips(clips, n_test=3)
    with pytest.raises(ValueError, match=r"another set or split of the data .* from its weights"):
        make_trainer(tmp_path).fit(MotionSynthesis(TINY, "shadow", LOSS, ADAM), other, ckpt_path=checkpoint)


def test_an_unknown_mode_is_refused_before_training():
    with pytest.raises(ValueError, match=r"goal_refine: expected one of .*, found 'snap'"):
        MotionSynthesis(TINY, "shadow", LOSS, ADAM, goal_refine=("off", "snap"))


def test_a_model_with_parameters_needs_a_loss():
    with pytest.raises(ValueError, match="model 'net' has parameters: it needs `loss` and `optimizer`"):
        MotionSynthesis(TINY, "shadow", method="net")


def test_a_model_that_sees_the_object_needs_a_cloud(hand, batch):
    with pytest.raises(
        ValueError, match=r"object_points: expected at least one point, found none; .*object_feature=False"
    ):
        TINY(hand)(replace(batch, object_points=batch.object_points[:, :0]))
    TINY(hand, object_feature=False)(replace(batch, object_points=batch.object_points[:, :0]))


class Straying(HoldStill):
    """Holds still 1 cm from where it should, then 3, then 5: a draw each; 7 cm without a generator."""

    is_stochastic = True
    drawn = 0

    def rollout(self, *args, generator=None, **kwargs):
        still = super().rollout(*args, **kwargs)
        away = 0.07 if generator is None else (0.01, 0.03, 0.05)[self.drawn % 3]
        self.drawn += generator is not None
        return replace(still, translation=still.translation + torch.tensor([0.0, away, 0.0]))


def test_the_errors_of_several_draws_are_their_mean(clips, tmp_path):
    still = [replace(clip, pose=HandPose.stack([clip.pose[0]] * len(clip.pose.joints))) for clip in clips]
    task = MotionSynthesis(Straying, "shadow", n_draws=3)
    make_trainer(tmp_path).test(task, SixClips(still), verbose=False)
    errors = {(row["refine"], row["clip"]): row["mpjpe_cm"] for row in task.results}
    assert errors["off", "clip4"] == errors["off", "clip5"] == pytest.approx(3.0, rel=1e-4)
    assert errors["most_likely", "clip4"] == pytest.approx(7.0, rel=1e-4)
    first = task.rollouts["clip4"].translation[1:] - still[4].pose.translation[1:]
    torch.testing.assert_close(first, torch.tensor([0.0, 0.01, 0.0]).expand(20, 3), atol=1e-6, rtol=0)


def test_what_two_processes_tested_is_there_once(monkeypatch):
    """Both test as many samples, so with an odd number of them one sample is tested twice."""
    task = MotionSynthesis(HoldStill, "shadow")
    rows = [{"refine": mode, "clip": clip, "mpjpe_cm": 1.0} for clip in "abc" for mode in ("off", "linear")]
    task.results, theirs = rows[:4], [*rows[4:], *rows[:2]]

    def gather(gathered, mine):
        gathered[:] = [mine, theirs]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    task._trainer = SimpleNamespace(world_size=2)
    task.gather_results()
    assert sorted(map(str, task.results)) == sorted(map(str, rows))


class Random(HoldStill):
    """Shifts the hand of each clip by a drawn vector."""

    is_stochastic = True

    def rollout(self, past, *args, generator=None, **kwargs):
        still = super().rollout(past, *args, **kwargs)
        if generator is None:
            return still
        shift = torch.stack([torch.randn(1, 3, generator=one) for one in generator])
        return replace(still, translation=still.translation + shift)


@pytest.mark.parametrize("at_once", [1, 2])
def test_every_test_clip_has_draws_of_its_own(clips, tmp_path, at_once):
    def drawn():
        data, task = SixClips(clips), MotionSynthesis(Random, "shadow")
        data.eval_batch_size = at_once
        make_trainer(tmp_path).test(task, data, verbose=False)
        return [task.rollouts[clip.name].translation[-1] - clip.pose.translation[0] for clip in clips[4:]]

    first, second = drawn()
    assert (first - second).abs().max() > 1e-3
    torch.testing.assert_close(torch.stack(drawn()), torch.stack([first, second]), rtol=0, atol=0)
