"""Says in plain words what is wrong with a command: no traceback for a mistake of the user."""

from __future__ import annotations

import functools
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..datamodules.errors import DatasetNotFound
from ..datamodules.grasps import GraspDataModule
from ..datamodules.roots import TREES, variable
from ..files.names import nearest
from ..geometry.progress import shown
from ..models.grasp.task import NoContactPredictor
from ..models.pace import OtherTraining
from ..models.task import WrongData
from .arguments import how_to_quote

USER_ERRORS = (ValueError, FileNotFoundError, ImportError, HydraException, OmegaConfBaseException)
"""What a command, config, data or machine can cause; everything else is a bug and keeps its traceback."""

_CONF = Path(__file__).parent / "conf"
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
    """The message of an error in the terms of the command line.

    Args:
        error: what was raised.
        overrides: the arguments of the command.
    """
    for cause in _causes(error):
        if isinstance(cause, DatasetNotFound):
            return cause.short
        if isinstance(cause, OverrideParseException):
            return _unreadable(str(cause.override), str(cause).splitlines()[0])
        if match := re.search(r"Ambiguous value for argument '(.*)'", str(cause)):
            key = match[1].partition("=")[0]
            return (
                f"{key}: expected one value, found several; as text it is quoted twice: {how_to_quote(match[1])}, a "
                f"list is {key}=[A,B], and --multirun makes a run for each"
            )
        if isinstance(cause, MissingConfigException) and "/" in str(cause.missing_cfg_file):
            group, _, choice = str(cause.missing_cfg_file).rpartition("/")
            return _unknown(f"{group}={choice}", f"no such choice of {group!r}", choice, choices(group))
        if match := re.search(r"Could not override '([^']+)'", str(cause)):
            return _unknown(match[1], "no such key in the config", match[1], known_keys(overrides))
    if match := re.search(r"raised while resolving interpolation: (.*?)(\n +full_key|$)", str(error), re.DOTALL):
        return match[1]
    if isinstance(error, InstantiationException | OmegaConfBaseException):
        inner = [cause for cause in _causes(error) if not isinstance(cause, HydraException | OmegaConfBaseException)]
        return _bad_argument(error, inner[-1]) or _with_key(error, str(inner[-1])) if inner else str(error)
    return str(error)


@contextmanager
def keyed(cfg: DictConfig) -> Iterator[None]:
    """Around a run: arguments that an error of the library names become the keys of the config that they came from.

    An argument belongs to the object that raised, or to the nearest one that called it, of those that the config
    makes; else to the only one of data, model and trainer that has such an argument. `name:` at the beginning, `name=`
    and the name in back quotes are arguments, and Python's values are written as the command line's.
    """
    try:
        yield
    except USER_ERRORS as error:
        for cause in _causes(error):
            frames = [frame for frame, _ in walk_tb(cause.__traceback__)]
            speaks_of_keys = frames[-1].f_globals["__name__"].startswith((__package__, "__main__"))
            if not speaks_of_keys and len(cause.args) == 1 and isinstance(cause.args[0], str):
                translate = _Keys(cfg, frames)
                cause.args = (translate(cause.args[0]) + _advice(cause, cfg),)
                if isinstance(cause, DatasetNotFound):
                    cause.short = translate(cause.short) + _advice(cause, cfg)
        raise


class _Keys:
    """Puts keys in the place of arguments.

    Args:
        cfg: the composed config.
        frames: of the calls that led to the error, the innermost last.
    """

    def __init__(self, cfg: DictConfig, frames: Sequence[FrameType]) -> None:
        self.top = [str(key) for key in cfg]
        self.nodes = [*_nodes(OmegaConf.to_container(cfg, resolve=False))]
        callers = [frame.f_locals.get("self") for frame in reversed(frames)]
        self.near = [node for caller in callers for node in self.nodes if node.made(caller)]

    def __call__(self, text: str) -> str:
        text = re.sub(r"^[\w.]+(, \w+)*(?=: )", lambda m: re.sub(r"(?<!\.)\b\w+", self._lead, m[0]), text)
        text = re.sub(r"`(\w+)`", lambda m: self.key(m[1]) if self.key(m[1]) != m[1] else m[0], text)
        return re.sub(r"(?<![\w.`/-])(\w+)=(?:'([^']*)'|(None|True|False)\b)?", self._setting, text)

    def _lead(self, match: re.Match[str]) -> str:
        return self.key(match[0])

    def key(self, name: str) -> str:
        """The key of an argument; the name itself where that is not known."""
        for node in self.near:
            if name in node.arguments:
                return node.key(name)
        parts = [node for node in self.nodes if node.where.split(".")[0] in ("data", "model", "trainer")]
        found = {node.key(name) for node in parts if name in node.arguments}
        return found.pop() if len(found) == 1 and name not in self.top else name

    def _setting(self, match: re.Match[str]) -> str:
        key = self.key(match[1])
        if key == match[1] and key not in self.top:
            return match[0]
        return f"{key}={match[2] or {'None': 'null', 'True': 'true', 'False': 'false', None: ''}[match[3]]}"


