"""New folders, folders to continue, and what is said when there are none."""

import os

import pytest
from omegaconf import OmegaConf

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.training import folders
from dexzoo.experiments.training.folders import checkpoint_to_resume, find_checkpoint, run_folder


def _checkpoint(folder, name="last"):
    path = folder / f"checkpoints/{name}.ckpt"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_two_runs_of_the_same_second_get_two_folders(tmp_path):
    made = []
    for _ in range(3):
        made.append(run_folder(str(tmp_path), "name", None))
        os.makedirs(made[-1])
    assert len(set(made)) == 3
    assert all(folder.startswith(str(tmp_path / "name")) for folder in made)


def test_last_is_the_newest_run_of_the_name_that_holds_a_checkpoint(tmp_path):
    _checkpoint(tmp_path / "name/2026-01-01_00-00-00")
    _checkpoint(tmp_path / "name/2026-01-02_00-00-00/fold_1")
    (tmp_path / "name/2026-01-03_00-00-00").mkdir()
    _checkpoint(tmp_path / "other/2026-01-04_00-00-00")
    assert run_folder(str(tmp_path), "name", "last") == str(tmp_path / "name/2026-01-02_00-00-00")


def test_nothing_to_continue_names_the_runs_there_are(tmp_path):
    _checkpoint(tmp_path / "other/2026-01-04_00-00-00")
    with pytest.raises(RunError, match=r"ckpt=last: expected a run of the name 'name' .* there are other: set name="):
        run_folder(str(tmp_path), "name", "last")


def test_checkpoint_to_resume(tmp_path):
    last = _checkpoint(tmp_path / "run")
    assert checkpoint_to_resume(None, tmp_path / "run") is None
    assert checkpoint_to_resume("last", tmp_path / "run") == last
    assert checkpoint_to_resume("last", tmp_path / "run/fold_2") is None
    assert checkpoint_to_resume(str(tmp_path / "run"), tmp_path) == last
    assert checkpoint_to_resume(str(last), tmp_path) == last


def test_find_checkpoint_says_what_is_there_instead(tmp_path):
    _checkpoint(tmp_path / "run/fold_0", "best")
    with pytest.raises(RunError, match=r"found nothing; .* holds run"):
        find_checkpoint(tmp_path / "rum")
    with pytest.raises(RunError, match=r"expected checkpoints/best\.ckpt in it, found none; give one of .*fold_0"):
        find_checkpoint(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="the run stopped before its first checkpoint"):
        find_checkpoint(tmp_path / "empty")


@pytest.mark.parametrize(
    ("root", "name"), [("demo", "net_realdex_demo"), ("/data", "net_realdex"), (None, "net_realdex")]
)
def test_generated_data_show_in_the_name(root, name):
    cfg = OmegaConf.create({"data": {"root": root}, "name": "${run_name:net,realdex}"})
    assert cfg.name == name


def test_run_id_follows_from_the_folder(tmp_path):
    assert folders.run_id(str(tmp_path)) == folders.run_id(str(tmp_path))
    assert folders.run_id(str(tmp_path)) != folders.run_id(str(tmp_path / "b"))
    assert len(folders.run_id("runs/a")) == 8
