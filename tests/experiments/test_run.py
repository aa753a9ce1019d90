"""Whole runs on a few generated clips: what they leave behind, how they resume, fold and load."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
import wandb
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from PIL import Image

from dexzoo.experiments import run
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.reports.results import KEYS, group_rows, read_results
from dexzoo.experiments.training.load import load_contact, load_run, load_weights, read_checkpoint
from tests.experiments.tiny_run import TINY, command, only_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a finished run, and what it printed."""
    root, printed = tmp_path_factory.mktemp("run"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(root)
        patch.setenv("WANDB_MODE", "offline")
        wandb.teardown()  # it keeps the mode of its first run in a process
        command("logger=wandb")
    return only_run(root), printed.getvalue()


def test_files_of_a_run(finished):
    folder, _ = finished
    expected = ["config.yaml", "metrics.csv", "metrics.json", "results.parquet", "checkpoints/best.ckpt"]
    expected += [
        "checkpoints/last.ckpt",
        "figures/strip_p50.png",
        "figures/film_p50.gif",
        "figures/error_over_time.png",
    ]
    assert [name for name in expected if not (folder / name).is_file()] == []
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert not list(folder.rglob("*.part"))


def test_rows_of_a_run(finished):
    rows = read_results(finished[0] / "results.parquet")
    methods = {(row["method"], row["refine"]) for row in rows}
    assert {("motionnet", "off"), ("motionnet", "linear"), ("motionnet", "teacher_forced")} <= methods
    assert {(name, "off") for name in ("hold_still", "linear", "minimum_jerk", "timed")} <= methods
    assert len(rows) == len(methods) * len({row["clip"] for row in rows})
    assert {"mpjpe_cm", "ave_cm2", "vertex_offset_cm", *KEYS} <= set(rows[0])
    assert "demo data" in rows[0]["data"].lower()


def test_what_a_run_prints(finished):
    _, printed = finished
    assert "W&B: offline, no API key needed; `wandb sync" in printed
    assert printed.count("mean ± standard deviation over samples") == 1
    assert "demo data" in printed.lower()
    for name in ("results.parquet", "best.ckpt", "strip_p50.png", "film_p50.gif"):
        assert name in printed


def test_metrics_json_and_csv(finished):
    folder, _ = finished
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["is_demo"] is True
    assert len(metrics["split_hash"]) >= 32
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert {"epoch", "step", "val/mpjpe_cm", "train/loss", "test/mpjpe_cm"} <= set(rows[0])
    last = [row["val/mpjpe_cm"] for row in rows if row["val/mpjpe_cm"]]
    assert float(last[-1]) == pytest.approx(metrics["val/mpjpe_cm"], rel=1e-5)


def test_a_run_says_what_made_its_numbers(finished):
    folder, _ = finished
    mine = json.loads((folder / "metrics.json").read_text())
    origin = mine["provenance"]
    assert OmegaConf.to_container(OmegaConf.load(folder / "config.yaml").provenance) == origin
    assert {"code", "versions", "host", "command", "files", "data"} == set(origin)
    assert origin["command"].startswith("python experiments/run.py logger=wandb experiment=smoke")
    assert origin["data"]["split_hash"] == mine["split_hash"]
    _, data = load_run(folder)
    data.setup()
    assert data.content_hash == origin["data"]["content_hash"]
    clip = data.train[0]
    clip.pose.joints[0, 0] += 1e-6
    del data.content_hash
    assert data.content_hash != origin["data"]["content_hash"]
    clip.pose.joints[0, 0] -= 1e-6  # the clips are shared


def test_the_log_of_a_run(finished):
    folder, printed = finished
    log = (folder / "run.log").read_text()
    assert re.search(r"epoch 1 of 1, step 2, [\d.]+ s: .*val/mpjpe_cm \d.*train/loss \d", log)
    table = [line.rstrip() for line in printed.splitlines() if line.startswith((" motionnet", " timed"))]
    assert table
    assert set(table) <= {line.rstrip() for line in log.splitlines()}


def test_pictures_show_moments_side_by_side(finished):
    folder, _ = finished
    strip, film = (Image.open(folder / f"figures/{name}") for name in ("strip_p50.png", "film_p50.gif"))
    assert strip.width % 3 == film.width % 2 == 0
    assert strip.width <= 3 * 96  # borders that are white in all pictures are cut off
    assert film.width <= 2 * 96
    assert film.n_frames >= 3


def test_checkpoint_carries_what_its_weights_mean(finished):
    facts = read_checkpoint(finished[0] / "checkpoints/best.ckpt")["dexzoo"]
    assert facts["hand"] == "shadow"
    assert len(facts["joint_names"]) == 22
    assert facts["config"]["name"] == "smoke"


def test_load_run_gives_the_same_numbers(finished):
    task, datamodule = load_run(finished[0])
    assert not task.training
    trainer = L.Trainer(logger=False, accelerator="cpu", limit_test_batches=1, enable_progress_bar=False)
    trainer.test(task, datamodule, verbose=False)
    rows = {(r["method"], r["refine"], r["clip"]): r for r in read_results(finished[0] / "results.parquet")}
    for row in task.results:
        assert row["mpjpe_cm"] == rows[row["method"], row["refine"], row["clip"]]["mpjpe_cm"]


def test_evaluation_alone(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command("train=false", f"ckpt={finished[0]}", "figures.percentiles=[]", "baselines=[]", "name=evaluation")
    rows = read_results(only_run(tmp_path, "evaluation") / "results.parquet")
    known = {(r["method"], r["refine"], r["clip"]): r for r in read_results(finished[0] / "results.parquet")}
    assert [r["mpjpe_cm"] for r in rows] == [known[r["method"], r["refine"], r["clip"]]["mpjpe_cm"] for r in rows]


@pytest.mark.parametrize("keys", [["train=false"], []], ids=["evaluated", "resumed"])
def test_a_run_of_another_network_is_named(keys, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command(*keys, f"ckpt={finished[0]}", "baselines=[]", "model.network.num_experts=2")
    error = capsys.readouterr().err
    assert re.search(r"(best|last)\.ckpt: expected the weights of this network \(MotionSynthesis.*size mismatch", error)
    assert "Traceback" not in error


@pytest.mark.parametrize("precision", ["64-true", "16-mixed"])
def test_a_precision_that_no_model_has_ends_before_anything_is_written(precision, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command(f"trainer.precision={precision}")
    error = capsys.readouterr().err
    assert "trainer.precision: expected 32-true, or bf16-mixed" in error
    assert f"found {precision}: " in error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_init_from_starts_at_the_weights(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quiet = ["figures.percentiles=[]", "baselines=[]"]
    command("trainer.max_epochs=1", "model.optimizer.lr=0", f"init_from={finished[0]}", *quiet)
    ours, theirs = (
        read_checkpoint(f / "checkpoints/best.ckpt")["state_dict"] for f in (only_run(tmp_path), finished[0])
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_load_errors(finished, tmp_path):
    with pytest.raises(RunError, match="expected a checkpoint or a run folder, found nothing"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"expected checkpoints/best\.ckpt in it, found none"):
        load_run(tmp_path)
    task, _ = load_run(finished[0])
    (tmp_path / "cut.ckpt").write_bytes((finished[0] / "checkpoints/best.ckpt").read_bytes()[:1000])
    with pytest.raises(RunError, match=r"cut\.ckpt: expected a checkpoint of plain tensors"):
        load_weights(task, tmp_path / "cut.ckpt")
    with pytest.raises(
        ValueError, match="contact_from: expected a model with a contact predictor, 'motionnet' has none"
    ):
        load_contact(task, finished[0])
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(RunError, match="expected a Lightning checkpoint with a `state_dict`, found list"):
        load_weights(task, tmp_path / "list.ckpt")


def test_a_checkpoint_runs_no_code(finished, tmp_path):
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(RunError, match="expected a checkpoint of plain tensors"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_another_hand_or_network_is_refused(finished, tmp_path):
    task, _ = load_run(finished[0])
    checkpoint = read_checkpoint(finished[0] / "checkpoints/best.ckpt")
    key = next(iter(checkpoint["state_dict"]))
    torch.save({**checkpoint, "state_dict": {}}, tmp_path / "network.ckpt")
    with pytest.raises(RunError, match="expected the weights of this network"):
        load_weights(task, tmp_path / "network.ckpt")
    assert key in task.state_dict()
    checkpoint["dexzoo"]["hand"] = "mano"
    torch.save(checkpoint, tmp_path / "hand.ckpt")
    with pytest.raises(ValueError, match=r"'mano'.*'shadow'"):
        load_weights(task, tmp_path / "hand.ckpt")


def test_a_baseline_alone_can_be_run_and_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sys.argv = [
        "run.py",
        "model=timed",
        "data.clips=24",
        "logger=none",
        "figures.percentiles=[]",
        "baselines=[linear]",
    ]
    run.main()
    GlobalHydra.instance().clear()
    folder = only_run(tmp_path, "timed_demo")
    assert {row["method"] for row in read_results(folder / "results.parquet")} == {"timed", "linear"}
    task, _ = load_run(folder)
    assert bool(task.fitted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "model"),
    [
        ("realdex", ["model=motionnet"]),
        ("grab", ["model=motionnet"]),
        ("dexgraspnet", ["model=contact_map"]),
        (
            "dexgraspnet",
            ["model=grasp_cvae", "model.network.contact=null", "model.loss.contact=0", "data.eval_grasps=2"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_machine_without_data_runs_every_layout_to_its_table(data, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("REALDEX", "GRAB", "DEXGRASPNET", "MANO"):
        monkeypatch.delenv(f"DEXZOO_{name}", raising=False)
    quick = ["trainer=smoke", "logger=none", "figures.percentiles=[]", "baselines=[]", "data.batch_size=8"]
    few = ["model.n_samples=2", "refine.steps=2"] if "grasp_cvae" in model[0] else []
    sys.argv = ["run.py", f"data={data}", *model, *quick, *few]
    run.main()
    GlobalHydra.instance().clear()
    folder = only_run(tmp_path, f"{model[0].partition('=')[2]}_{data}_demo")
    assert read_results(folder / "results.parquet")
    printed = capsys.readouterr().out
    assert f"DEXZOO_{data.upper()} are not set: using demo data" in printed
    assert printed.lower().count("mean ± standard deviation") == 1


@pytest.mark.slow
def test_two_processes_leave_one_run(tmp_path):
    args = [*TINY, "name=ddp", "trainer=ddp", "trainer.accelerator=cpu", "trainer.limit_test_batches=null"]
    args += ["data.eval_batch_size=1", "figures.moments=2"]
    done = subprocess.run([sys.executable, run.__file__, *args], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = read_results(only_run(tmp_path, "ddp") / "results.parquet")
    for (_, _), group in group_rows(rows, "method", "refine").items():
        assert len({row["clip"] for row in group}) == len(group) == 5
    assert done.stdout.count("mean ± standard deviation over samples") == 1
    assert done.stdout.count("W&B:") == 1
    metrics = json.loads((only_run(tmp_path, "ddp") / "metrics.json").read_text())
    assert (metrics["batch_size"], metrics["processes"], metrics["effective_batch"]) == (128, 2, 256)
    assert done.stdout.count("256 samples a step: 128 x 2 processes x 1 accumulated") == 1


@pytest.mark.slow
def test_a_sweep_ends_with_one_merged_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick = ["figures.percentiles=[]", "baselines=[timed]", "trainer.limit_train_batches=1"]
    command("--multirun", "seed=0,1", "name=sweep", *quick)
    folder = only_run(tmp_path, "sweep")
    assert [OmegaConf.load(folder / f"{i}/config.yaml").seed for i in range(2)] == [0, 1]
    assert (folder / "report.md").read_text().count("| 2 |") >= 2
    assert "paired difference" in capsys.readouterr().out
