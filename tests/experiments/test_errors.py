"""Mistakes on the command line end with one message that says what to type instead."""

import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from dexzoo.experiments import errors, run


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Runs a command that must fail, and returns what it printed."""

    def command(*args: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["run.py", *args])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        with pytest.raises(SystemExit) as stop:
            run.main()
        assert stop.value.code == 1
        return capsys.readouterr().err

    yield command
    GlobalHydra.instance().clear()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("trainer.max_epoch=3", "trainer.max_epoch: no such key in the config; did you mean trainer.max_epochs?"),
        ("max_epochs=3", "max_epochs: no such key in the config; did you mean trainer.max_epochs?"),
        ("modle=linear", "modle: no such key in the config; did you mean model?"),
        ("sed=1", "sed: no such key in the config; did you mean seed?"),
        ("model=motionet", "model=motionet: no such choice of 'model'; did you mean motionnet?"),
        ("data=reeldex", "data=reeldex: no such choice of 'data'; did you mean realdex?"),
        (
            "+trainer.max_epoch=3",
            "Trainer takes no such argument; did you mean max_epochs?",
        ),
        ("references=[timmed]", "model=timmed: no such choice of 'model'; did you mean timed?"),
        ("ckpt=last", "ckpt=last: expected a run of the name 'motionnet_demo' with a last.ckpt"),
        ("trainer.accelerator=gqu", "gqu"),
        ("seed=[1", "seed=[1: not of the form KEY=VALUE: no viable alternative"),
    ],
)
def test_wrong_argument(refused, argument, message):
    text = refused(argument)
    assert message in text
    assert "Traceback" not in text


def test_nearest_key_is_looked_for_with_the_choices_of_the_command(refused):
    assert "did you mean data.n_folds?" in refused("data=realdex", "data.n_fold=3")


def test_sweep_over_processes_is_refused(refused):
    text = refused("--multirun", "trainer=ddp", "seed=0,1")
    assert "--multirun with trainer.strategy=ddp: expected one process per run of a sweep" in text


def test_a_bug_keeps_its_traceback(monkeypatch):
    @errors.plain_errors
    def main() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        main()


def test_full_error_on_request(monkeypatch):
    @errors.plain_errors
    def main() -> None:
        raise ValueError("message")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="message"):
        main()


def test_nearest():
    assert errors.nearest("optimiser.lr", ["model.optimizer.lr", "model.loss"]) == "model.optimizer.lr"
    assert errors.nearest("xyz", ["model", "data"]) is None
