"""Errors of the library in the terms of the command line: arguments become the keys that they were set by."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from ...datamodules.errors import DatasetNotFound
from ...datamodules.grasps import GraspDataModule
from ...datamodules.roots import TREES, variable
from ...models.grasp.contact.holder import NoContactPredictor
from ...models.pace import OtherTraining
from ...models.task import WrongData
from .explain import USER_ERRORS, causes

_CONF = Path(__file__).parents[1] / "conf"


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
        for cause in causes(error):
            frames = [frame for frame, _ in walk_tb(cause.__traceback__)]
            speaks_of_keys = frames[-1].f_globals["__name__"].startswith(("dexzoo.experiments", "__main__"))
            if not speaks_of_keys and len(cause.args) == 1 and isinstance(cause.args[0], str):
                translate = _Keys(cfg, frames)
                cause.args = (translate(cause.args[0]) + _advice(cause, cfg),)
                if isinstance(cause, DatasetNotFound):
                    cause.short = translate(cause.short) + _advice(cause, cfg)
        raise


class _Keys:
    """Puts keys in the place of arguments; `frames` are of the calls that led to the error, the innermost last."""

    def __init__(self, cfg: DictConfig, frames: Sequence[FrameType]) -> None:
        self.top = [str(key) for key in cfg]
        self.nodes = [*_nodes(OmegaConf.to_container(cfg, resolve=False))]
        callers = [frame.f_locals.get("self") for frame in reversed(frames)]
        self.near = [node for caller in callers for node in self.nodes if node.made(caller)]

    def __call__(self, text: str) -> str:
        text = re.sub(r"^[\w.]+(, \w+)*(?=: )", lambda m: re.sub(r"(?<!\.)\b\w+", lambda w: self.key(w[0]), m[0]), text)
        text = re.sub(r"`(\w+)`", lambda m: self.key(m[1]) if self.key(m[1]) != m[1] else m[0], text)
        return re.sub(r"(?<![\w.`/-])(\w+)=(?:'([^']*)'|(None|True|False)\b)?", self._setting, text)

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
        """The key of an argument, which may be handed down from another place, as `${hand}`."""
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
    """Keys that a command could set instead, of which the library knows nothing."""
    if isinstance(error, DatasetNotFound):
        kind = hydra.utils.get_class(cfg.data._target_)
        tree = "data.root=demo for a generated tree, " if kind.dataset in TREES else ""
        return f"; or set {variable(kind.dataset)}, {tree}or data=demo{'_grasps' * issubclass(kind, GraspDataModule)}"
    if isinstance(error, WrongData):
        files = sorted((_CONF / "data").glob("[!_]*.yaml"))
        targets = {path.stem: str(OmegaConf.select(OmegaConf.load(path), "_target_")) for path in files}
        fit = [n for n, name in targets.items() if issubclass(hydra.utils.get_class(name), error.expected)]
        return f"; there are data={', '.join(fit)}"
    if isinstance(error, OtherTraining):
        return "; that is init_from=RUN"
    if isinstance(error, NoContactPredictor):
        both = "or run experiment=grasp_generation, which does both"
        return f"; train one with model=contact_map and set contact_from=RUN, {both}"
    return ""
