"""Runs that a signal ends: what they leave behind, and how they go on."""

import csv
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dexzoo.experiments import run
from dexzoo.experiments.training.load import read_checkpoint
from tests.experiments.tiny_run import TINY, command, only_run

KILLED = """
import os, runpy, signal, sys
import lightning as L
from dexzoo.experiments.training import callbacks

class KillAt(L.Callback):
    def __init__(self, step, by):
        self.step, self.by = step, by
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), getattr(signal, self.by))

callbacks.KillAt = KillAt
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def killed(folder: Path, step: int, by: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, in that folder, which a signal hits after some steps."""
    kill = ["_target_=dexzoo.experiments.training.callbacks.KillAt", f"step={step}", f"by={by}"]
    program = [sys.executable, "-c", KILLED, run.__file__, *TINY, *args, *(f"+callbacks.kill.{key}" for key in kill)]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_terminated_run_does_not_look_finished(tmp_path):
    done = killed(tmp_path, 1, "SIGTERM", "baselines=[]")
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.endswith("stopped by SIGTERM; it had no checkpoint yet: start it again\n")
    assert not (only_run(tmp_path) / "metrics.json").exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_that_works(tmp_path, monkeypatch):
    quick = ["baselines=[]", "figures.percentiles=[]", "trainer.max_epochs=2"]
    done = killed(tmp_path, 3, "SIGINT", *quick)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "stopped by Ctrl-C; ckpt=last goes on with this run"
    assert "Traceback" not in done.stderr
    folder = only_run(tmp_path)
    assert not (folder / "metrics.json").exists()
    monkeypatch.chdir(tmp_path)
    command(*quick, "ckpt=last")
    assert only_run(tmp_path) == folder
    assert read_checkpoint(folder / "checkpoints/last.ckpt")["global_step"] == 4
    epochs = [line for line in (folder / "run.log").read_text().splitlines() if "] epoch " in line]
    assert [re.search(r"epoch (\d) of 2, step (\d)", line).groups() for line in epochs] == [("1", "2"), ("2", "4")]


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["trainer.max_epochs=4", "trainer.limit_train_batches=3", "data.batch_size=32"]
    args += ["figures.percentiles=[]", "baselines=[]"]
    command(*args, "name=unbroken")

    done = killed(tmp_path, 8, "SIGKILL", *args, "name=broken")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_checkpoint(only_run(tmp_path, "broken") / "checkpoints/last.ckpt")["global_step"] == 6

    command(*args, "name=broken", "ckpt=last")
    unbroken, resumed = (
        read_checkpoint(only_run(tmp_path, n) / "checkpoints/last.ckpt") for n in ("unbroken", "broken")
    )
    assert resumed["global_step"] == unbroken["global_step"] == 12
    assert all(torch.equal(resumed["state_dict"][key], value) for key, value in unbroken["state_dict"].items())
    _assert_same(resumed["optimizer_states"], unbroken["optimizer_states"])
    steps = [
        [r["step"] for r in csv.DictReader((only_run(tmp_path, n) / "metrics.csv").open())]
        for n in ("unbroken", "broken")
    ]
    assert steps[0] == steps[1]


def _assert_same(ours: object, theirs: object) -> None:
    if isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        [_assert_same(ours[key], value) for key, value in theirs.items()]
    elif isinstance(theirs, list):
        [_assert_same(*pair) for pair in zip(ours, theirs, strict=True)]
    else:
        assert ours == theirs
