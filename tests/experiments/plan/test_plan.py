"""Plans: what is repeated and what is not, what failed, Ctrl-C, two commands at once, and the table of all that."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.plan import plan
from dexzoo.experiments.plan.plan import Plan, PlannedRun
from dexzoo.experiments.training.folders import LAST
from tests.verbs import status_of

from .conftest import Launched, finish

A, B = PlannedRun("a/0", ["model=a"]), PlannedRun("b/0", ["model=b", "from={first}"], {"first": "a/0"})
REAL = subprocess.Popen
C = PlannedRun("c", ["model=c", "x=${y}"])


def fails(*names: str):
    return lambda folder, words: 3 if str(folder).endswith(names) else finish(folder)


def states(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Of the runs, as `dexzoo status` shows them."""
    capsys.readouterr()
    assert status_of("status", str(folder)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {words[0]: words[1] for words in lines if len(words) == 4 and words[0] != "run"}


def test_runs_are_made_in_order_and_given_the_folders_they_need(tmp_path: Path, launched: Launched) -> None:
    Plan(tmp_path).carry_out([A, B, C])
    a, b, c = (tmp_path / name for name in ("a/0", "b/0", "c"))
    assert [*launched.items()] == [(a, ["model=a"]), (b, ["model=b", f"from={a}"]), (c, ["model=c", "x=${y}"])]


def test_finished_runs_are_left_alone_and_begun_ones_go_on(tmp_path: Path, launched: Launched) -> None:
    launched.work = fails("c")
    with pytest.raises(RunError):
        Plan(tmp_path).carry_out([A, C])
    (tmp_path / "c" / LAST).parent.mkdir(parents=True)
    (tmp_path / "c" / LAST).touch()
    launched.clear()
    launched.work = fails()
    Plan(tmp_path).carry_out([A, B, C])
    assert {folder.name: words[-1] for folder, words in launched.items()} == {
        "0": f"from={tmp_path}/a/0",
        "c": "ckpt=last",
    }


def test_a_run_that_fails_is_reported_and_stops_only_those_that_need_it(
    tmp_path: Path, launched: Launched, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "[it]"  # which rich takes for a style
    launched.work = fails("a/0")
    with pytest.raises(RunError, match="2 of 3 runs failed, see above; the same command tries them again"):
        Plan(folder).carry_out([A, B, C])
    printed = capsys.readouterr().out
    assert f"failed       {folder}/a/0: the run ended with status 3; what it said is above" in printed
    assert f"failed       {folder}/b/0: not started, because it needs {folder}/a/0" in printed
    assert [*launched] == [folder / "a/0", folder / "c"]
    assert not (folder / "a").exists()  # where nothing was left
    assert states(folder, capsys) == {"a/0": "failed", "b/0": "waiting", "c": "done"}


def test_the_log_of_a_failed_run_is_named(tmp_path: Path, launched: Launched) -> None:
    launched.work = lambda folder, words: (folder / "run.log").write_text("why") and 1
    with pytest.raises(RunError, match=f"status 1; see {tmp_path}/c/run.log"):
        Plan(tmp_path).make(C)


def test_other_overrides_are_refused_by_name_once_a_run_has_begun(tmp_path: Path, launched: Launched) -> None:
    other = PlannedRun("c", ["model=c", "x=1"])
    launched.work = fails("c")
    for run in (C, other):  # it left nothing: another one may take its place
        with pytest.raises(RunError, match="status 3"):
            Plan(tmp_path).make(run)
    launched.work = fails()
    Plan(tmp_path).make(C)
    with pytest.raises(RunError, match=r"c: expected the settings it was begun with, found x=1 in place of x=\$\{y\};"):
        Plan(tmp_path).carry_out([A, other])
    assert tmp_path / "a/0" not in launched  # before anything is started


def test_other_settings_of_a_plan_are_refused(tmp_path: Path) -> None:
    Plan(tmp_path, {"method": "grid", "fixed": []})
    with pytest.raises(RunError, match=r'found method="random" in place of method="grid"; take another folder'):
        Plan(tmp_path, {"method": "random", "fixed": []})


def test_ctrl_c_ends_the_plan_and_the_run_goes_on_later(
    tmp_path: Path, launched: Launched, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(folder: Path, words: list[str]) -> int:
        (folder / LAST).parent.mkdir(parents=True)
        (folder / LAST).touch()
        return plan.STOPPED

    launched.work = stopped
    with pytest.raises(KeyboardInterrupt):
        Plan(tmp_path).carry_out([A, C])
    assert states(tmp_path, capsys) == {"a/0": "stopped", "c": "waiting"}
    launched.work = fails()
    Plan(tmp_path).carry_out([A, C])
    assert launched[tmp_path / "a/0"] == ["model=a", "ckpt=last"]
    assert states(tmp_path, capsys) == {"a/0": "done", "c": "done"}


def test_a_run_is_running_as_long_as_its_process_lives_and_made_by_one_command(
    tmp_path: Path, launched: Launched, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the command that started it was killed; a killed run is a stopped one."""
    processes = []

    def killed(folder: Path, words: list[str]) -> int:
        processes.append(REAL(["sleep", "60"], pass_fds=launched.locks))
        raise SystemExit  # the command; its run lives

    launched.work = killed
    with pytest.raises(SystemExit):
        Plan(tmp_path).make(C)
    assert states(tmp_path, capsys) == {"c": "running"}
    with pytest.raises(RunError, match="c: expected a run that no other command makes, found it running"):
        Plan(tmp_path).make(C)
    processes[0].kill()
    processes[0].wait()
    assert states(tmp_path, capsys) == {"c": "stopped"}


def test_status_adds_up_the_time_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {
        "a": {"overrides": [], "seconds": 3723.4, "began": 1.0, "status": 1},
        "b": {"overrides": [], "seconds": 0.0},
    }
    (tmp_path / plan.FILE).write_text(json.dumps({"runs": runs}))
    assert status_of("status", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "1:02:03" in printed
    assert printed.splitlines()[0] == str(tmp_path)


def test_status_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("status", str(tmp_path)) == 1
    assert "expected the runs of a table, a sweep or an experiment with stages, found none" in capsys.readouterr().err
