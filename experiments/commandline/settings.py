"""Settings of the commands that make a table of many runs, as KEY=VALUE, and their help.

The classes are structured configs of OmegaConf. Nothing here needs it, Hydra or torch, so that help comes at once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import ClassVar


@dataclass(frozen=True)
class Table:
    """Keys of every table.

    Attributes:
        runs: folders of runs or sweeps to merge; none are started.
        data: choice of conf/data.
        models: choices of conf/model; MODEL/ABLATION is a model with a choice of conf/ablation.
        seeds: a run of each model for each.
        overrides: further KEY=VALUE of `dexzoo run`, for every run.
        out: folder of the table, and of the runs where they are made.
        MAKING: the keys that say how runs are made, which do not go with `runs`.
    """

    runs: list[str] = field(default_factory=list)
    data: str = ""
    models: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    overrides: list[str] = field(default_factory=list)
    out: str = ""

    MAKING: ClassVar[frozenset[str]] = frozenset({"data", "models", "seeds", "overrides"})

    def run_overrides(self, model: str, seed: int) -> list[str]:
        """Overrides of `dexzoo run` for one run of a model."""
        name, _, ablation = model.partition("/")
        choices = [f"model={name}", f"data={self.data}", *([f"ablation={ablation}"] if ablation else [])]
        return [*choices, f"seed={seed}", *self.overrides]


@dataclass(frozen=True)
class Table3(Table):
    """RealDex, Table 3, on your data: makes the runs that it needs and merges them, or merges runs that there are.

    dexzoo table3 data=demo_grasps models=[grasp_cvae] seeds=[0,1,2] n_samples=10
    dexzoo table3 models=[grasp_cvae,saga_grasp]   # each by its recipe for the data, conf/recipe
    dexzoo table3 runs=[runs/a,runs/b] out=table

    Attributes:
        n_samples: candidates for each test object.
        refine: choice of conf/refine; with "dexzoo" candidates are shown before and after.
        select: choice of conf/select; with "filter" also those that it keeps.
        key: metric by which the pictures are chosen.
    """

    data: str = "demo_grasps"
    models: list[str] = field(default_factory=lambda: ["grasp_cvae"])
    n_samples: int = 10
    refine: str = "dexzoo"
    select: str = "filter"
    out: str = "runs/table3"
    key: str = "sim_displacement_cm"

    MAKING: ClassVar[frozenset[str]] = Table.MAKING | {"n_samples", "refine", "select"}

    def run_overrides(self, model: str, seed: int) -> list[str]:
        """Overrides of `dexzoo run` for one run of a grasp model."""
        own = [f"refine={self.refine}", f"select={self.select}", f"model.n_samples={self.n_samples}"]
        return [*own, *super().run_overrides(model, seed)]


@dataclass(frozen=True)
class Table4(Table):
    """RealDex, Table 4, on your data: makes the runs that it needs and merges them, or merges runs that there are.

    dexzoo table4 data=demo models=[motionnet,goal] seeds=[0,1,2]
    dexzoo table4 models=[motionnet,motionnet/no_attention] overrides=[trainer.max_epochs=2]
    dexzoo table4 runs=[runs/a,runs/b] out=table base=timed

    Attributes:
        base: method that the others are tested against, as the table names it.
        key: metric by which the clips of the pictures are chosen.
        beside: trivial baselines that the pictures show with the models.
        size: width and height of one picture, pixels; 0 draws none.
    """

    data: str = "demo"
    models: list[str] = field(default_factory=lambda: ["motionnet", "goal"])
    out: str = "runs/table4"
    base: str = "motionnet"
    key: str = "mpjpe_cm"
    beside: list[str] = field(default_factory=lambda: ["timed"])
    size: int = 220


def wants_help(arguments: Iterable[str]) -> bool:
    """Whether a command line asks for help."""
    return not {"-h", "--help"}.isdisjoint(arguments)


def settings_help(kind: type[Table], program: str) -> str:
    """The help of a program as it is typed ("dexzoo table3"): purpose, examples, and every key with its default and
    meaning, from the class of its settings, whose docstring ends in the attributes that it adds.
    """
    about, made = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")[0], kind()
    meanings = dict(re.findall(r"^ +(\w+): (.*)$", f"{Table.__doc__}\n{kind.__doc__}", re.M))
    shown = [(f"{f.name}={_as_typed(getattr(made, f.name))}", meanings[f.name]) for f in fields(kind)]
    width = max(len(key) for key, _ in shown)
    keys = "\n".join(f"  {key:<{width}}  {meaning}" for key, meaning in shown)
    head = f"{program} [KEY=VALUE ...]\n\n{about.rstrip()}"
    return f"{head}\n\nKeys and their defaults; a list is [A,B], or one value\n{keys}"


def _as_typed(value: object) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
