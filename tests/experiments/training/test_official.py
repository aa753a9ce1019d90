"""Files of published trainings through the command: tested at once, trained on, refused."""

from __future__ import annotations

import re
from pathlib import Path

import hydra
import pytest
import torch

from dexzoo.experiments.reports.results import read_results
from dexzoo.experiments.training.load import load_run, read_checkpoint
from tests.experiments.in_process import run_here
from tests.oracles.published_layouts import OFFICIAL_WEIGHTS, contact_keys, container, cvae_keys, weights

TINY = ["data.eval_grasps=2", "data.eval_batch_size=2", "data.batch_size=2", "trainer=smoke", "logger=none"]
TINY += ["figures.percentiles=[]"]
CONTACT = ["model=contact_map_official"]
CVAE = ["model=grasp_cvae_official", "refine=none", "select=none", "model.n_samples=2", "+model.metrics=[contact]"]


def command(*args: str) -> None:
    """Runs the command in this process, in the current folder."""
    run_here(*args, *TINY)


def only_run(root: Path) -> Path:
    (folder,) = (root / "runs").glob("*/*")
    return folder


def saved(path: Path, tensors: dict) -> Path:
    torch.save(container(tensors), path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_contact_net_of_unidexgrasp_is_tested_without_training(here, capsys):
    tensors = weights(contact_keys("net.backbone."))
    path = saved(here / "model_001200.pt", tensors)
    command(*CONTACT, f"official_weights={path}", "train=false")
    printed = capsys.readouterr().out
    assert f"official     {path}, iteration 1200: 72 tensors, " in printed
    assert "keys without the leading 'net.' and 'backbone.'\n  loaded: feat_o (21), feat_h (21), conv1 (2)," in printed
    folder = only_run(here)
    assert {r["method"] for r in read_results(folder / "results.parquet")} == {"contact_map_official", "perturbed hand"}
    task, _ = load_run(folder)
    ours = task.network.net.state_dict()
    assert all(torch.equal(ours[key.removeprefix("net.backbone.")], value) for key, value in tensors.items())


def test_a_cvae_is_tested_with_the_contact_predictor_in_its_file(here, capsys):
    tensors = weights(cvae_keys("net.") | contact_keys("contact_net."))
    command(*CVAE, f"official_weights={saved(here / 'cvae.pt', tensors)}", "train=false")
    assert "loaded: contact_net (72), obj_encoder (58), hand_encoder (58), cvae (14)\n" in capsys.readouterr().out
    state = read_checkpoint(only_run(here) / "checkpoints/best.ckpt")["state_dict"]
    assert torch.equal(state["network.net.cvae.decoder.MLP.L2.bias"], tensors["net.cvae.decoder.MLP.L2.bias"])
    assert torch.equal(state["network.contact.net.conv4.bias"], tensors["contact_net.conv4.bias"])


@pytest.mark.slow
def test_training_starts_at_the_file_and_takes_the_contact_predictor_of_a_run(here, capsys):
    contact = saved(here / "contact.pt", weights(contact_keys("net."), seed=1))
    command(*CONTACT, f"official_weights={contact}", "train=false", "name=contact")
    predictor = only_run(here)
    tensors = weights(cvae_keys("net.") | contact_keys("contact_net."))
    path = saved(here / "cvae.pt", tensors)
    still = ["model.optimizer.lr=0", "name=cvae"]
    command(*CVAE, f"official_weights={path}", f"contact_from={predictor}", *still)
    assert "  left out: contact_net (72)\n" in capsys.readouterr().out
    (folder,) = (here / "runs/cvae").iterdir()
    state = read_checkpoint(folder / "checkpoints/best.ckpt")["state_dict"]
    key = "cvae.decoder.MLP.L0.weight"
    assert torch.equal(state[f"network.net.{key}"], tensors[f"net.{key}"])
    theirs = torch.load(contact, weights_only=True)["model"]["net.conv4.weight"]
    assert torch.equal(state["network.contact.net.conv4.weight"], theirs)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            [*CONTACT, "official_weights=cvae.pt"],
            r"cvae\.pt: expected the 72 tensors of ContactMapNet",
        ),
        (
            [*CVAE, "official_weights=contact.pt"],
            r"contact\.pt: expected the 202 tensors of OfficialGraspCVAE and its contact predictor, found 72.*"
            r"202 missing: contact_net\.feat_o",
        ),
        (
            ["model=contact_map", "official_weights=contact.pt"],
            "official_weights: expected a model in the published layout, .*, found 'contact_map'",
        ),
        ([*CONTACT, "official_weights=none.pt"], r"none\.pt: expected a file of weights, found no"),
        (
            [*CONTACT, "official_weights=contact.pt", "train=false", "ckpt=a.ckpt"],
            r"official_weights=contact\.pt and ckpt=a\.ckpt are mutually exclusive; remove one",
        ),
        (
            [*CONTACT, "official_weights=contact.pt", "init_from=runs/a"],
            r"official_weights=contact\.pt and init_from=runs/a are mutually exclusive; remove one",
        ),
    ],
)
def test_what_does_not_fit_is_refused(here, capsys, args, message):
    saved(here / "cvae.pt", weights(cvae_keys("net.")))
    saved(here / "contact.pt", weights(contact_keys("net.")))
    with pytest.raises(SystemExit):
        command(*args)
    printed = capsys.readouterr().err.replace("\n", " ")
    assert re.search(message, printed), printed


def test_weights_and_rates_are_the_published_ones():
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        cvae, contact = (hydra.compose("config", [f"model={n}_official"]) for n in ("grasp_cvae", "contact_map"))
    assert cvae.model.loss == OFFICIAL_WEIGHTS
    for cfg, rate, batch in ((cvae, 5e-4, 32), (contact, 1e-3, 16)):
        assert (cfg.model.optimizer.lr, cfg.data.batch_size) == (rate, batch)
        assert cfg.trainer.gradient_clip_val is None
    assert cvae.refine.preset == "unidexgrasp"
