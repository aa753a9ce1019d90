"""run.log: the losses of each epoch, the final table, and what ended a run early, with its traceback."""

import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.console import Console
from torch import Tensor

from ...metrics.tables import TextTable
from ..commandline.errors import RunError
from ..commandline.explain import USER_ERRORS
from . import tracking
from .folders import LAST, discard, is_unused

NAME = "run.log"
_log = logging.getLogger("dexzoo.run_log")  # conf/hydra/job_logging: into the file alone
_WAIT = 5.0
"""Seconds that a further process gives the first one to tell of an error that both have."""


class Stopped(BaseException):
    """A run that a signal ended; its text says how to go on."""

    def __init__(self, by: signal.Signals, hint: str) -> None:
        super().__init__(f"stopped by {'Ctrl-C' if by == signal.SIGINT else by.name}; {hint}")
        self.status = 128 + by


class RunLog(L.Callback):
    """Writes the losses and metrics of each epoch.

    A run has `begun` when a batch was trained on or tested; one that ends earlier has nothing to leave behind.
    """

    def __init__(self) -> None:
        self.begun = False
        self._since = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.begun = True

    def on_test_batch_end(self, *_: Any) -> None:
        self.begun = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.monotonic()

    @rank_zero_only
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seconds = time.monotonic() - self._since
        where = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}, step {trainer.global_step}"
        _log.info("%s, %.1f s: %s", where, seconds, _numbers(trainer.callback_metrics))


def note(text: str) -> None:
    """Writes a line into run.log and nowhere else."""
    if rank_zero_only.rank == 0:
        _log.info("%s", text)


def note_table(table: TextTable) -> None:
    """Writes a table into run.log."""
    page = StringIO()
    Console(file=page, width=200, highlight=False).print(table)
    note(f"\n{page.getvalue().rstrip()}")


@contextmanager
def recorded(folder: Path, log: RunLog, runs: Path) -> Iterator[None]:
    """Around a run in its folder, as Hydra made it, below that of all runs: what ends it early is told once and goes
    into run.log; one that has not begun leaves no folder.

    Raises Stopped in place of a signal, and RunError in place of what no command or data can cause.
    """
    fresh = is_unused(folder)
    try:
        yield
    except SIGTERMException as error:
        raise Stopped(signal.SIGTERM, _leave(folder, fresh, log, runs)) from error
    except KeyboardInterrupt as error:
        raise Stopped(signal.SIGINT, _leave(folder, fresh, log, runs)) from error
    except Exception as error:
        tracking.finish(failed=True)
        if rank_zero_only.rank and _told_by_first(folder, error):
            raise SystemExit(1) from error
        if fresh and not log.begun and isinstance(error, USER_ERRORS):
            _leave(folder, fresh, log, runs)
            raise
        _log.error("%s", error, exc_info=error)
        if isinstance(error, USER_ERRORS):
            raise
        raise RunError(f"{type(error).__name__}: {error} (the traceback is in {folder / NAME})") from error


@contextmanager
def interruptible(trainer: L.Trainer) -> Iterator[None]:
    """Around the work of a trainer: Lightning ends the program at Ctrl-C, with a status of its own; KeyboardInterrupt
    is raised in its place.
    """
    try:
        yield
    except SIGTERMException:
        raise
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from error


def _leave(folder: Path, fresh: bool, log: RunLog, runs: Path) -> str:
    """Takes a folder away that nothing lies in; says how to go on with what does."""
    tracking.finish(failed=True)
    if any(folder.rglob(str(LAST))):
        return "ckpt=last goes on with this run"
    if fresh and not log.begun and rank_zero_only.rank == 0:
        _close_files()
        discard(folder, runs)
    return "it had no checkpoint yet: start it again"


def _close_files() -> None:
    for logger in (logging.getLogger(), _log):
        for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
            handler.close()
            logger.removeHandler(handler)


def _told_by_first(folder: Path, error: Exception) -> bool:
    """Whether the first process tells of the same error: in its log, or by taking the folder away."""
    text = (str(error).splitlines() or [""])[0]
    until = time.monotonic() + _WAIT
    while time.monotonic() < until:
        path = folder / NAME
        if not folder.is_dir() or (path.is_file() and text in path.read_text(encoding="utf-8", errors="replace")):
            return True
        time.sleep(0.1)
    return False


def _numbers(metrics: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {float(value):.5g}" for name, value in metrics.items() if "/" in name)
