"""Many runs of `run.py` below one folder, each in a process and a folder of its own, and their state.

Finished runs are not repeated, begun ones go on from their last checkpoint, failed ones stop no other. `plan.json` says
what each is made with, how long that took and how it ended. Who makes a run holds a lock on its folder, and so does its
process: it is going on as long as either lives.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.markup import escape

from ...metrics.tables import console, new_table
from ..commandline.arguments import override
from ..commandline.errors import RunError
from ..training.folders import LAST, is_unused
from ..training.run_log import NAME as LOG

DONE, FILE = "metrics.json", "plan.json"
"""The last file of a run, and the file of a plan in its folder."""
STOPPED = 128 + signal.SIGINT
"""Exit status of a run that Ctrl-C ended."""
_RUN = Path(__file__).parents[1] / "run.py"


@dataclass(frozen=True)
class PlannedRun:
    """A run to make; its name is the path of its folder in that of the plan."""

    name: str
    overrides: Sequence[str]
    """Of the command line; {KEY} of `needs` stands for a folder."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Names of the runs that must be finished before."""


class Plan:
    """The runs in one folder, known beforehand or made one by one.

    `settings` choose the runs where their overrides do not say all; RunError for a folder that was begun with others.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        if settings is not None:
            now = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
            with _changed(folder) as content:
                _refuse_others(folder, content.setdefault("settings", now), now)

    def carry_out(self, runs: Sequence[PlannedRun]) -> None:
        """Makes runs one after the other. Raises RunError when all others are made, where some failed or need one that
        did; each has a line on the screen.
        """
        for run in runs:
            self._note(run)
        failed = []
        try:
            for run in runs:
                try:
                    self.make(run)
                except RunError as error:
                    failed.append(str(error))
        finally:
            for line in failed:
                console().print(f"[red]failed[/]       {escape(line)}", soft_wrap=True)
        if failed:
            raise RunError(f"{len(failed)} of {len(runs)} runs failed, see above; the same command tries them again")

    def make(self, run: PlannedRun) -> None:
        """Makes a run, or what is missing of it. Raises RunError where it failed, was begun with other overrides, is
        made by another command, or needs another run.
        """
        folder, folders = self.folder / run.name, {key: self.folder / name for key, name in run.needs.items()}
        if missing := [str(needed) for needed in folders.values() if not (needed / DONE).exists()]:
            raise RunError(f"{folder}: not started, because it needs {', '.join(missing)}")
        done = (folder / DONE).exists()
        console().print(f"{'done' if done else 'run':<12} {folder}", soft_wrap=True, markup=False)
        if done:
            return
        try:
            with _locked(folder) as lock:
                self._note(run)
                status = self._launch(run, folders, lock)
        except BlockingIOError as error:
            raise RunError(f"{folder}: expected a run that no other command makes, found it running") from error
        if status:
            with suppress(OSError):
                os.removedirs(folder)  # where the run left nothing
        if status == STOPPED:
            raise KeyboardInterrupt
        if status:
            said = f"see {folder / LOG}" if (folder / LOG).is_file() else "what it said is above, and it left nothing"
            raise RunError(f"{folder}: the run ended with status {status}; {said}")

    def overrides(self, name: str) -> list[str] | None:
        """Overrides of a run; None where it is not planned yet."""
        return _read(self.folder)["runs"].get(name, {}).get("overrides")

    def _note(self, run: PlannedRun) -> None:
        """Writes down what a run is to be made with, where it has not begun; raises as `make`."""
        folder, new = self.folder / run.name, {"overrides": [*run.overrides], "seconds": 0.0}
        with _changed(self.folder) as content:
            if is_unused(folder):
                content["runs"][run.name] = new
            _refuse_others(folder, content["runs"].setdefault(run.name, new)["overrides"], run.overrides)

    def _launch(self, run: PlannedRun, folders: Mapping[str, Path], lock: int) -> int:
        """Starts the process of a run and waits for its end; returns its exit status."""
        folder, words, began = self.folder / run.name, [*run.overrides], time.time()
        for key, needed in folders.items():
            words = [word.replace(f"{{{key}}}", str(needed)) for word in words]
        words += [*(["ckpt=last"] if (folder / LAST).exists() else []), override("hydra.run.dir", folder)]
        with _changed(self.folder) as content:
            content["runs"][run.name] |= {"began": began, "status": None}
        process = subprocess.Popen([sys.executable, str(_RUN), *words], pass_fds=[lock])
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # it got the signal as well, and ends its run in order
            status = STOPPED
        with _changed(self.folder) as content:
            content["runs"][run.name]["seconds"] += time.time() - began
            content["runs"][run.name]["status"] = status
        return status


def show_status(folder: Path) -> None:
    """Prints the state of the runs of the plans below a folder; raises RunError where there are none."""
    plans = sorted(file.parent for file in folder.rglob(FILE))
    if not plans:
        raise RunError(f"{folder}: expected the runs of a table, a sweep or an experiment with stages, found none")
    for plan in plans:
        table = new_table("", "")
        for heading in ("run", "state", "time", "where"):
            table.add_column(heading, overflow="fold")
        for name, entry in _read(plan)["runs"].items():
            state, where = _state(plan / name, entry), str(plan / name) if (plan / name).is_dir() else "-"
            seconds = entry["seconds"] + (time.time() - entry["began"] if state == "running" else 0.0)
            took = str(timedelta(seconds=round(seconds))) if "began" in entry else "-"
            table.add_row(name, state, took, escape(where))
        console().print(str(plan), soft_wrap=True, markup=False)
        console().print(table)


def _state(folder: Path, entry: Mapping[str, Any]) -> str:
    """Whether a run is done, running, failed, stopped or waiting."""
    if (folder / DONE).exists():
        return "done"
    if "began" not in entry:
        return "waiting"
    if entry["status"] is None and folder.is_dir():  # it was killed, or is not at its end
        try:
            with _locked(folder):
                return "stopped"
        except BlockingIOError:
            return "running"
    return "stopped" if entry["status"] in (None, STOPPED) else "failed"


@contextmanager
def _locked(folder: Path, wait: int = fcntl.LOCK_NB) -> Iterator[int]:
    """Makes a folder and holds the lock on it; gives its descriptor. BlockingIOError: another command holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | wait)
        yield lock
    finally:
        os.close(lock)


@contextmanager
def _changed(folder: Path) -> Iterator[dict[str, Any]]:
    """The notes of a plan, to be changed."""
    with _locked(folder, wait=0):
        content = _read(folder)
        yield content
        part = folder / f".{FILE}"
        part.write_text(json.dumps(content, indent=1) + "\n")
        part.replace(folder / FILE)


def _read(folder: Path) -> dict[str, Any]:
    file = folder / FILE
    return json.loads(file.read_text()) if file.is_file() else {"runs": {}}


def _refuse_others(folder: Path, before: Sequence[str], now: Sequence[str]) -> None:
    """Refuses settings that a folder was not begun with, naming the difference."""
    old, new = (" ".join(x for x in one if x not in other) for one, other in ((before, now), (now, before)))
    if old or new:
        found = f"found {new or 'nothing'} in place of {old or 'nothing'}"
        raise RunError(f"{folder}: expected the settings it was begun with, {found}; take another folder, or these")
