"""Clocks, memory and rows of all benchmarks."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def row(case: str, ours_ms: float, peer: str | None = None, peer_ms: float | None = None, **more: Any) -> Row:
    """A row of a suite, as `harness` takes it; `more` are columns of its own."""
    return {"case": case, "ours_ms": ours_ms, "peer": peer, "peer_ms": peer_ms, **more}


def once_ms(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call, milliseconds."""
    start = clock()
    function()
    return 1e3 * (clock() - start)


def median_ms(function: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median time of a call, milliseconds; where there are several, one before them fills caches and is not counted."""
    if repeats > 1:
        function()
    return statistics.median(once_ms(function, clock) for _ in range(repeats))


def printed_by(code: str) -> list[str]:
    """Lines that Python code prints in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def peak_mb() -> float:
    """Largest resident memory of this process, MB; only on Linux. Writing 5 to /proc/self/clear_refs resets it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
