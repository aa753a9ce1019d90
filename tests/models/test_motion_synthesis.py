"""The task: what a test reports, what a checkpoint carries and what it refuses."""

from functools import partial

import lightning as L
import pytest
import torch

from dexzoo.datamodules import MotionDataModule
from dexzoo.datamodules.splits import Split
from dexzoo.models import MotionNet, MotionSynthesis
from dexzoo.models.baselines import HoldStill, TimedInterpolation

TINY = partial(MotionNet, n_points=8, n_object_points=8, hidden=16)
LOSS = {"keypoints": 100.0}
ADAM = partial(torch.optim.Adam, lr=1e-3)


class SixClips(MotionDataModule):
    title = "six clips"

    def __init__(self, clips, n_test=2):
        super().__init__(batch_size=16, min_windows_per_epoch=0)
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


def test_rows_of_a_reference_are_those_of_the_definition(data, clips, hand, tmp_path):
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
        assert task.rollouts[clip.name].shape == (21,)


def test_given_frames_are_given_and_not_counted(data, clips, hand, tmp_path):
    task = MotionSynthesis(HoldStill, "shadow", given_frames=5)
    make_trainer(tmp_path).test(task, data, verbose=False)
    points = hand.keypoints(hand.forward_kinematics(clips[4].pose))
    expected = 100 * (points[5:] - points[4:5]).norm(dim=-1).mean()
    assert task.results[0]["mpjpe_cm"] == pytest.approx(expected.item(), rel=1e-4)
    assert torch.equal(task.rollouts["clip4"].joints[:5], clips[4].pose.joints[:5])


def test_references_are_fitted_to_the_training_clips(data, tmp_path):
    """All clips share one progress curve, so the reference that follows the mean curve is right."""
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
    with pytest.raises(ValueError, match=r"where its data stood: expected a state of SixClips.*init_from=RUN"):
        make_trainer(tmp_path).fit(task, data, ckpt_path=tmp_path / "old.ckpt")
    make_trainer(tmp_path).test(task, data, ckpt_path=tmp_path / "old.ckpt", verbose=False)


def test_training_is_not_resumed_on_other_clips(checkpoint, clips, tmp_path):
    other = SixClips(clips, n_test=3)
    with pytest.raises(ValueError, match=r"another set or split of the data .* init_from=RUN"):
        make_trainer(tmp_path).fit(MotionSynthesis(TINY, "shadow", LOSS, ADAM), other, ckpt_path=checkpoint)


def test_an_unknown_mode_is_refused_before_training():
    with pytest.raises(ValueError, match=r"goal_refine: expected one of .*, found 'snap'"):
        MotionSynthesis(TINY, "shadow", LOSS, ADAM, goal_refine=("off", "snap"))


def test_a_model_with_parameters_needs_a_loss():
    with pytest.raises(ValueError, match="model 'net' has parameters: it needs `loss` and `optimizer`"):
        MotionSynthesis(TINY, "shadow", method="net")


def test_a_model_that_sees_the_object_needs_a_cloud(hand, batch):
    from dataclasses import replace

    with pytest.raises(
        ValueError, match=r"object_points: expected at least one point, found none; .*object_feature=false"
    ):
        TINY(hand)(replace(batch, object_points=batch.object_points[:, :0]))
    TINY(hand, object_feature=False)(replace(batch, object_points=batch.object_points[:, :0]))
