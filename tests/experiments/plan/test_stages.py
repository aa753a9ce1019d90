"""Stages of an experiment: their order, their folders, what is repeated and what is not."""

import json
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.plan import launch as launching
from dexzoo.experiments.plan import stages


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    """A chain of two stages for two seeds, started with two keys on the command line."""
    task = ["experiment=x", "data=dexgraspnet", "trainer.max_epochs=1", "ckpt=last", "model.n_samples=3"]
    job = {"overrides": {"task": task}, "runtime": {"choices": {"model": "b"}, "config_sources": []}}
    monkeypatch.setattr(HydraConfig, "get", lambda: OmegaConf.create(job))
    chain = {"first": ["model=a"], "second": ["model=b", "contact_from={first}"]}
    keys = {"run_dir": str(tmp_path), "name": "chain", "seeds": [0, 1], "stages": chain, "table": ["second"]}
    return OmegaConf.create(keys)


def test_each_stage_gets_the_folder_of_the_one_before_and_the_users_keys(cfg, tmp_path, monkeypatch):
    calls, merged = [], []
    monkeypatch.setattr(stages, "launch", lambda overrides, folder: calls.append((overrides, folder)))
    monkeypatch.setattr(stages.table3, "merge_runs", lambda folders, out: merged.append((folders, out)))
    stages.run_stages(cfg)
    first, second = tmp_path / "seed_0/first", tmp_path / "seed_0/second"
    mine = ["data=dexgraspnet", "trainer.max_epochs=1"]
    assert calls[0] == (["model=a", "seed=0", "name=chain_first", *mine], first)
    assert calls[1] == (
        ["model=b", f"contact_from={first}", "seed=0", "name=chain_second", *mine, "model.n_samples=3"],
        second,
    )
    assert [folder.parent.name for _, folder in calls] == ["seed_0", "seed_0", "seed_1", "seed_1"]
    assert merged == [([second, tmp_path / "seed_1/second"], tmp_path)]


def test_a_later_stage_cannot_be_asked_for(cfg):
    cfg.stages = {"first": ["contact_from={second}"], "second": []}
    with pytest.raises(RunError, match=r"contact_from=\{second\}: expected the name of an earlier stage, .*'second'"):
        stages.run_stages(cfg)


@pytest.mark.parametrize("argument", ["--config-dir={}", "hydra.searchpath=[file://{}]"])
def test_stages_see_the_configs_of_the_users_own_folder(argument, tmp_path, monkeypatch):
    main, mine = tmp_path / "main", tmp_path / "mine"
    (mine / "model").mkdir(parents=True)
    (mine / "model/pace.yaml").write_text("speed: 3")
    main.mkdir()
    (main / "config.yaml").write_text("hydra: {output_subdir: null, run: {dir: .}}")
    monkeypatch.chdir(tmp_path)  # where hydra writes its log
    handed, speeds = [argument.format(mine)], []
    command = hydra.main(version_base=None, config_path=str(main), config_name="config")
    for _ in ("the experiment", "its stage"):
        monkeypatch.setattr(sys, "argv", ["run.py", "+model=pace", *handed])

        @command
        def run(cfg):
            speeds.append(cfg.model.speed)
            handed[:] = stages._own_configs()

        run()
    assert speeds == [3, 3]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """In place of run.py: notes its arguments in its folder, and fails where it is told to."""
    script = tmp_path / "program.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[-1].partition('=')[2])\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "(folder / 'arguments.json').write_text(json.dumps(sys.argv[1:]))\n"
        "sys.exit(3 if 'fail' in sys.argv else 0)\n"
    )
    monkeypatch.setattr(launching, "_RUN", script)
    return tmp_path


def arguments(folder: Path) -> list[str]:
    return json.loads((folder / "arguments.json").read_text())


def test_a_run_starts_anew_goes_on_or_is_left_alone(program):
    folder = program / "run"
    launching.launch(["model=a"], folder)
    assert arguments(folder) == ["model=a", f"hydra.run.dir={folder}"]
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/last.ckpt").touch()
    launching.launch(["model=a"], folder)
    assert arguments(folder) == ["model=a", "ckpt=last", f"hydra.run.dir={folder}"]
    (folder / "arguments.json").unlink()
    (folder / launching.DONE).touch()
    launching.launch(["model=a"], folder)
    assert not (folder / "arguments.json").exists()


def test_a_run_that_fails_stops_the_chain(program):
    with pytest.raises(RunError, match="run: the run ended with status 3"):
        launching.launch(["fail"], program / "run")
