"""A table as a file, `table.json`, the source of all numbers in the docs (`experiments/reports/publish.py`)."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "table.json"
_HERE = Path(__file__)


def write_table(
    folder: Path,
    title: str,
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    data: str,
    seeds: Sequence[int | None] = (),
) -> Path:
    """Writes a table, and the command and version that made it.

    Args:
        folder: it is made.
        title: of the table.
        headings: of the columns; line breaks become blanks.
        cells: text, a row for each line of the table; an interval below a number is on a second line.
        data: what was measured or tested on; it says "demo data" where it is.
        seeds: of the runs, where there are any.

    Returns:
        The file.
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
    """The command as it is typed in the repository: `dexzoo table4 ...`, `python experiments/run.py ...`."""
    program = Path(argv[0])
    if program.parts[-2:] == ("dexzoo", "__main__.py"):
        name = "dexzoo"
    elif program.suffix == ".py":
        name = f"python {program.parent.name}/{program.name}"
    else:
        name = program.name
    return shlex.join([*shlex.split(name), *argv[1:]])


def version() -> str | None:
    """The commit of the code, with "-dirty" where tracked files differ from it; None for an installed wheel."""
    code = source()
    return None if code["commit"] is None else f"{code['commit'][:7]}{'-dirty' * bool(code['dirty'])}"


def source(file: Path = _HERE) -> dict[str, Any]:
    """`commit` of the checkout that a file of the code is tracked in, and whether it has changes: `dirty`.

    Both are None for an installed wheel, also where that lies inside the checkout of something else.
    """
    tracked = _git(file, "ls-files", "--error-unmatch", file.name)
    commit = _git(file, "rev-parse", "HEAD") if tracked else None
    changes = _git(file, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(file: Path, *command: str) -> str | None:
    """What git says in the folder of a file; None where it fails or there is none."""
    try:
        done = subprocess.run(["git", "-C", str(file.parent), *command], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
