"""Stages of an experiment: their order, what they are given, and the user's own configs."""

from __future__ import annotations

import sys

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from dexzoo.experiments.commandline.errors import RunError
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


def test_each_stage_gets_the_folder_of_the_one_before_and_the_users_keys(cfg, tmp_path, monkeypatch, launched):
    merged = []
    monkeypatch.setattr(stages.table3, "merge_runs", lambda runs, settings: merged.append((runs, settings.out)))
    stages.run_stages(cfg)
    mine = ["data=dexgraspnet", "trainer.max_epochs=1"]
    first, second = tmp_path / "seed_1/first", tmp_path / "seed_1/second"
    assert [*launched] == [tmp_path / "seed_0/first", tmp_path / "seed_0/second", first, second]
    assert launched[first] == ["model=a", "seed=1", "name=chain_first", *mine]
    own = ["model=b", f"contact_from={first}", "seed=1", "name=chain_second"]
    assert launched[second] == [*own, *mine, "model.n_samples=3"]
    assert merged == [([tmp_path / "seed_0/second", second], str(tmp_path))]


def test_a_later_stage_cannot_be_asked_for(cfg, launched):
    cfg.stages = {"first": ["contact_from={second}"], "second": []}
    with pytest.raises(RunError, match=r"contact_from=\{second\}: expected the name of an earlier stage, .*'second'"):
        stages.run_stages(cfg)
    assert not launched


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
