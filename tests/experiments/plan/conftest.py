"""Runs that cost nothing, for the tests of what starts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dexzoo.experiments.plan import plan


class Launched(dict[Path, list[str]]):
    """Stands for the processes of runs: what each was started with, by its folder.

    Attributes:
        work: done by a run that is given its folder and overrides; returns its exit status.
        locks: what the last one holds.
    """

    work: Callable[[Path, list[str]], int] = staticmethod(lambda folder, words: finish(folder))

    def start(self, command: list[str], pass_fds: list[int]) -> Launched:
        """In place of `subprocess.Popen`."""
        *words, last = command[2:]
        self.locks, self.last = pass_fds, Path(last.removeprefix("hydra.run.dir=").strip('"'))
        self[self.last] = words
        return self

    def wait(self) -> int:
        """Of a process."""
        return self.work(self.last, self[self.last])


def finish(folder: Path, text: str = "{}") -> int:
    """What a run leaves that ends well."""
    (folder / plan.DONE).write_text(text)
    return 0


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    runs = Launched()
    monkeypatch.setattr(plan.subprocess, "Popen", runs.start)
    return runs
