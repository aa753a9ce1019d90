"""Real runs that a signal stops at different places and that go on: their weights are those of an unbroken run.

`last.ckpt` is written at the end of an epoch. What comes after it is lost and trained once more, from the next epoch's
first batch, with the same samples and random numbers.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from dexzoo.experiments import run
from dexzoo.experiments.training.load import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

COMMON = ["logger=csv", "trainer=smoke", "trainer.max_epochs=3", "trainer.limit_train_batches=3"]
COMMON += ["figures.percentiles=[]", "baselines=[]"]
TINY: dict[str, list[str]] = {
    "windows": [
        *("model=motionnet", "data=demo", "data.clips=24", "data.batch_size=32"),
        *("model.network.n_points=8", "model.network.n_object_points=16", "model.network.hidden=32"),
    ],
    "clips": [
        *("model=saga", "data=demo", "data.clips=24", "model.clips_per_batch=4", "model.n_draws=1"),
        *("model.network.n_points=12", "model.network.latent=4", "model.network.channels=[4,4,8,8,8]"),
    ],
    "grasps": [
        *("model=grasp_cvae", "data=demo_grasps", "data.objects=[mug,bottle,bowl,jar]", "data.batch_size=16"),
        *("refine=none", "select=none", "model.network.contact=null", "model.loss.contact=0", "model.n_samples=1"),
        *("model.network.latent=4", "model.network.n_hand_points=16", "+model.metrics=[contact]"),
    ],
}
WHERE = {
    "mid-epoch": ("on_train_batch_end", "trainer.global_step == 5"),
    "before the checkpoint of an epoch": ("on_train_epoch_end", "trainer.current_epoch == 1"),
    "after it": ("on_train_epoch_start", "trainer.current_epoch == 1"),
}
CASES = [*product(("windows",), (0, 2), WHERE, ("SIGKILL", "SIGTERM"))]
CASES += [*product(("clips", "grasps"), (0, 2), ("mid-epoch",), ("SIGKILL",))]
CASES += [*product(("clips", "grasps"), (0, 2), ("before the checkpoint of an epoch",), ("SIGTERM",))]

PROGRAM = """
import os, runpy, signal, sys
import lightning as L
from dexzoo.experiments.training import callbacks

class Kill(L.Callback):
    def {hook}(self, trainer, *_):
        if {when}:
            os.kill(os.getpid(), signal.{by})

callbacks.Kill = Kill
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def command(folder: Path, *args: str) -> None:
    """The command in this process, in that folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["run.py", *COMMON, *args])
        try:
            run.main()
        finally:
            GlobalHydra.instance().clear()


def only_run(folder: Path) -> Path:
    """The one run folder."""
    (found,) = (folder / "runs" / "r").iterdir()
    return found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An unbroken run of each kind, without loader processes: with them it is the same."""
    folders: dict[str, Path] = {}
    for kind in {kind for kind, *_ in CASES}:
        folder = tmp_path_factory.mktemp(kind)
        command(folder, *TINY[kind], "name=r")
        folders[kind] = only_run(folder)
    return folders


@pytest.mark.parametrize(("kind", "workers", "where", "by"), CASES)
def test_a_stopped_run_goes_on_bit_for_bit(
    kind: str, workers: int, where: str, by: str, unbroken: dict[str, Path], tmp_path: Path
) -> None:
    args = [*TINY[kind], "name=r", f"data.num_workers={workers}"]
    hook, when = WHERE[where]
    program = [sys.executable, "-c", PROGRAM.format(hook=hook, when=when, by=by), run.__file__, *COMMON, *args]
    program += ["+callbacks.kill._target_=dexzoo.experiments.training.callbacks.Kill"]
    printed = tmp_path / "printed"  # not a pipe, which loader processes keep open for a while after their parent
    with printed.open("w") as file:
        done = subprocess.run(program, cwd=tmp_path, env=os.environ, stdout=file, stderr=file, check=False)
    number = getattr(signal, by)
    assert done.returncode == (-number if by == "SIGKILL" else 128 + number), printed.read_text()[-3000:]
    last = only_run(tmp_path) / "checkpoints/last.ckpt"
    at = read_checkpoint(last)["global_step"]
    assert at in (3, 6)  # SIGTERM ends an epoch's end after its checkpoint

    command(tmp_path, *args, "ckpt=last")
    ours, theirs = (read_checkpoint(folder / "checkpoints/last.ckpt") for folder in (last.parents[1], unbroken[kind]))
    assert ours["global_step"] == theirs["global_step"] == 9
    for key, value in theirs["state_dict"].items():
        assert ours["state_dict"][key].equal(value), key
    for one, other in zip(ours["optimizer_states"], theirs["optimizer_states"], strict=True):
        for index, state in other["state"].items():
            assert all(torch.equal(one["state"][index][key], value) for key, value in state.items())
    curves = [[*csv.DictReader((folder / "metrics.csv").open())] for folder in (last.parents[1], unbroken[kind])]
    shown = ("epoch", "step", "train/loss")
    assert [[row[key] for key in shown] for row in curves[0]] == [[row[key] for key in shown] for row in curves[1]]
