"""The doctor's command: `dexzoo doctor data=grab data.root=PATH [--out DIR]`, or `dexzoo doctor grasps=PATH`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from ...files.errors import DataError, UnknownName
from ...hands.errors import HandError
from ..download.guides import GUIDES
from ..roots import find_root, variable
from .grasp_file import look_at_grasps
from .report import print_visit
from .sets import SETS
from .sheet import PIXELS, draw_sheet
from .visit import EXAMINED, visit


def consult(settings: Sequence[str], out: Path) -> bool:
    """Examines a data set, prints the findings, draws a sheet of samples in `out`; whether the data exist and are
    healthy. With grasps=PATH, and hand=NAME, looks at a file of grasps of any format instead.

    `settings` are KEY=VALUE, see `read_settings`. Raises DataError or HandError for wrong ones.
    """
    given = {key: value for key, _, value in (setting.partition("=") for setting in settings)}
    if "grasps" in given and given.keys() <= {"grasps", "hand"}:
        return look_at_grasps(given["grasps"], given.get("hand", "shadow"), Console())
    name, hand, options = read_settings(settings)
    if "root" in SETS[name].keys:
        options["root"] = find_root(name, options.get("root", os.environ.get(variable(name))))
    module = SETS[name].make(hand, options)
    console = Console()
    try:
        with _readers_quiet():
            found = visit(SETS[name], module, EXAMINED)
    except (DataError, HandError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return False
    sheet = None
    if found.examined is not None and found.measures is not None:
        sheet = out / f"doctor_{name}.png"
        title = f"{found.title}: {found.dataset.items} spread over all"
        draw_sheet(sheet, found.examined, found.measures, found.dataset.expected, title, PIXELS)
    print_visit(found, console, sheet)
    return found.healthy


@contextmanager
def _readers_quiet() -> Iterator[None]:
    """Suppresses warnings of the readers, which are in the report."""
    logger = logging.getLogger("dexzoo")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def read_settings(settings: Sequence[str]) -> tuple[str, str | None, dict[str, Any]]:
    """Name of the data set, hand (None if not given), and options of the reader.

    Settings are "data=grab", "data.root=PATH", "hand=mano", as for `dexzoo run`; values are YAML. Raises DataError
    without "=" or `data=`, UnknownName, which gives the nearest, for an unknown data set or key.
    """
    name, hand, options = None, None, {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise DataError(f"{setting}: expected KEY=VALUE, found no '='; for example data=grab data.root=PATH")
        if key.startswith("data."):
            options[key.removeprefix("data.")] = _value(key, text)
        elif key == "data":
            name = text
        elif key == "hand":
            hand = text
        else:
            raise UnknownName("setting", key, ("data", "data.root", "hand", "grasps"))
    if name is None:
        raise DataError(f"data: expected data={'|'.join(SETS)}, found only {' '.join(settings)}")
    if name not in SETS:
        raise UnknownName("data", name, SETS)
    return name, hand, options


def _value(key: str, text: str) -> Any:
    if key in ("data.root", "data.models"):
        return text  # a path may look like a number
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{key}: expected a value in YAML, found {text!r}") from error


def print_guides() -> None:
    """Prints how to get each data set, its licence, and the expected tree."""
    texts = [dataset.guide() for dataset in SETS.values()] + [GUIDES["mano"].text()]
    print("\n\n".join(texts))
    print("\nthen run dexzoo doctor data=NAME data.root=PATH, or data.root=demo to see it at work")
