"""What slow work says, to whom, and when."""

import io
import os
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from dexzoo.geometry import progress
from dexzoo.geometry.progress import shown, tracked, working
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import load_hand
from dexzoo.metrics.columns import grasp_errors
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


@pytest.fixture
def file(monkeypatch):
    monkeypatch.setattr(progress, "LONG", 0.05)
    return Console(file=io.StringIO(), width=100)


def text(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_library_code_prints_nothing(capfd):
    for _ in tracked(range(3), "counting"):
        with working("part") as work:
            work.note("slowly")
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_what_is_done_and_how_much_of_it(terminal):
    with shown(terminal):
        for i in tracked(range(3), "measuring [1] mug"):
            with working("simulating") as work:
                work.note(f"direction {i}")
                time.sleep(0.15)
    for part in ("measuring [1] mug", "0/3", "2/3", "simulating: direction 2", "0:00:00"):
        assert part in text(terminal)
    assert "it/s" not in text(terminal)


def test_a_file_gets_a_line_at_the_start_and_one_at_the_end_of_what_takes_long(file):
    with shown(file):
        for _ in tracked(range(2), "decomposing mug"):
            time.sleep(0.15)
    assert text(file).splitlines() == [
        "decomposing mug, 0 of 2 after 0 s ...",
        "decomposing mug: done in 0 s",
    ]


def test_a_file_gets_nothing_of_what_is_quick(file, monkeypatch):
    monkeypatch.setattr(progress, "LONG", 10.0)
    with shown(file), working("decomposing mug"):
        pass
    assert text(file) == ""


def test_work_that_fails_is_not_said_to_be_done(file):
    def fail() -> None:
        with shown(file), working("decomposing mug"):
            time.sleep(0.15)
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()
    assert "decomposing mug: stopped after" in text(file)


def test_only_who_is_to_speak_does(file):
    with shown(file, speaks=False), working("decomposing mug"):
        time.sleep(0.1)
    assert text(file) == ""


def test_a_loop_that_is_left_early_ends_its_work(terminal):
    with shown(terminal):
        for i in tracked(range(100), "outer"):
            if i == 1:
                break
        assert progress._screen is not None
        assert progress._screen._bars is None


def test_a_forked_process_is_silent(file):
    with shown(file):
        child = os.fork()
        if child == 0:
            with working("in the child"):
                time.sleep(0.1)
            os._exit(0 if text(file) == "" else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.slow
def test_metrics_of_grasps_say_which_one_is_measured(terminal):
    pose = load_grasps()["mug"].pose[:1]
    grasps = PosedGrasps(
        load_hand("shadow"), pose.to("cpu", torch.float64), ObjectAsset.from_mesh(object_mesh("mug"), "mug")
    )
    with shown(terminal):
        grasp_errors(grasps, ["penetration", "six_directions"])
    assert "measuring 1 grasps of mug: penetration_cm" in text(terminal)
    assert "measuring 1 grasps of mug: six_" in text(terminal)
    assert "simulating 6 worlds" in text(terminal)


def test_no_other_module_shows_progress():
    root = Path(progress.__file__).parents[1]
    files = [file for init in root.glob("*/__init__.py") for file in init.parent.rglob("*.py")]
    assert len(files) > 100
    own = [file for file in files if "rich.progress" in file.read_text() or "tqdm" in file.read_text()]
    assert {str(file.relative_to(root)) for file in own} == {
        "geometry/progress.py",
        "datamodules/download/realdex.py",  # bytes, and their speed
    }
