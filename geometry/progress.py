"""Says what slow work is going on, how much of it is done, and for how long.

Library code announces its work by `tracked` or `working`, and prints nothing. A command shows what is announced inside
`shown()`: bars where standard error is a terminal; else a line at the start and one at the end of what takes long.
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
"""Seconds after which work is told of where there is no terminal."""

_Item = TypeVar("_Item")


class Work:
    """A piece of work that is under way; this one is shown to nobody."""

    def advance(self, count: int = 1) -> None:
        """So many further parts are done."""

    def note(self, text: str) -> None:
        """What of it is being done now, in a few words."""

    def end(self, whole: bool) -> None:
        """It is over; done to the end, or stopped."""


class Screen:
    """Shows work on a console, and nothing from processes that were forked off this one.

    Args:
        console: where; bars need a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._process = os.getpid()
        self._bars: Progress | None = None
        self._open = 0

    def begin(self, what: str, total: int | None) -> Work:
        """Shows a further piece of work, below those that it is a part of."""
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
        """One piece less; after the last one the bars go."""
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
    """How many of how many."""

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


_screen: Screen | None = None


@contextmanager
def shown(console: Console | None = None, speaks: bool = True) -> Iterator[None]:
    """Shows the work that is announced inside; within another `shown`, that one goes on.

    Args:
        console: where; by default standard error.
        speaks: false for a process that leaves it to another one.
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
    """Announces work whose end is not that of a block; whoever calls it calls `end`. See `working`."""
    return Work() if _screen is None else _screen.begin(what, total)


@contextmanager
def working(what: str, total: int | None = None) -> Iterator[Work]:
    """Announces work that lasts as long as the block.

    Args:
        what: is being done, in a few words: "decomposing mug".
        total: parts that it has; None where they are not counted.

    Yields:
        To be told of each part that is done.
    """
    work, whole = begin(what, total), False
    try:
        yield work
        whole = True
    finally:
        work.end(whole)


def tracked(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Hands the items on and announces how many are done.

    Args:
        items: each is a part of the work, done when the next one is asked for.
        what: as for `working`.
        total: their number, where they have no length.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with working(what, total) as work:
        for item in items:
            yield item
            work.advance()


def _bars(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), _Count(), TimeElapsedColumn(), TimeRemainingColumn())
    on_terminal = sys.stdout.isatty()  # else what is printed meanwhile would leave its file for the terminal
    return Progress(*columns, console=console, transient=True, redirect_stdout=on_terminal)


def _plain(text: str) -> str:
    """The text without markup: a name may hold brackets."""
    return text.replace("[", "\\[")
