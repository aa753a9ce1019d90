"""`dexzoo table3`, `dexzoo table4`: KEY=VALUE, the runs that a table needs, and the table of them."""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ...files.names import did_you_mean
from ..commandline.errors import RunError
from ..commandline.explain import composed
from ..commandline.settings import Table, Table3, Table4
from . import table3, table4
from .plan import Plan, PlannedRun

PREDICTOR = "contact_map"
"""Choice of conf/model that grasp models take their contact predictor from."""
_MERGES = {Table3: table3.merge_runs, Table4: table4.merge_runs}
S = TypeVar("S", bound=Table)


def make_table(kind: type[Table], arguments: Sequence[str]) -> None:
    """Makes the runs of a table where none are given, and merges them; raises as `read_settings` and `make_runs`."""
    settings = read_settings(kind, arguments)
    _MERGES[kind](settings.runs or make_runs(settings), settings)


def read_settings(kind: type[S], arguments: Sequence[str]) -> S:
    """Settings from `KEY=VALUE` as the command line has them, VALUE in YAML; a list is `[a,b]`, or one value. RunError
    for another form, an unknown key, a value of another type, or `runs` together with settings of runs to make.
    """
    types, settings, given = {f.name: str(f.type) for f in fields(kind)}, OmegaConf.structured(kind), set()
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise RunError(f"{argument}: expected KEY=VALUE")
        if key not in types:
            raise RunError(f"{key}: no such key{did_you_mean(key, types)}; there are {', '.join(types)}")
        try:
            settings = OmegaConf.merge(settings, {key: _value(text, types[key])})
        except (ValueError, YAMLError, OmegaConfBaseException) as error:
            hint = "; in a list, what holds brackets is quoted: ['a=[1,2]',b=3]" if isinstance(error, YAMLError) else ""
            raise RunError(f"{key}: expected {types[key]}, found {text or 'nothing'}{hint}") from error
        given.add(key)
    if "runs" in given and (making := given & kind.MAKING):
        raise RunError(f"runs: expected no {', '.join(sorted(making))} beside it, because no run is started")
    return kind(**OmegaConf.to_container(settings, resolve=False))  # type: ignore[arg-type]  overrides may hold ${}


def _value(text: str, kind: str) -> Any:
    """Value of the text typed for a key: an existing path as it is, else YAML; a name may look like a number.
    ValueError for an empty list, or a list of lists.
    """
    plain = "str" in kind and os.path.exists(text)  # a path may look like anything in YAML
    read: Any = {"value": text} if plain else OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    value = read["value"]
    items = value if isinstance(value, list) else [value]
    if not items or any(isinstance(item, list | dict) for item in items):
        raise ValueError
    if kind == "str" and value is not items:
        return text or None
    return items if kind.startswith("list") else value


def make_runs(settings: Table) -> list[Path]:
    """Makes the runs of all models and seeds that are not there yet, and returns their folders: OUT/MODEL/seed_SEED, or
    OUT/MODEL_ABLATION/seed_SEED. Models that take a contact predictor share one for each seed, which is trained first.
    Raises RunError as `composed` and `Plan.carry_out`.
    """
    runs: dict[str, PlannedRun] = {}
    for model in settings.models:
        predicted = lacks_a_predictor(settings.run_overrides(model, settings.seeds[0]))
        for seed in settings.seeds:
            overrides, needs = settings.run_overrides(model, seed), {}
            if predicted:
                needs[PREDICTOR] = predictor = f"{PREDICTOR}/seed_{seed}"
                shared = [override for override in settings.overrides if not override.startswith("model.")]
                own = [f"model={PREDICTOR}", f"data={settings.data}", f"seed={seed}", *shared]
                runs[predictor] = PlannedRun(predictor, own)
                overrides.append(f"contact_from={{{PREDICTOR}}}")
            name = f"{model.replace('/', '_')}/seed_{seed}"
            runs[name] = PlannedRun(name, overrides, needs)
    Plan(Path(settings.out)).carry_out([*runs.values()])
    needed = {name for run in runs.values() for name in run.needs.values()}
    return [Path(settings.out) / name for name in runs if name not in needed]


def lacks_a_predictor(overrides: Sequence[str]) -> bool:
    """Whether the network of a run takes a contact predictor and is given none."""
    cfg = composed(overrides)
    return OmegaConf.select(cfg, "model.network.contact") is not None and cfg.contact_from is None
