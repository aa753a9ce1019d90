"""What a training is too short for is said, in real trainings of a few steps."""

import math
from functools import partial

import lightning as L
import pytest
import torch

from dexzoo.models import pace
from dexzoo.models.motion import GoalSynthesis
from tests.models.motion.test_goal import RAMPS, TINY, SixClips

ADAM = partial(torch.optim.Adam, lr=1e-3)
STEP = torch.optim.lr_scheduler.StepLR


def make(near=RAMPS["near"], scheduler=None):
    return GoalSynthesis(
        network=TINY, hand="shadow", loss=RAMPS | {"near": near}, optimizer=ADAM, scheduler=scheduler, method="goal"
    )


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == pace.__name__]


def trainer(tmp_path, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(default_root_dir=tmp_path, enable_checkpointing=False, **quiet, **options)


def fit(task, clips, tmp_path, n_val=0, **options):
    made = trainer(tmp_path, **({"max_epochs": 3, "limit_train_batches": 2} | options))
    made.fit(task, SixClips(clips, n_val))
    return made


@pytest.mark.parametrize("options", [{"max_epochs": 1}, {"max_epochs": 4}, {"max_epochs": -1, "max_steps": 5}])
def test_a_training_of_any_length_ends_with_the_weights_near_the_goal(clips, tmp_path, monkeypatch, caplog, options):
    task, seen = make(near=(0.7, 7.0, 0.25, 0.5)), []
    monkeypatch.setattr(task.goal_loss, "weights", lambda p, of=task.goal_loss.weights: seen.append(p) or of(p))
    done = fit(task, clips, tmp_path, limit_train_batches=4, **options)
    steps = done.global_step
    assert steps == {1: 4, 4: 16, -1: 5}[options["max_epochs"]]
    used = seen[-steps:]
    assert used == pytest.approx([step / steps for step in range(steps)])
    near = [task.goal_loss.weights(progress)["near_head"] for progress in used]
    assert near[0] == 0
    assert near[-1] == 7
    assert not said(caplog)


def test_a_term_that_is_never_trained_is_named(clips, tmp_path, caplog):
    fit(make(near=(0.7, 7.0, 0.9, 1.0)), clips, tmp_path)
    near, head = said(caplog)
    assert near.startswith(
        "loss: near has the weight 3.5 at the end of a training, but 0 at every one of these 6 steps"
    )
    assert head.startswith("loss: near_head has the weight 7 ")
    caplog.clear()
    fit(make(near=(0.7, 7.0, 0.8, 1.0)), clips, tmp_path)  # at the last of 6 steps 5/6 are done
    assert not said(caplog)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (partial(STEP, step_size=200), "StepLR never changes the learning rate within these 3 epochs; train longer"),
        (partial(STEP, step_size=3), "StepLR never changes"),  # after the last epoch
        (partial(STEP, step_size=2), None),
        (
            partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=8),
            "ReduceLROnPlateau never changes the learning rate within these 3 validations even if none improves",
        ),
        (partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0), None),
        (partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3), None),
    ],
)
def test_a_rate_that_never_changes_is_said(clips, tmp_path, caplog, scheduler, message):
    fit(make(scheduler=scheduler), clips, tmp_path)
    assert [str(message) in found for found in said(caplog)] == ([] if message is None else [True])


def test_a_training_that_is_stopped_says_what_did_not_end(clips, tmp_path, caplog):
    class Stop(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = True

    fit(make(), clips, tmp_path, callbacks=[Stop()], min_epochs=0)
    (found,) = said(caplog)
    assert found.startswith("the training stopped after 17 % of its planned steps (`max_time`?)")


def test_a_training_without_a_length_is_refused(clips, tmp_path):
    task = make(scheduler=partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3))
    with pytest.raises(ValueError, match=r"^max_epochs: expected a number of epochs .*found no limit"):
        fit(task, clips, tmp_path, max_epochs=-1, max_time="00:00:00:01")


def test_the_last_weights_are_validated(clips, tmp_path):
    message = r"expected a divisor of max_epochs=3, .* found 2; set it to 1 or 3"
    with pytest.raises(ValueError, match=message):
        fit(make(), clips, tmp_path, n_val=1, check_val_every_n_epoch=2)
    fit(make(), clips, tmp_path, n_val=0, check_val_every_n_epoch=2)  # nothing to validate on


def test_a_training_is_resumed_with_the_length_it_began_with(clips, tmp_path):
    scheduler = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3)
    file = tmp_path / "last.ckpt"

    class Keep(L.Callback):
        def on_train_epoch_end(self, trainer, *_):
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(file)

    fit(make(scheduler=scheduler), clips, tmp_path, callbacks=[Keep()])
    for epochs in (4, 2):
        expected = "expected the length that the resumed training began with, 6 steps"
        message = rf"{expected}, .* found {2 * epochs}; .*from its weights"
        with pytest.raises(ValueError, match=message):
            trainer(tmp_path, max_epochs=epochs, limit_train_batches=2).fit(
                make(scheduler=scheduler), SixClips(clips, 0), ckpt_path=file
            )
    again = trainer(tmp_path, max_epochs=3, limit_train_batches=2)
    again.fit(make(scheduler=scheduler), SixClips(clips, 0), ckpt_path=file)
    assert again.global_step == 6


def test_a_length_in_steps_is_one_in_epochs(clips, tmp_path):
    made = fit(make(), clips, tmp_path, max_epochs=-1, max_steps=5, accumulate_grad_batches=2, limit_train_batches=4)
    assert pace.Length.of(made) == pace.Length(total_steps=5, epochs=3, validations=3)
    assert made.current_epoch == math.ceil(5 / 2)
