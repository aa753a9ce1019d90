"""Reads sweep files, which are in W&B's format, for runs without W&B."""

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from ..commandline.errors import RunError
from ..commandline.explain import composed

_ARGS = "${args_no_hyphens}"
_PROGRAM = ("${env}", "${interpreter}", "${program}")
_METHODS = ("grid", "random", "bayes")


@dataclass(frozen=True)
class Sweep:
    """Content of a sweep file."""

    name: str
    metric: str
    """Key of a run's metrics.json, or METHOD/REFINE/METRIC of its summary."""
    maximize: bool
    fixed: tuple[str, ...]
    """Overrides of every run."""
    search: Mapping[str, Any]
    """`method`, `metric` and `parameters` as the package `sweeps` takes them."""

    @property
    def swept(self) -> list[str]:
        """Keys that differ between runs."""
        return [key for key, spec in self.search["parameters"].items() if "value" not in spec]


def read_sweep(file: Path, extra: Sequence[str] = ()) -> Sweep:
    """Reads a sweep file and composes the configuration of its first values; `extra` are overrides of every run.

    Raises RunError for no such file, something in it that is missing or unknown, or an override that does not compose.
    """
    if not file.is_file():
        known = sorted(path.stem for path in (Path(__file__).parents[1] / "sweeps").glob("*.yaml"))
        raise RunError(f"{file}: expected a sweep file, found nothing; experiments/sweeps holds {', '.join(known)}")
    try:
        data = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise RunError(f"{file}: expected YAML: {error}") from error
    missing = {"method", "metric", "parameters", "command"} - set(data if isinstance(data, Mapping) else ())
    if missing:
        raise RunError(f"{file}: expected the keys method, metric, parameters, command, found no {sorted(missing)}")
    if data["method"] not in _METHODS:
        raise RunError(f"{file}: method: expected one of {', '.join(_METHODS)}, found {data['method']!r}")
    search = {key: data[key] for key in ("method", "metric", "parameters")}
    if problems := load_engine().schema_violations_from_proposed_config(search):
        raise RunError(f"{file}: expected a sweep in W&B's format: {'; '.join(problems)}")
    metric, specs = data["metric"], data["parameters"].items()
    fixed = (*_fixed(file, data["command"]), *extra)
    sweep = Sweep(data.get("name", file.stem), metric["name"], metric.get("goal") == "maximize", fixed, search)
    first = {k: spec.get("value", spec.get("values", [spec.get("min", spec.get("mu"))])[0]) for k, spec in specs}
    try:
        composed([*fixed, *as_overrides(first)])
    except RunError as error:
        raise RunError(f"{file}: {error}") from error
    return sweep


def _fixed(file: Path, command: Sequence[str]) -> list[str]:
    """The overrides of a command between the program and the parameters."""
    if tuple(command[:3]) != _PROGRAM or command[-1] != _ARGS:
        raise RunError(f"{file}: command: expected {' '.join(_PROGRAM)} ... {_ARGS}, found {' '.join(command)}")
    for name in re.findall(r"\$\{envvar:(\w+)\}", " ".join(command)):
        if not os.environ.get(name):
            raise RunError(f"{file}: {name}: expected this environment variable, found none; set {name}=...")
    return [re.sub(r"\$\{envvar:(\w+)\}", lambda match: os.environ[match[1]], part) for part in command[3:-1]]


def as_overrides(parameters: Mapping[str, Any]) -> list[str]:
    """KEY=VALUE of each parameter, as Hydra reads it."""
    return [f"{key}={x if isinstance(x, str) else json.dumps(x)}" for key, x in parameters.items()]


def parameters_of(sweep: Sweep, overrides: Sequence[str]) -> dict[str, Any]:
    """The parameters among overrides, as Hydra reads them."""
    given = OverridesParser.create().parse_overrides([*overrides])
    return {o.key_or_group: o.value() for o in given if o.key_or_group in sweep.search["parameters"]}


def load_engine() -> Any:
    """The package `sweeps`; raises ImportError where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is older than the pydantic that it runs on
            import sweeps

            # Without the package, Python takes the folder experiments/sweeps for it, in which there is nothing.
            sweeps.next_run  # noqa: B018
    except (ImportError, AttributeError) as error:
        raise ImportError('a sweep needs the package sweeps: pip install "dexzoo[sweep]"') from error
    return sweeps
