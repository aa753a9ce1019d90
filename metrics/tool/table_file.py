"""A table as a file, `table.json`, the source of all numbers in the docs (`experiments/reports/publish.py`)."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "table.json"
_HERE = Path(__file__)


Cells = Sequence[Sequence[str]]
"""Text of each row; an interval goes below its number, on a second line."""


def write_table(
    folder: Path, title: str, headings: Sequence[str], cells: Cells, data: str, seeds: Sequence[int | None] = ()
) -> Path:
    """Writes a table with the command and version that made it into a folder, created if absent; returns the file.

    Line breaks in headings become blanks; `data` names the data measured or tested on, and contains "demo data" for
    demo data; `seeds` are of the runs, if any.
    """
    content = {
        "title": title,
        "data": data,
        "seeds": sorted({seed for seed in seeds if seed is not None}),
        "command": command_line(sys.argv),
        "made_at": version(),
        "headings": [" ".join(heading.split()) for heading in headings],
        "cells": [list(row) for row in cells],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def command_line(argv: Sequence[str]) -> str:
    """The command as typed in the repository: `dexzoo table4 ...`, `python experiments/run.py ...`."""
    program = Path(argv[0])
    script = ["python", f"{program.parent.name}/{program.name}"] if program.suffix == ".py" else [program.name]
    return shlex.join([*(["dexzoo"] if program.parts[-2:] == ("dexzoo", "__main__.py") else script), *argv[1:]])


def version() -> str | None:
    """The commit of the code, with "-dirty" if tracked files differ from it; None for an installed wheel."""
    code = source()
    return None if code["commit"] is None else f"{code['commit'][:7]}{'-dirty' * bool(code['dirty'])}"


def source(file: Path = _HERE) -> dict[str, Any]:
    """`commit` of the checkout in which a source file is tracked, and `dirty`, whether it has changes. Both are None
    for an installed wheel, even one inside another project's checkout.
    """
    tracked = _git(file, "ls-files", "--error-unmatch", file.name)
    commit = _git(file, "rev-parse", "HEAD") if tracked else None
    changes = _git(file, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(file: Path, *command: str) -> str | None:
    """Output of git in the folder of a file; None if it fails or git is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(file.parent), *command], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
