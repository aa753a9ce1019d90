"""What the commands that make a table of many runs share: KEY=VALUE, the runs themselves, and their settings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ...files.names import did_you_mean
from ..commandline.errors import RunError
from ..commandline.settings import Settings
from ..training.folders import discard
from .launch import launch

NOTE = "made_with.json"
"""In the folder of a run: the overrides that it is made with."""

_KINDS: dict[str, type] = {"str": str, "int": int}


S = TypeVar("S", bound=Settings)


def read_settings(kind: type[S], arguments: Sequence[str]) -> S:
    """Settings from `KEY=VALUE` as the command line has them, VALUE in YAML; a list is `[a,b]`, or one value.

    Args:
        kind: the dataclass.
        arguments: of the command line.

    Raises:
        RunError: not of that form, an unknown key, a value of another type, or `runs` together with what says how to
            make runs.
    """
    types = {f.name: str(f.type) for f in fields(kind)}
    given = dict(_parse(argument, types) for argument in arguments)
    making = given.keys() & kind.MAKING
    if "runs" in given and making:
        raise RunError(f"runs: expected no {', '.join(sorted(making))} beside it, because no run is started")
    return kind(**given)


def make_run(folder: Path, overrides: Sequence[str]) -> Path:
    """Launches a run of `run.py` and notes what it is made with; a finished run is left alone, a stopped one goes on.

    Raises:
        RunError: the note of the folder names other settings, or the run failed.
    """
    note, wanted = folder / NOTE, list(overrides)
    before = json.loads(note.read_text()) if note.is_file() else wanted
    if before != wanted:
        changed = " ".join(sorted(set(before) ^ set(wanted)))
        raise RunError(f"{folder}: expected a run with these settings, found one with others ({changed}); set out=...")
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(wanted) + "\n")
    try:
        return launch(wanted, folder)
    except RunError:
        note.unlink()
        discard(folder, folder.parents[1])  # where the run left nothing, another one may take its place
        if folder.is_dir():
            note.write_text(json.dumps(wanted) + "\n")
        raise


def _parse(argument: str, types: dict[str, str]) -> tuple[str, Any]:
    """A key and its value; raises as `read_settings`."""
    key, equals, text = argument.partition("=")
    if not equals:
        raise RunError(f"{argument}: expected KEY=VALUE")
    if key not in types:
        raise RunError(f"{key}: no such key{did_you_mean(key, types)}; there are {', '.join(types)}")
    if types[key] in ("str", "list[str]") and os.path.exists(text):
        return key, text if types[key] == "str" else [text]  # a path may look like anything in YAML
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = str(error).splitlines()[0]
        raise RunError(f"{key}: expected a value, or a list [A,B], in YAML, found {text}: {why}") from error
    if types[key] == "str" and not isinstance(value, list | dict | str):
        value = text  # a name that looks like a number or a date
    return key, _typed(key, value, types[key])


def _typed(key: str, value: Any, kind: str) -> Any:
    """The value, where it is of the kind that the field says."""
    item = _KINDS[kind.removeprefix("list[").removesuffix("]")]
    values = value if kind.startswith("list") and isinstance(value, list) else [value]
    if not values or any(type(x) is not item for x in values):
        raise RunError(f"{key}: expected {kind}, found {value!r}")
    return values if kind.startswith("list") else value
