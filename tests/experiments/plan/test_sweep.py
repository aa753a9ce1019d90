"""Sweeps: every file composes, and the offline sweeper on runs that cost nothing."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import hydra
import numpy as np
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.plan import plan, sweep
from dexzoo.experiments.plan.sweep_file import as_overrides
from dexzoo.experiments.plan.sweep_report import Trial, place, write_best
from dexzoo.models import Refiner
from tests.verbs import status_of

from .conftest import finish

pytest.importorskip("sweeps", reason='needs the package sweeps: pip install "dexzoo[sweep]"')

FILES = sorted((Path(sweep.__file__).parents[1] / "sweeps").glob("*.yaml"))
COMMAND = ["${env}", "${interpreter}", "${program}", "model=motionnet", "${args_no_hyphens}"]
GRID = {
    "program": "experiments/run.py",
    "method": "grid",
    "metric": {"name": "val/mpjpe_cm", "goal": "minimize"},
    "parameters": {
        "model.optimizer.lr": {"values": [0.001, 0.01, 0.1]},
        "model.network.hidden": {"values": [16, 32]},
        "model.network.dropout": {"value": 0.25},
    },
    "command": COMMAND,
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch):
    monkeypatch.setenv("CONTACT_RUN", "runs/contact")
    monkeypatch.setenv("GRASP_RUN", "runs/grasp")


@pytest.fixture
def runs(launched):
    """Runs whose score is (log10 lr + 2)^2 + hidden / 100."""

    def score(folder, words):
        given = dict(word.split("=", 1) for word in words)
        lr, hidden = float(given["model.optimizer.lr"]), int(given.get("model.network.hidden", 0))
        assert given["model.network.dropout"] == "0.25"
        found = (np.log10(lr) + 2) ** 2 + hidden / 100
        summary = {"motionnet": {"off": {"mpjpe_cm": {"mean": -found}}}}
        return finish(folder, json.dumps({"val/mpjpe_cm": found, "summary": summary}))

    launched.work = score
    return launched


def write(path: Path, **changes) -> Path:
    path.write_text(yaml.safe_dump({k: v for k, v in (GRID | changes).items() if v is not None}))
    return path


@cache
def composed(*overrides: str):
    """The config of a run; nobody changes it."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        return hydra.compose("config", list(overrides))


@cache
def read(file: Path) -> sweep.Sweep:
    """A sweep file of ours; nobody changes it."""
    return sweep.read_sweep(file)


# ------------------------------------------------------------------------------------------------------------ the files


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_swept_key_composes_and_arrives(file):
    made, specs = read(file), yaml.safe_load(file.read_text())["parameters"]
    last = {key: spec["values"][-1] if "values" in spec else spec["max"] for key, spec in specs.items()}
    before, after = composed(*made.fixed), composed(*made.fixed, *(f"{key}={value}" for key, value in last.items()))
    assert [key for key in last if OmegaConf.select(before, key) is None] == []
    assert {key: OmegaConf.select(after, key) for key in last} == last


@pytest.mark.parametrize("file", [f for f in FILES if f.stem != "refinement"], ids=lambda f: f.stem)
def test_trained_models_are_measured_on_validation_objects(file):
    made = read(file)
    assert f"model={file.stem}" in made.fixed
    cfg = composed(*made.fixed)
    if file.stem == "grasp_flow":  # by a test on these objects, see the file
        assert made.metric == "grasp_flow/dexzoo/six_success"
        assert (list(cfg.data.test_objects), list(cfg.data.val_objects)) == (["bowl", "banana"], [])
        assert not {"jar", "tea_box", "spray"} & set(cfg.data.objects)  # not even to train on
    else:
        assert cfg.monitor == made.metric


def test_the_refinement_is_swept_on_validation_objects_from_its_own_weights():
    made = read(next(f for f in FILES if f.stem == "refinement"))
    cfg = composed(*made.fixed)
    data = hydra.utils.instantiate(cfg.data, seed=0)
    assert data.test_objects == ("bowl", "banana")
    assert data.val_objects == ()
    assert cfg.train is False
    preset = Refiner("dexzoo").weights
    assert {k: preset[k] for k in cfg.refine.weights} == cfg.refine.weights


