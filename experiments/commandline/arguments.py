"""Checks of a command line before anything is made: the spelling of its values, and their kind.

Hydra reads values by a grammar of its own, in which `mug (1).obj` is none: what is refused and yet an existing path
gets the quotes that it lacks.
"""

import inspect
import os
import shlex
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .errors import RunError
from .quick import recipe_problem

_MULTIRUN = {"-m", "--multirun"}
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("seed", "n"), (int,)),
    **dict.fromkeys(("temperature",), (float,)),
    **dict.fromkeys(("train", "measure"), (bool,)),
    **dict.fromkeys(("hand", "name", "runs", "monitor"), (str,)),
    **dict.fromkeys(("ckpt", "init_from", "official_weights", "contact_from"), (Path, type(None))),
    **dict.fromkeys(("grasps", "mesh"), (Path, type(None))),
    **{"object": (Path, list, type(None)), "object_scale": (float, str)},
}
"""Of the keys that belong to no class of Python."""
_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", Path: "a path", list: "a list"}
_WORDS |= {dict: "a mapping", type(None): "null"}
_TYPES: dict[type, Any] = {float: int | float, str: str | int | float, Path: str, list: ListConfig, dict: DictConfig}
"""Types of the config that a kind takes, where it takes others than itself."""


def quoted(arguments: Sequence[str]) -> list[str]:
    """The arguments, with quotes around the values that Hydra would not take for the existing path that they are."""
    sweeps = bool(_MULTIRUN & set(arguments))
    return [_quoted(argument, sweeps) for argument in arguments]


def override(key: str, value: object) -> str:
    """KEY=VALUE that Hydra reads as this text."""
    plain = _parsed(f"{key}={value}")
    is_text = plain is not None and not plain.is_sweep_override() and plain.value() == str(value)
    return f"{key}={value if is_text else _in_quotes(str(value))}"


def how_to_quote(argument: str) -> str:
    """KEY=VALUE with quotes for Hydra and, around them, for the shell."""
    key, _, value = argument.partition("=")
    return shlex.quote(f"{key}={_in_quotes(value)}")


def _quoted(argument: str, sweeps: bool) -> str:
    key, _, value = argument.partition("=")
    if argument.startswith("-") or not value or not os.path.exists(value):
        return argument
    parsed = _parsed(argument)
    if parsed is None or (parsed.is_sweep_override() and not sweeps) or isinstance(parsed.value(), list | dict):
        return f"{key}={_in_quotes(value)}"
    return argument


def _parsed(argument: str) -> Override | None:
    """An argument as Hydra reads it; None where it cannot."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _in_quotes(text: str) -> str:
    """In the quotes that it holds none of; backslashes count only before a quote."""
    mark = "'" if '"' in text else '"'
    inner = text.replace(mark, f"\\{mark}")
    return mark + inner + ("\\" if inner.endswith("\\") else "") + mark


def check_kinds(cfg: DictConfig) -> None:
    """Compares the values of the command line with what takes them, the annotations of the classes or `_KINDS`;
    RunError, which names the key, for a value of another kind.
    """
    groups = HydraConfig.get().runtime.choices
    check_recipe(groups)
    for given in HydraConfig.get().overrides.task:
        key, _, text = given.lstrip("+~").partition("=")
        if key not in groups and "@" not in key:
            check_kind(cfg, key, text)


def check_recipe(chosen: Mapping[str, str]) -> None:
    """Refuses a recipe that is none, see `recipe_problem`."""
    if problem := recipe_problem(chosen["recipe"], chosen["model"], chosen["data"]):
        raise RunError(problem)


def check_kind(cfg: DictConfig, key: str, text: str) -> None:
    """Checks one key, whose value was written as `text`; raises as `check_kinds`."""
    try:
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException:  # what cannot be resolved is told where it is used
        return
    kinds = _KINDS.get(key) or kinds_of(cfg, key)
    if not kinds or any(_fits(value, kind) for kind in kinds):
        return
    expected = " or ".join(_WORDS[kind] for kind in kinds if kind is not dict or len(kinds) == 1)
    found = "a list" if isinstance(value, ListConfig) else "a mapping" if isinstance(value, DictConfig) else repr(value)
    hint = f"; a path is quoted twice: {how_to_quote(f'{key}={text}')}" if Path in kinds else ""
    raise RunError(f"{key}: expected {expected}, found {found}{hint}")


def kinds_of(cfg: DictConfig, key: str) -> tuple[type, ...]:
    """Kinds of `_WORDS` that the argument of a key may have; nothing where its annotation says more than that."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else None
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if not target:
        return ()
    try:
        hint = next(_annotations(hydra.utils.get_object(target), name), Any)
    except (HydraException, NameError, TypeError, AttributeError, ImportError):
        return ()
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [_kind(option) for option in options]
    return () if None in kinds else tuple(dict.fromkeys(kind for kind in kinds if kind))


def _annotations(target: Callable[..., Any], name: str) -> Iterator[Any]:
    """Of an argument: of a function, or of a class and, where it hands arguments on, of those that it inherits from."""
    makers = [target] if not inspect.isclass(target) else [vars(c).get("__init__") for c in target.__mro__]
    for maker in makers:
        if inspect.isfunction(maker) and name in inspect.signature(maker).parameters:
            yield typing.get_type_hints(inspect.unwrap(maker)).get(name, Any)


def _kind(option: Any) -> type | None:
    """One of `_WORDS`; None for what a config does not spell out."""
    if option in _WORDS:
        return option
    origin = typing.get_origin(option)
    kind = origin if inspect.isclass(origin) else option
    if not inspect.isclass(kind) or kind in (object, Any):  # Any is a class from Python 3.11 on
        return None
    if issubclass(kind, Sequence):
        return list
    return dict  # also of what makes an object of another class


def _fits(value: Any, kind: type) -> bool:
    return isinstance(value, _TYPES.get(kind, kind)) and not (kind in (int, float) and isinstance(value, bool))
