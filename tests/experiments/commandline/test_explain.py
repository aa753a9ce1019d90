"""Mistakes on the command line end with one message that says what to type instead."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from dexzoo.experiments import run
from dexzoo.experiments.commandline import explain
from dexzoo.experiments.training import run_log
from dexzoo.experiments.training.run_log import RunLog, recorded


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Runs a command that must fail, and returns what it printed."""

    monkeypatch.chdir(tmp_path)

    def command(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["run.py", *args])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        with pytest.raises(SystemExit) as stop:
            run.main()
        assert stop.value.code == 1
        return capsys.readouterr().err

    yield command
    GlobalHydra.instance().clear()


MISTAKES = [
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
    ("baselines=[timmed]", "model=timmed: no such choice of 'model'; did you mean timed?"),
    ("ckpt=last", "ckpt=last: expected a run of the name 'motionnet_demo' with a last.ckpt"),
    ("trainer.accelerator=gqu", "gqu"),
    ("seed=[1", "seed: expected a value that Hydra can read, found '[1'"),
    ("seed", "seed: expected KEY=VALUE"),
    ("seed=abc", "seed: expected an integer, found 'abc'"),
    ("seed=0,1", "seed: expected one value, found several"),
    ("recipe=goal_dmo", "recipe=goal_dmo: expected one of contact_map_demo_grasps, goal_demo, "),
    ("data.batch_size=0", "data.batch_size: expected 1 or more, found 0"),
    ("data.clips=abc", "data.clips: expected an integer, found 'abc'"),
    ("hand=shadwo", "no hand 'shadwo'; did you mean 'shadow'?"),
    ("data=unidexgrasp model=contact_map", "UniDexGrasp not found: data.root is not set; set data.root="),
    ("data=grab data.root=empty", "GRAB not found at "),
    ("data=grab data.root=empty hand=mano", "mano: expected the model file MANO_RIGHT.pkl, found neither"),
    (
        "data=multidex model=grasp_flow data.root=demo",
        "one of dexgraspnet, grab, realdex, found 'multidex'",
    ),
    ("data=realdex data.root=empty", "RealDex not found at "),
    ("ckpt=nowhere", "nowhere: expected a checkpoint or a run folder, found nothing"),
    ("ckpt=text.ckpt", "text.ckpt: expected a checkpoint of plain tensors, found another file"),
    ("init_from=empty", "empty: expected checkpoints/best.ckpt in it, found none"),
    ("train=false", "train=false: expected weights to evaluate, found none"),
    ("data=demo_grasps", "data: expected MotionDataModule for model 'motionnet', found DemoGrasps"),
    (
        "model=grasp_cvae",
        "model.network.contact: expected a trained contact predictor for 'grasp_cvae', found none",
    ),
    ("model=grasp_cvae contact_from=nowhere", "nowhere: expected a checkpoint or a run folder, found nothing"),
    (
        "official_weights=nowhere",
        "official_weights: expected a model in the published layout, contact_map_official",
    ),
    ("trainer.accelerator=gpu", "trainer: No supported gpu backend found"),
    ("task=sample", "ckpt: expected the folder of a run of a grasp model, found nothing"),
    ("task=refine grasps=[a,b]", "grasps: expected a path or null, found a list"),
    ("task=sample ckpt=empty object=empty", "empty: expected checkpoints/best.ckpt in it, found none"),
    ("task=refine", "grasps: expected a file or folder of grasps, found nothing; set grasps=PATH"),
    ("task=refine grasps=nowhere mesh=x", "nowhere: expected a file or folder of grasps, found nothing there"),
    ("--multirun seed=abc", "seed: expected an integer, found 'abc'"),
]


@pytest.mark.parametrize(
    ("argument", "message"), [*MISTAKES[::2], *(pytest.param(*case, marks=pytest.mark.slow) for case in MISTAKES[1::2])]
)
def test_wrong_arguments_end_in_one_line_and_leave_no_folder(refused, argument, message):
    Path("empty").mkdir()
    Path("text.ckpt").write_text("text")
    text = refused(*argument.split(), "logger=wandb")
    assert message in text
    assert text.count("\n") == 1 or "--multirun" in argument  # of a sweep, Hydra says which run it was
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "text.ckpt"]


def test_a_folder_with_other_things_in_it_stays(refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    refused("seed=abc", "hydra.run.dir=mine")
    assert (tmp_path / "mine/notes.txt").is_file()


def test_a_path_that_hydra_cannot_read_needs_no_quotes(refused, tmp_path):
    (tmp_path / "epoch=3 (ü).ckpt").touch()
    assert "epoch=3 (ü).ckpt: expected a checkpoint of plain tensors" in refused("ckpt=epoch=3 (ü).ckpt")
    text = refused("ckpt=epoch=4 (ü).ckpt")
    assert "ckpt: expected a value that Hydra can read" in text
    assert """text with such signs is quoted twice: 'ckpt="epoch=4 (ü).ckpt"'""" in text


def test_a_bug_in_a_run_is_one_line_and_its_traceback_is_in_the_log(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "refuse_two_weights", lambda cfg: {}["bug"])
    text = refused("name=broken")
    (log,) = (tmp_path / "runs/broken").glob("*/run.log")
    assert text.endswith(f"KeyError: 'bug' (the traceback is in {log})\n")
    assert "Traceback (most recent call last)" in log.read_text()
    assert "KeyError: 'bug'" in log.read_text()


def test_ctrl_c_before_the_run_has_begun_leaves_nothing(tmp_path, monkeypatch, capsys):
    def interrupt(cfg: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    monkeypatch.setattr(run, "refuse_two_weights", interrupt)
    with pytest.raises(SystemExit) as stop:
        run.main()
    GlobalHydra.instance().clear()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C; it had no checkpoint yet: start it again\n"
    assert not list(tmp_path.iterdir())


def test_ctrl_c_in_other_commands(capsys):
    @explain.plain_errors
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_of_two_processes_the_second_is_silent_about_what_the_first_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log.rank_zero_only, "rank", 1)
    monkeypatch.setattr(run_log, "_WAIT", 0.3)
    log = RunLog()
    with pytest.raises(ValueError, match="mine alone"), recorded(tmp_path, log, tmp_path):
        raise ValueError("mine alone")
    (tmp_path / "run.log").write_text("[ERROR] of both")
    with pytest.raises(SystemExit), recorded(tmp_path, log, tmp_path):
        raise ValueError("of both")


def test_nearest_key_is_looked_for_with_the_choices_of_the_command(refused):
    assert "did you mean data.n_folds?" in refused("data=realdex", "data.n_fold=3")


def test_sweep_over_processes_is_refused(refused):
    text = refused("--multirun", "trainer=ddp", "seed=0,1")
    assert "--multirun with trainer.strategy=ddp: expected one process per run of a sweep" in text


def test_a_bug_keeps_its_traceback(monkeypatch):
    @explain.plain_errors
    def main() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        main()


def test_full_error_on_request(monkeypatch):
    @explain.plain_errors
    def main() -> None:
        raise ValueError("message")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="message"):
        main()
