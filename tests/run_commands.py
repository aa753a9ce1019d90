"""Runs commands `dexzoo ...` and `python ...`, one after the other, up to the first that fails; for test_docs.py.

    python run_commands.py COMMANDS.json RESULTS.jsonl

Each has a process of its own, a fork of this one, which has imported torch, Hydra and Lightning: that takes longer than
most of the commands.
"""

from __future__ import annotations

import json
import os
import runpy
import shlex
import sys
import time
import traceback
from pathlib import Path

import dexzoo.experiments.run  # noqa: F401
from dexzoo.experiments.cli import main as main_of_dexzoo


def run(line: str) -> None:
    """Runs `dexzoo VERB ...`, `python FILE ...` or `python -m MODULE ...` in this process."""
    program, *words = shlex.split(line, comments=True)
    sys.path.insert(0, "")
    if program == "dexzoo":
        sys.argv = [program, *words]
        sys.exit(main_of_dexzoo())
    if program != "python":
        raise ValueError(f"expected a command `dexzoo ...` or `python ...`, found {line}")
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def in_a_fork(line: str, said: Path) -> int:
    """The status of a command, whose output goes to a file."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file, status = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 0
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        run(line)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        print("" if stop.code is None else stop.code)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    os._exit(status)


def main(commands: Path, results: Path) -> None:
    """Writes a line of JSON for each command: line, status, seconds, said."""
    with results.open("w") as file:
        for line in json.loads(commands.read_text()):
            start, said = time.monotonic(), results.with_suffix(".txt")
            status = in_a_fork(line, said)
            row = {"line": line, "status": status, "seconds": time.monotonic() - start, "said": said.read_text()}
            file.write(f"{json.dumps(row)}\n")
            file.flush()
            if status:
                break


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
