"""Changes the numeric code one line at a time and sees whether the tests notice: what they let pass, they do not test.

    python -m tests.mutants                            # all of them, about 20 minutes on two cores
    python -m tests.mutants --only 'q1*' 'ball query'  # some of them, by name or pattern
    python -m tests.mutants --room metrics --jobs 1

The changes are in `mutants.txt`. Each is made in a copy of the tree, never in the tree itself; the tests named for it
have to pass before it and to fail after it. One that they let pass, or on which they run out of time, is an error.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".txt")
ROOMS = tuple(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "dexzoo")
HEAVY = ("torch", "lightning", "torchmetrics", "trimesh", "mujoco", "hydra", "pytorch_kinematics", "scipy.spatial")
"""Imported once, before the processes of the tests are forked off: they cost more than most tests."""
PASSED, FAILED, BROKEN = 0, 1, 3
"""Exit codes of pytest; all but the first two mean that no test was run, and are errors here."""
BEFORE = "unchanged"


@dataclass(frozen=True)
class Mutant:
    """A change of one place.

    Attributes:
        name: unique.
        file: relative to the root.
        tests: files (or pytest's names of tests in them), one of which has to fail.
        old: text that is there exactly once.
        new: text that takes its place.
        equal: why it makes no difference; empty for a change that a test has to notice.
    """

    name: str
    file: str
    tests: tuple[str, ...]
    old: str
    new: str
    equal: str = ""

    def changed(self, text: str) -> str:
        """The text of the file after the change.

        Raises:
            ValueError: the old text is not in it exactly once.
        """
        if (times := text.count(self.old)) != 1:
            raise ValueError(
                f"{LIST.name}: {self.name}: expected {self.old!r} once in {self.file}, found {times} times"
            )
        return text.replace(self.old, self.new)


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """The changes of a file, whose first lines say how it is written."""
    mutants, file, tests = [], "", ()
    for line in path.read_text().splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "==":
            file, _, names = (part.strip() for part in rest.partition("|"))
            tests = tuple(names.split())
        elif mark == "-":
            mutants[-1] = replace(mutants[-1], old=rest)
        elif mark == "+":
            mutants[-1] = replace(mutants[-1], new=rest)
        elif mark == "=":
            mutants[-1] = replace(mutants[-1], equal=rest)
        elif line and mark != "#":
            mutants.append(Mutant(line, file, tests, "", ""))
    return mutants


@dataclass(frozen=True)
class Verdict:
    """What the tests of a mutant said.

    Attributes:
        outcome: "killed" as it should be, "survived", "too slow", or "broken": no test could run; "passed" or "failed"
            without a change.
        seconds: that they took.
        log: what they printed.
    """

    outcome: str
    seconds: float
    log: str


class Bench:
    """A copy of the tree, in which one change at a time is tried.

    Args:
        folder: where the copy goes.
        cache: a filled cache of generated data; every trial starts from it, because a changed generator would leave
            wrong entries under the right keys.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.tree, self.cache, self.log, self.fresh = folder / "tree", cache, folder / "log.txt", folder / "cache"
        ignored = shutil.ignore_patterns("__pycache__", ".*", "outputs", "runs", "wandb")
        shutil.copytree(ROOT, self.tree, ignore=ignored)
        for room in ROOMS:  # found as `dexzoo.ROOM` before those that are installed
            (self.tree / "dexzoo" / room).symlink_to(Path("..", room))

    def start(self, tests: Sequence[str], mutant: Mutant | None) -> BaseProcess:
        """Runs tests in a process of their own, with a change or with none."""
        shutil.rmtree(self.fresh, ignore_errors=True)
        if mutant is not None:
            shutil.copytree(self.cache, self.fresh, copy_function=os.link)  # entries are replaced, never written into
            self._write(mutant, mutant.changed((ROOT / mutant.file).read_text()))
        cache = self.cache if mutant is None else self.fresh
        process = mp.get_context("fork").Process(target=_run_tests, args=(self.tree, list(tests), cache, self.log))
        process.start()
        return process

    def restore(self, mutant: Mutant) -> None:
        """Takes a change back."""
        self._write(mutant, (ROOT / mutant.file).read_text())

    def _write(self, mutant: Mutant, text: str) -> None:
        path = self.tree / mutant.file
        path.unlink()  # a new file has a new time, so no old bytecode is taken for it
        path.write_text(text)


def _run_tests(tree: Path, tests: list[str], cache: Path, log: Path) -> None:
    """Ends this process with pytest's exit code, or with another one where the tests do not run."""
    code = BROKEN
    try:
        code = _tested(tree, tests, cache, log)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what is loaded is not torn down: it takes a second


def _tested(tree: Path, tests: list[str], cache: Path, log: Path) -> int:
    os.setsid()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(tree)
    os.environ |= {"DEXZOO_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "dexzoo")]:
        del sys.modules[name]
    where = Path(import_module("dexzoo.geometry").__file__ or "").absolute()
    if not where.is_relative_to(tree):
        raise RuntimeError(f"expected dexzoo of the copy {tree}, found {where}")
    import pytest

    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", "--disable-warnings"]
    return int(pytest.main([*tests, *options]))


def judge(code: int | None, changed: bool) -> str:
    """The outcome of a trial from the exit code of its tests; None for those that ran out of time."""
    if code is None:
        return "too slow"
    if code not in (PASSED, FAILED):
        return "broken"
    passed, failed = ("survived", "killed") if changed else ("passed", "failed")
    return passed if code == PASSED else failed


def run(mutants: Sequence[Mutant], jobs: int, limit: float, console: Console) -> dict[str, Verdict]:
    """Tries the changes, `jobs` at a time, after the tests of all of them have passed without any.

    Raises:
        SystemExit: they do not pass.
    """
    for name in HEAVY:
        import_module(name)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, auto_refresh=False)  # a thread that draws would be forked half way
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch, bar:
        cache = Path(scratch, "cache")
        cache.mkdir()
        benches = [Bench(Path(scratch, str(k)), cache) for k in range(jobs)]
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        shares = {f"{BEFORE} {k + 1}": tests[k::jobs] for k in range(min(jobs, len(tests)))}
        before = _Work(benches, 30 * limit, bar, bar.add_task("unchanged", total=len(shares)))
        before.all([_Trial(name, share, None) for name, share in shares.items()])
        wrong = [verdict for verdict in before.verdicts.values() if verdict.outcome != "passed"]
        if wrong:
            sys.exit("the tests do not pass without any change:\n" + "\n".join(v.log[-3000:] for v in wrong))
        work = _Work(benches, limit, bar, bar.add_task("mutants", total=len(mutants)))
        work.all([_Trial(mutant.name, mutant.tests, mutant) for mutant in mutants])
    return work.verdicts


@dataclass(frozen=True)
class _Trial:
    name: str
    tests: Sequence[str]
    mutant: Mutant | None


class _Work:
    """Keeps all benches busy."""

    def __init__(self, benches: Sequence[Bench], limit: float, bar: Progress, task: TaskID) -> None:
        self.benches, self.limit, self.bar, self.task = benches, limit, bar, task
        self.verdicts: dict[str, Verdict] = {}

    def all(self, trials: Sequence[_Trial]) -> None:
        """Runs the trials; those that run are ended with this process."""
        waiting, running = list(trials), {}
        try:
            while waiting or running:
                for bench in self.benches:
                    if bench not in running and waiting:
                        trial = waiting.pop(0)
                        running[bench] = (trial, bench.start(trial.tests, trial.mutant), time.monotonic())
                time.sleep(0.1)
                for bench, (trial, process, started) in list(running.items()):
                    seconds = time.monotonic() - started
                    if not process.is_alive() or seconds > self.limit:
                        self._end(bench, trial, process, seconds)
                        del running[bench]
                self.bar.refresh()
        finally:
            for _, process, _ in running.values():
                os.killpg(process.pid or 0, signal.SIGKILL)

    def _end(self, bench: Bench, trial: _Trial, process: BaseProcess, seconds: float) -> None:
        slow = process.is_alive()
        if slow:
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        log = bench.log.read_text(errors="replace") if bench.log.exists() else ""
        verdict = Verdict(judge(None if slow else process.exitcode, trial.mutant is not None), seconds, log)
        self.verdicts[trial.name] = verdict
        if trial.mutant is not None:
            bench.restore(trial.mutant)
        if verdict.outcome not in ("killed", "passed"):
            self.bar.console.print(f"[bold red]{trial.name}: {verdict.outcome}[/]")
        self.bar.advance(self.task)


def table(mutants: Sequence[Mutant], verdicts: dict[str, Verdict]) -> Table:
    """One row per mutant."""
    rows = Table("mutant", "file", "outcome", "s", "by")
    for mutant in mutants:
        verdict = verdicts[mutant.name]
        colour = "green" if verdict.outcome == "killed" else "bold red"
        by = [line.split()[1].split("::")[-1] for line in verdict.log.splitlines() if line.startswith("FAILED ")]
        outcome = f"[{colour}]{verdict.outcome}[/]"
        rows.add_row(mutant.name, mutant.file, outcome, f"{verdict.seconds:.0f}", by[0] if by else "")
    return rows


def chosen(only: Sequence[str], rooms: Sequence[str]) -> list[Mutant]:
    """Mutants whose name fits one of the patterns and whose file is in one of the rooms; none given means all.

    Raises:
        SystemExit: a pattern fits none.
    """
    every = [mutant for mutant in read_mutants() if not mutant.equal]
    for pattern in only:
        if not any(fnmatch(mutant.name, pattern) for mutant in every):
            sys.exit(f"--only: expected names of mutants or patterns of them, found {pattern!r}, which fits none")
    named = [m for m in every if not only or any(fnmatch(m.name, pattern) for pattern in only)]
    return [m for m in named if not rooms or m.file.split("/")[0] in rooms]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; 1 if a mutant lives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names of mutants, or patterns of them")
    parser.add_argument("--room", nargs="+", default=[], choices=ROOMS, help="mutants of these folders")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--limit", type=float, default=120.0, metavar="SECONDS", help="for the tests of one mutant")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", "MPLBACKEND": "Agg"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it ends its tests and clears up, as for Ctrl-C
    mutants, console = chosen(options.only, options.room), Console()
    verdicts = run(mutants, options.jobs, options.limit, console)
    console.print(table(mutants, verdicts))
    alive = [name for name, verdict in verdicts.items() if verdict.outcome != "killed"]
    for name in alive:
        console.print(f"[bold red]{name}: {verdicts[name].outcome}[/]\n{verdicts[name].log[-1500:]}", highlight=False)
    console.print(f"{len(mutants) - len(alive)} of {len(mutants)} killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
