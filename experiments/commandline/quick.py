"""Answers of `dexzoo run` at once: its help, and names that are misspelt.

Both come from the YAML files, before torch, Lightning and Hydra are imported, which takes seconds. What is not found
wrong here may still be: Hydra looks at everything.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from ...files.names import nearest
from .help import CONF, choices, choices_of, groups_of, help_text
from .settings import wants_help

_ELSEWHERE = ("--config", "-cn", "-cp", "-cd", "--hydra-help", "--shell", "-sc", "--info", "-i", "hydra.searchpath")
"""Arguments that say where other names may come from, or ask for something else."""
_PAIR = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
_Content = dict[str, Any]


def answered(arguments: Sequence[str]) -> int | None:
    """Prints the help, or the mistake in a name, and returns the status of the program, 0 or 1; None where there is a
    run to begin.
    """
    if wants_help(arguments):
        print(help_text(arguments))
        return 0
    problem = None if os.environ.get("HYDRA_FULL_ERROR") == "1" else mistake(arguments)
    if problem is None:
        return None
    print(problem, file=sys.stderr)
    return 1


def mistake(arguments: Sequence[str]) -> str | None:
    """The message about the first group's choice, or else the first key, that there is not; None where all are there.
    What is more than GROUP=CHOICE and KEY=VALUE is left to Hydra.
    """
    if any(argument.startswith(_ELSEWHERE) for argument in arguments):
        return None
    config = (CONF / "config.yaml").read_text(encoding="utf-8")
    groups = groups_of(config)
    pairs = [(match[1], match[2]) for argument in arguments if (match := _PAIR.fullmatch(argument))]
    for group, choice in pairs:
        known = choices(group) if group in groups and group != "recipe" else []  # a recipe may be absent, see below
        if known and re.fullmatch(r"[\w-]+", choice) and choice not in (*known, "null"):
            return unknown(f"{group}={choice}", f"no such choice of {group!r}", choice, known)
    content = composed(config, arguments)
    known = [*all_groups(), *dotted(content)]
    added = tuple(argument.lstrip("+").partition("=")[0] for argument in arguments if argument.startswith("+"))
    for key, _ in pairs:
        if key not in known and not key.startswith(("hydra.", *added)) and not _within_interpolation(content, key):
            return unknown(key, "no such key in the config", key, known)
    chosen = choices_of(config, arguments)
    recipes = [choice for group, choice in pairs if group == "recipe" and re.fullmatch(r"\w+", choice)]
    return next(filter(None, (recipe_problem(name, chosen["model"], chosen["data"]) for name in recipes)), None)


def recipe_problem(name: str, model: str, data: str) -> str | None:
    """The message about a recipe that there is not: Hydra passes over it, as most models have none for most data."""
    known = choices("recipe")
    if name in known or name == f"{model}_{data}":
        return None
    return f"recipe={name}: expected one of {', '.join(known)}, found none of that name"


def unknown(what: str, problem: str, name: str, known: Iterable[str]) -> str:
    """The message about a name that there is not, with the nearest one that there is."""
    names = list(known)
    match = nearest(name, names)
    hint = f"; did you mean {match}?" if match else ""
    few = f"there are {', '.join(names)}" if len(names) <= 30 else "all keys: dexzoo run --cfg job"
    return f"{what}: {problem}{hint}; {few}"


def all_groups() -> list[str]:
    """All groups, those too that only files choose from."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name[:2] != "__")


def composed(config: str, arguments: Sequence[str]) -> _Content:
    """The keys of a run, as Hydra composes them from the text `config` of conf/config.yaml and the choices among the
    arguments; values stay as they are written in the files.
    """
    whole: _Content = {}
    _merge(whole, _without_defaults(_read(config))[1])
    for group, choice in choices_of(config, arguments).items():
        if choice != "null":
            _add(whole, group, choice, None)
    whole.pop("hydra", None)
    return whole


def dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """All keys, with those around them."""
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")


def _add(whole: _Content, group: str, choice: str, package: str | None) -> None:
    """Merges a file, and those that its list of defaults includes, at its place."""
    text = (CONF / group / f"{choice}.yaml").read_text(encoding="utf-8")
    place = package or ("_global_" if text.startswith("# @package _global_") else group)
    defaults, content = _without_defaults(_read(text))
    for item in defaults:
        if isinstance(item, dict):
            ((name, chosen),) = item.items()
            other, _, where = name.lstrip("/").partition("@")
            if not name.startswith("override "):
                _add(whole, other, chosen, where or None)
        elif item != "_self_":
            _add(whole, group, item, place)
    _merge(whole if place == "_global_" else whole.setdefault(place, {}), content)


def _read(text: str) -> _Content:
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}


def _without_defaults(content: _Content) -> tuple[list[Any], _Content]:
    return content.pop("defaults", []), content


def _merge(into: _Content, content: _Content) -> None:
    for key, value in content.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _within_interpolation(content: _Content, key: str) -> bool:
    """Whether a key lies in what the files take from elsewhere, ${...}, where Hydra has to look."""
    node: Any = content
    for part in key.split("."):
        if isinstance(node, str):
            return node.startswith("${")
        node = node.get(part) if isinstance(node, dict) else None
    return False