@dataclass(frozen=True)
class _Node:
    """A part of the config that makes an object: its own key, what it calls, and its settings as written."""

    where: str
    target: Any
    settings: Mapping[str, Any]

    @property
    def arguments(self) -> set[str]:
        parameters = inspect.signature(self.target).parameters if callable(self.target) else {}
        return {*self.settings, *parameters}

    def made(self, caller: Any) -> bool:
        return isinstance(self.target, type) and isinstance(caller, self.target)

    def key(self, name: str) -> str:
        """Where an argument is set: it may be handed down from another place, as `${hand}`."""
        above = re.fullmatch(r"\$\{(\w+)\}", str(self.settings.get(name)))
        return above[1] if above else f"{self.where}.{name}"


def _nodes(settings: Any, where: str = "") -> Iterator[_Node]:
    if not isinstance(settings, dict):
        return
    if target := settings.get("_target_"):
        module, _, name = target.rpartition(".")
        yield _Node(where, getattr(sys.modules.get(module), name, None), settings)
    for key, value in settings.items():
        yield from _nodes(value, f"{where}.{key}".lstrip("."))


def _advice(error: BaseException, cfg: DictConfig) -> str:
    """What a command could say instead, of which the library knows nothing."""
    if isinstance(error, DatasetNotFound):
        kind = hydra.utils.get_class(cfg.data._target_)
        tree = "data.root=demo for a generated tree, " if kind.dataset in TREES else ""
        return f"; or set {variable(kind.dataset)}, {tree}or data=demo{'_grasps' * issubclass(kind, GraspDataModule)}"
    if isinstance(error, WrongData):
        targets = {
            path.stem: OmegaConf.select(OmegaConf.load(path), "_target_")
            for path in sorted((_CONF / "data").glob("*.yaml"))
        }
        fit = [n for n, name in targets.items() if name and issubclass(hydra.utils.get_class(name), error.expected)]
        return f"; there are data={', '.join(fit)}"
    if isinstance(error, OtherTraining):
        return "; that is init_from=RUN"
    if isinstance(error, NoContactPredictor):
        return (
            "; train one with model=contact_map and set contact_from=RUN, or run experiment=grasp_generation, which "
            "does both"
        )
    return ""


def choices(group: str) -> list[str]:
    """The choices of a config group."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def known_keys(overrides: Sequence[str]) -> list[str]:
    """All groups and dotted keys there are with the choices of a command, those of its overrides that are right."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = loader.list_groups("")
        chosen = [o for o in overrides if o.split("=")[0] in groups]
        try:
            cfg = hydra.compose("config", chosen)
        except HydraException:
            cfg = hydra.compose("config")
    return [*groups, *_dotted(cfg)]


def _unknown(what: str, problem: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    match = nearest(name, names)
    hint = f"; did you mean {match}?" if match else ""
    few = f"there are {', '.join(names)}" if len(names) <= 30 else "all keys: dexzoo run --cfg job"
    return f"{what}: {problem}{hint}; {few}"


def _unreadable(argument: str, why: str) -> str:
    """An argument that Hydra's grammar refuses."""
    key, equals, value = argument.partition("=")
    if not equals:
        return f"{argument}: expected KEY=VALUE"
    return (
        f"{key}: expected a value that Hydra can read, found {value!r}, of which no file or folder has the name "
        f"({why}); text with such signs is quoted twice: {how_to_quote(argument)}"
    )


def _bad_argument(error: BaseException, inner: BaseException) -> str | None:
    unexpected = re.search(r"unexpected keyword argument '([^']+)'", str(inner))
    target = re.search(r"target '([^']+)'", str(error))
    node = re.search(r"full_key: (\S+)", str(error))
    if not (unexpected and target):
        return None
    known = list(inspect.signature(hydra.utils.get_object(target[1])).parameters)
    prefix = f"{node[1]}." if node else ""
    return _unknown(prefix + unexpected[1], f"{target[1]} takes no such argument", unexpected[1], known)


def _with_key(error: BaseException, text: str) -> str:
    """The text; what Lightning says of its trainer does not name it."""
    node = re.search(r"full_key: (trainer\S*)", str(error))
    return text if node is None or node[1] in text else f"{node[1]}: {text}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _dotted(cfg: Any, prefix: str = "") -> Iterator[str]:
    if not isinstance(cfg, DictConfig):
        return
    for key in map(str, cfg):
        yield f"{prefix}{key}"
        if not OmegaConf.is_interpolation(cfg, key):
            yield from _dotted(cfg[key], f"{prefix}{key}.")
