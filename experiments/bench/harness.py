"""The harness of all benchmarks: `dexzoo bench NAME [--quick] [--json FILE]`.

A benchmark is a file `experiments/bench/NAME.py` with `rows(quick: bool) -> list[dict]`; every row has the keys `case`,
`ours_ms`, `peer` (what it is compared with) and `peer_ms`, medians of one run; `ratio` = peer_ms / ours_ms. A suite may
take `root`, a folder of data; rows with a count of something beside the time (`grasps`, `faces`) are drawn by `--plot`.
"""

import importlib
import inspect
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ...files.names import did_you_mean
from ...metrics.tables import Text, TextTable, console
from ...metrics.tool.table_file import write_table
from ..training.provenance import cpu_name
from . import names

KEYS = ("case", "ours_ms", "peer", "peer_ms", "ratio")
COUNTS = ("grasps", "faces", "clips")
"""Keys of rows that belong to a series: the time by a count."""


def measure(name: str, quick: bool, **options: Any) -> dict[str, Any]:
    """Runs one benchmark, on one thread: `benchmark`, `machine` and `rows`, ready for JSON.

    `options` are further arguments of the suite's `rows`. Raises ValueError for no such benchmark, an option that it
    does not have, or rows that lack a key.
    """
    if name not in names():
        known = ", ".join(names())
        raise ValueError(f"benchmark: expected one of {known}, found {name!r}{did_you_mean(name, names())}")
    torch.set_num_threads(1)  # with more, a busy machine turns the ratios into noise
    suite = importlib.import_module(f"dexzoo.experiments.bench.{name}")
    for option in set(options) - set(inspect.signature(suite.rows).parameters):
        raise ValueError(f"--{option}: the benchmark {name!r} does not have this option")
    return {"benchmark": name, "machine": machine(), "rows": [complete(row) for row in suite.rows(quick, **options)]}


def complete(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its ratio, the five keys first; raises ValueError where a key is missing."""
    missing = [key for key in KEYS if key not in row and key != "ratio"]
    if missing:
        raise ValueError(f"row {row.get('case')!r}: expected the keys {', '.join(KEYS[:-1])}, found no {missing[0]!r}")
    ratio = None if row["peer_ms"] is None else row["peer_ms"] / row["ours_ms"]
    return {**{key: row[key] for key in KEYS[:-1]}, "ratio": ratio, **{k: v for k, v in row.items() if k not in KEYS}}


def machine() -> dict[str, Any]:
    """Machine and versions that the times depend on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    about = {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}
    about |= {"system": f"{platform.system()} {platform.machine()}"}
    return {**about, "python": platform.python_version(), "torch": torch.__version__}


def text_lines(result: Mapping[str, Any]) -> Text:
    """Headings and cells of the table as text."""
    extra = list(dict.fromkeys(key for row in result["rows"] for key in row if key not in KEYS))
    cells = [[_cell(row.get(key)) for key in (*KEYS, *extra)] for row in result["rows"]]
    return ["case", "ours (ms)", "peer", "peer (ms)", "ratio", *extra], cells


def title_of(result: Mapping[str, Any]) -> str:
    """The benchmark and its machine."""
    about = result["machine"]
    where = f"{about['gpu'] or about['cpu']}, {about['threads']} threads, torch {about['torch']}"
    return f"{result['benchmark']}: {where}"


def growth_plot(result: Mapping[str, Any], path: Path) -> None:
    """Milliseconds against each count that the rows have, both logarithmic: a straight line at slope 0 costs the same.
    Raises ValueError where no row has a count.
    """
    rows = result["rows"]
    counts = [key for key in dict.fromkeys(key for row in rows for key in row) if key in COUNTS]
    if not counts:
        raise ValueError(f"--plot: no row of {result['benchmark']!r} has a count to draw the times against")
    figure = Figure(figsize=(5 * len(counts), 3.5), layout="tight")
    for ax, count in zip(np.atleast_1d(figure.subplots(1, len(counts))), counts, strict=True):
        counted = [row for row in rows if count in row]
        for case in dict.fromkeys(row["case"] for row in counted):
            points = [(row[count], row["ours_ms"]) for row in counted if row["case"] == case]
            ax.loglog(*zip(*points, strict=True), "o-", label=case)
        ax.set(xlabel=count, ylabel="ms", ylim=(0.1, 1000))
        ax.legend()
    figure.savefig(path, dpi=120)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def bench(name: str, quick: bool, out: Path | None, plot: Path | None, numbers: Path | None, **options: Any) -> None:
    """Runs a benchmark, see `measure`, and prints its table; writes `table.json` into `out`, a picture of how the cost
    grows to `plot`, see `growth_plot`, and the rows to the JSON file `numbers`.
    """
    result = measure(name, quick, **options)
    about = "medians of one run; ratio = peer / ours"
    console().print(TextTable(title_of(result), about, *text_lines(result), left=(0, 2)))
    if out:
        write_table(out, title_of(result), *text_lines(result), str(options.get("root", "generated")))
    if plot:
        growth_plot(result, plot)
    if numbers:
        numbers.write_text(json.dumps(result, indent=1) + "\n")
