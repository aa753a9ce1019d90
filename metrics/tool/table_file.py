"""A table as a file, `table.json`, from which the documentation takes its numbers (`experiments/publish.py`)."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FILE = "table.json"
_ROOT = Path(__file__).parents[2]


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
    """The command as one types it in the repository, `python experiments/run.py ...`, `python -m dexzoo.metrics ...`."""
    program = Path(argv[0])
    if program.name == "__main__.py" and program.absolute().is_relative_to(_ROOT):
        name = f"python -m dexzoo.{'.'.join(program.absolute().relative_to(_ROOT).parts[:-1])}"
    elif program.suffix == ".py":
        name = f"python {program.parent.name}/{program.name}"
    else:
        name = program.name
    return shlex.join([*shlex.split(name), *argv[1:]])


def version() -> str | None:
    """The commit of the repository, with "-dirty" where tracked files differ from it; None outside of one."""
    here = ["git", "-C", str(_ROOT)]
    try:
        top, commit, changed = (
            subprocess.run([*here, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (
                ["rev-parse", "--show-toplevel"],
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}{'-dirty' * bool(changed)}" if Path(top) == _ROOT.resolve() else None
