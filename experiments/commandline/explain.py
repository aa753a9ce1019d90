"""The mistake in a command in plain words: no traceback for a mistake of the user."""

import functools
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ...datamodules.errors import DatasetNotFound
from ...geometry.progress import shown
from .arguments import how_to_quote
from .errors import RunError
from .help import choices
from .quick import dotted, unknown

USER_ERRORS = (ValueError, FileNotFoundError, ImportError, HydraException, OmegaConfBaseException)
"""Errors that a command, config, data or machine can cause; all others are bugs and keep their traceback."""

_DEBUG = "HYDRA_FULL_ERROR"
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def plain_errors(main: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """Ends the program with one line: status 1 for `USER_ERRORS`, 130 for Ctrl-C. Shows the work that is announced.

    With HYDRA_FULL_ERROR=1 an error keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped(*args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        before = os.environ.get(_DEBUG)
        os.environ[_DEBUG] = "1"  # hydra hands exceptions on instead of printing them
        try:
            with shown(speaks=rank_zero_only.rank == 0):
                return main(*args, **kwargs)
        except USER_ERRORS as error:
            if before == "1":
                raise
            print(one_line(explain(error, sys.argv[1:])), file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("stopped by Ctrl-C; the same command starts again, or goes on where it can", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        finally:
            os.environ.pop(_DEBUG)
            os.environ.update({} if before is None else {_DEBUG: before})

    return wrapped


def one_line(text: str) -> str:
    """The lines of a text as parts of one."""
    return "; ".join(line.strip().rstrip(";") for line in text.splitlines() if line.strip())


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """The message of an error in the terms of the command line, whose arguments are given."""
    for cause in causes(error):
        if isinstance(cause, DatasetNotFound):
            return cause.short
        if isinstance(cause, OverrideParseException):
            return _unreadable(str(cause.override), str(cause).splitlines()[0])
        if match := re.search(r"Ambiguous value for argument '(.*)'", str(cause)):
            key = match[1].partition("=")[0]
            advice = f"as text it is quoted twice: {how_to_quote(match[1])}, a list is {key}=[A,B]"
            return f"{key}: expected one value, found several; {advice}, and --multirun makes a run for each"
        if isinstance(cause, MissingConfigException) and "/" in str(cause.missing_cfg_file):
            group, _, choice = str(cause.missing_cfg_file).rpartition("/")
            return unknown(f"{group}={choice}", f"no such choice of {group!r}", choice, choices(group))
        if match := re.search(r"Could not override '([^']+)'", str(cause)):
            return unknown(match[1], "no such key in the config", match[1], known_keys(overrides))
    if match := re.search(r"raised while resolving interpolation: (.*?)(\n +full_key|$)", str(error), re.DOTALL):
        return match[1]
    if isinstance(error, InstantiationException | OmegaConfBaseException):
        inner = [cause for cause in causes(error) if not isinstance(cause, HydraException | OmegaConfBaseException)]
        return _bad_argument(error, inner[-1]) or _with_key(error, str(inner[-1])) if inner else str(error)
    return str(error)


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration that a run would have; RunError, in the terms of the command line, for what no run takes."""
    try:
        with _configs():
            return hydra.compose("config", [*overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise RunError(explain(error, overrides)) from error


def _configs() -> hydra.initialize_config_module:
    """Hydra with our configs, whatever it was used for before."""
    GlobalHydra.instance().clear()
    return hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3")


def known_keys(overrides: Sequence[str]) -> list[str]:
    """All groups and dotted keys there are with the choices of a command, those of its overrides that are right."""
    with _configs():
        groups = GlobalHydra.instance().config_loader().list_groups("")
        chosen = [o for o in overrides if o.split("=")[0] in groups]
        try:
            cfg = hydra.compose("config", chosen)
        except HydraException:
            cfg = hydra.compose("config")
    return [*groups, *dotted(OmegaConf.to_container(cfg))]  # type: ignore[arg-type]  a dict, as cfg is one


def _unreadable(argument: str, why: str) -> str:
    """An argument that Hydra's grammar refuses."""
    key, equals, value = argument.partition("=")
    if not equals:
        return f"{argument}: expected KEY=VALUE"
    found = f"found {value!r}, of which no file or folder has the name ({why})"
    advice = f"text with such signs is quoted twice: {how_to_quote(argument)}"
    return f"{key}: expected a value that Hydra can read, {found}; {advice}"


def _bad_argument(error: BaseException, inner: BaseException) -> str | None:
    unexpected = re.search(r"unexpected keyword argument '([^']+)'", str(inner))
    target = re.search(r"target '([^']+)'", str(error))
    node = re.search(r"full_key: (\S+)", str(error))
    if not (unexpected and target):
        return None
    known = list(inspect.signature(hydra.utils.get_object(target[1])).parameters)
    prefix = f"{node[1]}." if node else ""
    return unknown(prefix + unexpected[1], f"{target[1]} takes no such argument", unexpected[1], known)


def _with_key(error: BaseException, text: str) -> str:
    """The text, with the key in front where Lightning speaks of its trainer without naming it."""
    node = re.search(r"full_key: (trainer\S*)", str(error))
    return text if node is None or node[1] in text else f"{node[1]}: {text}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__
