"""Every command that the README, the pages, the configs and the help show composes or parses; none is run.

Those of docs/add_a_*.md are run, see test_docs.py, and the scripts in examples/, see test_examples.py. Names that they
show, of runs and numbers of runs, are those that come out.
"""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from dexzoo.experiments import cli
from dexzoo.experiments.commandline.settings import Table3, Table4
from dexzoo.experiments.plan.sweep_file import read_sweep
from dexzoo.experiments.plan.tables import read_settings

ROOT = Path(__file__).parents[1]
CONF = ROOT / "experiments/conf"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES = {"table3": Table3, "table4": Table4}
TASKS = {"run": (), "sample": ("task=sample",), "refine": ("task=refine",)}
PLACEHOLDERS = (" ...", "GROUP=", "[--", "FILE]", "PY $", "VERB")


def shown(file: Path) -> Iterator[str]:
    """The commands in a page's bash blocks and code spans, a config's comments, the help of a verb."""
    text = file.read_text().replace("\\\n", " ")
    if file.suffix == ".md":
        if file.name.startswith("add_a_"):
            text = re.sub(r"^```\w+ ?(?!slow)\S*\n.*?^```$", "", text, flags=re.M | re.S)  # test_docs.py runs them
        yield from (" ".join(span.split()) for span in re.findall(r"(?<!`)`((?:python|dexzoo) [^`]+)`(?!`)", text))
        for block in re.findall(r"^```bash.*?\n(.*?)^```$", text, re.M | re.S):
            yield from re.findall(r"^((?:python|dexzoo) .*)$", block, re.M)
    elif file.suffix == ".yaml":
        yield from re.findall(r"^# (?:Offline: (?:\w+=\S+ )?)?(dexzoo .*?)$", text, re.M)
    else:
        yield from re.findall(r"^ +(dexzoo [a-z]\w+.*?)(?:   .*)?$", text, re.M)


FILES = [
    *PAGES,
    *sorted(CONF.rglob("*.yaml")),
    *sorted((ROOT / "experiments/sweeps").glob("*.yaml")),
    *sorted((ROOT / "experiments").rglob("*.py")),
]
COMMANDS = {
    " ".join(line.split()): str(file.relative_to(ROOT))
    for file in FILES
    for line in shown(file)
    if not any(word in line for word in PLACEHOLDERS) and not line.startswith("python examples/")
}


class Parsed(Exception):
    """Ends a program as soon as it has read its arguments."""


@pytest.fixture(scope="module", autouse=True)
def composer() -> Iterator[None]:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        yield
    HydraConfig.instance().cfg = None


def compose(overrides: list[str]) -> DictConfig:
    """The config of a run, of the first run of a sweep; everything but paths resolved."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    single = [
        f"{o.get_key_element()}={next(o.sweep_string_iterator())}" if o.is_sweep_override() else str(o.input_line)
        for o in parsed
    ]
    if not GlobalHydra.instance().is_initialized():  # tables.lacks_a_predictor composes too
        hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3")
    cfg = hydra.compose("config", [*single, "hydra.runtime.output_dir=somewhere"], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    for part in ("name", "model", "data", "trainer", "refine", "select"):
        value = cfg[part]
        if isinstance(value, DictConfig):
            OmegaConf.to_container(value, resolve=True)
    for stage in cfg.get("stages", {}).values():
        compose([text.replace("{contact_map}", "RUN") for text in stage])
    return cfg


def parsed_arguments(words: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What a program with an argparse parser makes of its arguments."""
    found: list[argparse.Namespace] = []

    def ending(parse):
        def parse_and_end(self, *args, **kwargs):
            found.append(parse(self, *args, **kwargs))
            raise Parsed

        return parse_and_end

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, ending(getattr(argparse.ArgumentParser, name)))
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(Parsed):
        cli.main(words[1:]) if words[0] == "dexzoo" else runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    return found[0]


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: f"{COMMANDS[line]}: {line}"[:110])
def test_a_command_that_is_shown_composes_or_parses(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, verb, *words = shlex.split(line, comments=True)
    monkeypatch.chdir(ROOT)
    for name in ("CONTACT_RUN", "GRASP_RUN"):  # which the lines of some sweeps set
        monkeypatch.setenv(name, "runs/some")
    if program == "python":  # run.py, whose lines are those of `dexzoo run`, or publish.py
        assert verb in ("experiments/run.py", "experiments/reports/publish.py")
        verb = Path(verb).stem
    assert verb in {*cli.VERBS, "publish"}
    if verb in TASKS:
        compose([*TASKS[verb], *(word for word in words if "=" in word and not word.startswith("--"))])
    elif verb in TABLES:
        settings = read_settings(TABLES[verb], words)
        for model in [] if settings.runs else settings.models:
            compose(settings.run_overrides(model, 0))
    elif words or verb in ("metrics", "doctor"):  # the name of a verb alone needs no arguments in a text
        start = ["experiments/reports/publish.py"] if verb == "publish" else ["dexzoo", verb]
        given = parsed_arguments([*start, *words], monkeypatch)
        if verb == "sweep":
            read_sweep(given.file, given.overrides)


def test_commands_are_found_where_there_are_some() -> None:
    assert len(COMMANDS) > 50
    for file in ("README.md", "docs/add_a_hand.md", "docs/metrics.md", "experiments/commandline/help.py"):
        assert file in COMMANDS.values()
    for word in (
        "run --help",
        "--multirun seed=0,1,2",
        "refine grasps=",
        "doctor data=",
        "sweep experiments/sweeps/goal.yaml",
    ):
        assert any(word in line for line in COMMANDS), word


def test_the_runs_that_pages_name_are_those_that_come_out() -> None:
    """`runs/NAME/...` in a page, an example or a config: NAME is what some run is called."""
    choices = [[], *([f"{x}={p.stem}"] for x in ("experiment", "task") for p in CONF.glob(f"{x}/*.yaml"))]
    names = {"NAME", *(compose(chosen).name for chosen in choices)}
    text = {file: file.read_text() for file in (*PAGES, *CONF.rglob("*.yaml"))}
    found = {(file.name, name) for file, page in text.items() for name in re.findall(r"\bruns/([\w-]+)/", page)}
    assert ("README.md", "motionnet_demo") in found
    assert {(file, name) for file, name in found if name not in names} == set()


def test_the_size_of_the_pinned_experiment_is_what_the_texts_say() -> None:
    params = OmegaConf.load(CONF / "experiment/motionnet_demo.yaml").hydra.sweeper.params
    seeds, ablations = len(str(params.seed).split(",")), len(params.ablation.split(","))
    said = [text for file in FILES for text in re.findall(r"\d+ seeds x \d+ ablations", file.read_text())]
    assert said == [f"{seeds} seeds x {ablations} ablations"] * 2  # the page of runs and help
    assert f"One of the {seeds * ablations} runs" in (CONF / "experiment/motionnet_demo.yaml").read_text()