@pytest.mark.parametrize(
    "file", [FILES[0], *(pytest.param(f, marks=pytest.mark.slow) for f in FILES[1:])], ids=lambda f: f.stem
)
def test_the_best_of_a_file_composes_as_an_experiment(file, tmp_path):
    made = read(file)
    first = sweep._propose(made, [], 0)
    assert first is not None
    path = write_best(made, Trial(tmp_path, first, 1.0), tmp_path)
    cfg = composed(f"experiment={path.stem}", f"hydra.searchpath=[file://{tmp_path}]")
    assert {key: OmegaConf.select(cfg, key) for key in first} == first
    tried = composed(*made.fixed, *as_overrides(first))
    assert cfg.model.get("scheduler") == tried.model.get("scheduler")  # the one that these parameters are the best with
    fixed = composed(*made.fixed)
    assert cfg.model.method == fixed.model.method
    assert cfg.data["_target_"] == fixed.data["_target_"]
    assert cfg.ckpt is None
    assert cfg.train is True


# ------------------------------------------------------------------------------------------------------------- the runs


def test_a_grid_is_searched_to_its_end_and_its_best_is_written(tmp_path, runs, capsys):
    status_of("sweep", str(write(tmp_path / "grid.yaml")), "--count", "99", "--out", str(tmp_path / "out"), "seed=3")
    assert [folder.name for folder in runs] == [f"{i:03d}" for i in range(6)]
    assert all(words[:2] == ["model=motionnet", "seed=3"] for words in runs.values())
    best = yaml.safe_load((tmp_path / "out" / "experiment" / "grid_best.yaml").read_text())
    assert best["model"] == {"optimizer": {"lr": 0.01}, "network": {"hidden": 16, "dropout": 0.25}}
    assert best["defaults"] == [{"override /model": "motionnet"}]
    assert (tmp_path / "out" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = [line for line in lines if line and line[0].isdigit()]
    assert len(table) == 6
    assert table[0][1:] == ["0.16", "16", "0.01"]
    assert [float(line[1]) for line in table] == sorted(float(line[1]) for line in table)


def test_finished_runs_are_read_and_the_same_runs_come_next(tmp_path, runs):
    file = write(tmp_path / "s.yaml", method="bayes", parameters=bayes_parameters())
    made = sweep.read_sweep(file)
    whole = sweep.run_sweep(made, 6, tmp_path / "whole")
    sweep.run_sweep(made, 3, tmp_path / "parts")
    runs.clear()
    parts = sweep.run_sweep(made, 6, tmp_path / "parts")
    assert [folder.name for folder in runs] == ["003", "004", "005"]
    assert [t.parameters for t in parts] == [t.parameters for t in whole]
    assert len({t.parameters["model.optimizer.lr"] for t in whole}) == 6
    note = tmp_path / "parts" / plan.FILE  # what a run was made with counts, not what would be chosen now
    found = json.loads(note.read_text())
    found["runs"]["001"]["overrides"] = [o.replace("lr=", "lr=5") for o in found["runs"]["001"]["overrides"]]
    note.write_text(json.dumps(found))
    read = sweep.run_sweep(made, 2, tmp_path / "parts")[1].parameters["model.optimizer.lr"]
    assert read == float(f"5{whole[1].parameters['model.optimizer.lr']!r}")


def bayes_parameters() -> dict:
    lr = {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}
    return {"model.optimizer.lr": lr, "model.network.dropout": {"value": 0.25}}


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_random_and_bayes_draw_within_the_bounds(method, tmp_path, runs):
    made = sweep.read_sweep(write(tmp_path / "s.yaml", method=method, parameters=bayes_parameters()))
    trials = sweep.run_sweep(made, 8, tmp_path / "out")
    rates = np.array([t.parameters["model.optimizer.lr"] for t in trials])
    assert ((rates >= 1e-4) & (rates <= 1.0)).all()
    assert all(type(t.parameters["model.optimizer.lr"]) is float for t in trials)
    scores = (np.log10(rates) + 2) ** 2
    assert [t.score for t in trials] == pytest.approx(scores.tolist())


def test_a_summary_is_a_metric_too_and_the_largest_may_be_best(tmp_path, runs):
    metric = {"name": "motionnet/off/mpjpe_cm", "goal": "maximize"}
    file = write(tmp_path / "s.yaml", metric=metric)
    assert status_of("sweep", str(file), "--count", "6", "--out", str(tmp_path / "out")) == 0
    best = (tmp_path / "out/experiment/s_best.yaml").read_text()
    assert yaml.safe_load(best)["model"]["optimizer"]["lr"] == 0.01
    assert "# motionnet/off/mpjpe_cm -0.16 in" in best


def test_a_failed_run_is_passed_over_and_tried_again(tmp_path, runs):
    made, works = sweep.read_sweep(write(tmp_path / "s.yaml")), runs.work
    runs.work = lambda folder, words: 1 if folder.name == "001" else works(folder, words)
    trials = sweep.run_sweep(made, 6, tmp_path / "out")
    assert [t.score is None for t in trials] == [False, True, False, False, False, False]
    runs.work = works
    runs.clear()
    again = sweep.run_sweep(made, 6, tmp_path / "out")
    assert [folder.name for folder in runs] == ["001"]
    assert [t.parameters for t in again] == [t.parameters for t in trials]
    assert all(t.score is not None for t in again)


def test_a_first_run_that_fails_ends_the_sweep(tmp_path, runs):
    runs.work = lambda folder, words: 1
    with pytest.raises(RunError, match="status 1"):
        sweep.run_sweep(sweep.read_sweep(write(tmp_path / "s.yaml")), 6, tmp_path / "out")
    assert len(runs) == 1


# ----------------------------------------------------------------------------------------------------------- the errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": None}, r"expected the keys .*, found no \['metric'\]"),
        ({"method": "gird"}, "method: expected one of grid, random, bayes, found 'gird'"),
        ({"parameters": {"model.optimizer.lr": {"valuess": [1]}}}, "expected a sweep in W&B's format: .*valuess"),
        ({"parameters": {"model.optimizer.lrr": {"values": [1]}}}, r"model.optimizer.lrr: .*did you mean .*\.lr\?"),
        ({"command": COMMAND[:-1]}, r"command: expected .* \$\{args_no_hyphens\}, found"),
        ({"command": [*COMMAND[:3], "ckpt=${envvar:NOT_THERE}", COMMAND[-1]]}, "NOT_THERE: expected this environment"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(changes, message, tmp_path):
    with pytest.raises(RunError, match=message):
        sweep.read_sweep(write(tmp_path / "s.yaml", **changes))


def test_an_unknown_file_names_those_there_are(tmp_path):
    with pytest.raises(RunError, match=r"expected a sweep file, found nothing; .*holds goal, grasp_cvae, grasp_flow"):
        sweep.read_sweep(tmp_path / "nothing.yaml")


def test_a_folder_of_another_sweep_is_refused(tmp_path, runs):
    sweep.run_sweep(sweep.read_sweep(write(tmp_path / "s.yaml")), 1, tmp_path / "out")
    other = sweep.read_sweep(write(tmp_path / "s.yaml"), ["seed=1"])
    with pytest.raises(RunError, match=r'found fixed=\["model=motionnet", "seed=1"\] in place of fixed='):
        sweep.run_sweep(other, 1, tmp_path / "out")


def test_a_metric_that_a_run_does_not_write_is_named_with_those_it_does(tmp_path, runs):
    made = sweep.read_sweep(write(tmp_path / "s.yaml", metric={"name": "val/loss", "goal": "minimize"}))
    with pytest.raises(RunError, match=r"expected the metric val/loss, found none; there are val/mpjpe_cm, motionnet/"):
        sweep.run_sweep(made, 1, tmp_path / "out")


@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_package_names_the_extra(empty, tmp_path, monkeypatch):
    """Also where Python takes the folder of the sweep files, a package without content, for it."""
    monkeypatch.setitem(sys.modules, "sweeps", type(sys)("sweeps") if empty else None)
    with pytest.raises(ImportError, match=r'pip install "dexzoo\[sweep\]"'):
        sweep.read_sweep(write(tmp_path / "s.yaml"))


# ---------------------------------------------------------------------------------------------------------- the picture


def test_values_are_placed_on_their_axis():
    assert place([1.0, 3.0, 2.0])[0].tolist() == [0, 1, 0.5]
    assert place([0.001, 0.1, 0.01])[0] == pytest.approx([0, 1, 0.5])
    assert place(["b", "a", "c"])[0].tolist() == [0.5, 0, 1]
    assert place([4, 4])[0].tolist() == [0.5, 0.5]
