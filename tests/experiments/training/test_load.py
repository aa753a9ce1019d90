"""A run folder as one object: what is read, when, and how often."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf

import dexzoo
from dexzoo.datamodules import DemoMotion
from dexzoo.experiments import outcome
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.training import load
from dexzoo.experiments.training.load import Run, load_run
from dexzoo.models import MotionSynthesis
from dexzoo.models.motion import Linear
from tests.hands.test_skeleton import CLAW

CONFIG = """
hand: shadow
seed: 7
model:
  _target_: dexzoo.models.MotionSynthesis
  method: linear
  network: {_target_: dexzoo.models.motion.Linear, _partial_: true}
data:
  _target_: dexzoo.datamodules.DemoMotion
  hand: shadow
  clips: 24
"""
CLAW_YAML = """
{name: claw, kind: tree, source: claw.urdf, strip_prefix: c_, root: palm, limits: {"1": [-1, 1]},
fingertips: {left: {link: left, offset: [0, 0, 0.06]}}, contact_links: [left]}
"""
ROWS = [{"method": "linear", "clip": "a", "mpjpe_cm": 1.5}, {"method": "linear", "clip": "b", "mpjpe_cm": 2.0}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder as a run leaves it, of a model without parameters."""
    task = MotionSynthesis(Linear, "shadow", method="linear")
    checkpoint = {"state_dict": task.state_dict(), "global_step": 3}
    task.on_save_checkpoint(checkpoint)
    (tmp_path / "checkpoints").mkdir()
    torch.save(checkpoint, tmp_path / "checkpoints/best.ckpt")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened, in order."""
    seen: list[str] = []
    for owner, name in ((load.torch, "load"), (load.OmegaConf, "load"), (load.pq, "read_table")):
        function = getattr(owner, name)

        def noted(path, *args, function=function, **kwargs):
            seen.append(Path(path).name)
            return function(path, *args, **kwargs)

        monkeypatch.setattr(owner, name, noted)
    return seen


def test_each_part_is_read_once_and_when_it_is_asked_for(folder: Path, reads: list[str]) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "results.parquet")
    run = Run(folder)
    assert reads == []
    assert run.config.seed == 7
    assert reads == ["config.yaml"]
    assert run.checkpoint["global_step"] == 3
    assert run.task is run.task
    assert not run.task.training
    assert run.task.config == OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    assert run.data is run.data
    assert run.results == run.results == ROWS
    assert sorted(reads) == ["best.ckpt", "config.yaml", "config.yaml", "results.parquet"]  # one of them by this test


def test_a_run_is_given_by_its_checkpoint_too(folder: Path) -> None:
    run = Run(folder / "checkpoints/best.ckpt")
    assert (run.folder, run.weights) == (folder, folder / "checkpoints/best.ckpt")


def test_load_run_is_task_and_data(folder: Path) -> None:
    task, data = load_run(folder)
    assert isinstance(task, MotionSynthesis)
    assert isinstance(data, DemoMotion)
    assert dexzoo.Run is Run


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(RunError, match=r"expected results\.parquet in it, found none; the run ended before its test"):
        _ = Run(folder).results
    (folder / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"expected a run folder with a config\.yaml, found none"):
        Run(folder)


def test_a_run_of_a_hand_of_the_users_may_be_moved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The YAML and what it names are copied into the run; in its place, another may be given."""
    before, after = (tmp_path_factory.mktemp(name) for name in ("before", "after"))
    (before / "claw.urdf").write_text(CLAW)
    (before / "claw.yaml").write_text(CLAW_YAML)
    changed = {"hand": f"{before}/claw.yaml", "data": {"hand": f"{before}/claw.yaml"}, "run_dir": str(folder)}
    cfg = OmegaConf.merge(OmegaConf.load(folder / "config.yaml"), changed)
    task = MotionSynthesis(Linear, cfg.hand, method="linear")
    checkpoint = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "checkpoints/best.ckpt")
    outcome.save_config(cfg, {})
    shutil.move(folder, after / "run")
    shutil.move(before, after / "hands")
    run = Run(after / "run")
    assert run.task.hand.joint_names == ("0", "1")
    assert run.data.hand == run.config.hand == str(after / "run/hand" / before.name / "claw.yaml")
    assert Run(after / "run", str(after / "hands/claw.yaml")).task.hand.name == "claw"
    with pytest.raises(ValueError, match="the checkpoint is for the hand 'claw' with 2 joints, this run uses 'shadow'"):
        _ = Run(after / "run", "shadow").task
