"""Progress of slow work: what is being done, how much of it is finished, and for how long it has been running.

Library code announces its work with `tracked` or `working`, and prints nothing. A command shows what is announced
inside `shown()`: bars on a terminal; otherwise a line at the start and one at the end of work that takes long.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

LONG = 10.0
"""Seconds after which work is reported when standard error is not a terminal."""

_Item = TypeVar("_Item")


class Work:
    """A piece of work in progress; this base class does not show it."""

    def advance(self, count: int = 1) -> None:
        """Counts further parts as done."""

    def note(self, text: str) -> None:
        """Says in a few words which part is being done now."""

    def end(self, whole: bool) -> None:
        """Ends the work: finished, or stopped early."""


class Screen:
    """Shows work on a console; processes forked from this one show nothing.

    Args:
        console: where to print; bars need a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._process = os.getpid()
        self._bars: Progress | None = None
        self._open = 0

    def begin(self, what: str, total: int | None) -> Work:
        """Shows another piece of work, below those that it is part of."""
        if os.getpid() != self._process:
            return Work()
        if not self.console.is_terminal:
            return _Lines(self.console, what, total)
        if self._bars is None:
            self._bars = _bars(self.console)
            self._bars.start()
        self._open += 1
        return _Bar(self, self._bars, what, total)

    def ended(self) -> None:
        """Notes that a piece of work ended; after the last one the bars are removed."""
        self._open -= 1
        if self._open == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None


class _Bar(Work):
    def __init__(self, screen: Screen, bars: Progress, what: str, total: int | None) -> None:
        self._screen, self._bars, self._what = screen, bars, what
        self._task = bars.add_task(_plain(what), total=total)

    def advance(self, count: int = 1) -> None:
        self._bars.advance(self._task, count)

    def note(self, text: str) -> None:
        self._bars.update(self._task, description=_plain(f"{self._what}: {text}"))

    def end(self, whole: bool) -> None:
        self._bars.remove_task(self._task)
        self._screen.ended()


class _Lines(Work):
    def __init__(self, console: Console, what: str, total: int | None) -> None:
        self._console, self._what, self._total, self._done = console, what, total, 0
        self._since = time.monotonic()
        self._timer = threading.Timer(LONG, self._begun)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, count: int = 1) -> None:
        self._done += count

    def end(self, whole: bool) -> None:
        self._timer.cancel()
        seconds = time.monotonic() - self._since
        if seconds >= LONG:
            how = "done in" if whole else "stopped after"
            self._say(f"{self._what}: {how} {seconds:.0f} s")

    def _begun(self) -> None:
        count = "" if self._total is None else f", {self._done} of {self._total} after {LONG:.0f} s"
        self._say(f"{self._what}{count} ...")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Count(ProgressColumn):
    """Column "done/total"."""

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


_screen: Screen | None = None


@contextmanager
def shown(console: Console | None = None, speaks: bool = True) -> Iterator[None]:
    """Shows the work that is announced inside; within another `shown`, the outer one continues.

    Args:
        console: where to print; by default standard error.
        speaks: false for a process that leaves reporting to another one.
    """
    global _screen
    if _screen is not None:
        yield
        return
    _screen = Screen(console or Console(stderr=True)) if speaks else None
    try:
        yield
    finally:
        _screen = None


def begin(what: str, total: int | None = None) -> Work:
    """Announces work that does not end with a block; the caller has to call `end`. See `working`."""
    return Work() if _screen is None else _screen.begin(what, total)


@contextmanager
def working(what: str, total: int | None = None) -> Iterator[Work]:
    """Announces work that is done inside the block.

    Args:
        what: the work in a few words: "decomposing mug".
        total: number of parts; None where they are not counted.

    Yields:
        The work, on which to call `advance` for each part that is done.
    """
    work, whole = begin(what, total), False
    try:
        yield work
        whole = True
    finally:
        work.end(whole)


def tracked(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Passes the items through and announces how many are done.

    Args:
        items: each is a part of the work, done when the next one is asked for.
        what: as for `working`.
        total: number of items, if they have no length.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with working(what, total) as work:
        for item in items:
            yield item
            work.advance()


def _bars(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), _Count(), TimeElapsedColumn(), TimeRemainingColumn())
    on_terminal = sys.stdout.isatty()  # otherwise redirected output would go to the terminal
    return Progress(*columns, console=console, transient=True, redirect_stdout=on_terminal)


def _plain(text: str) -> str:
    """The text without markup: a name may contain brackets."""
    return text.replace("[", "\\[")
