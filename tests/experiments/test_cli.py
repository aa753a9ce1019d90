"""`dexzoo VERB`: every verb, light help, mistakes, and `dexzoo run`, which is experiments/run.py."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from dexzoo.experiments import cli
from dexzoo.experiments.commandline import help as run_help
from dexzoo.experiments.commandline.settings import Table3, Table4, settings_help
from dexzoo.experiments.commands import run
from tests.verbs import status_of

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "experiments/commands"
HEAVY = ("torch", "lightning", "hydra", "omegaconf", "numpy")
LIGHT = """
import json, sys
from dexzoo.experiments.cli import VERBS, main
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
said = {}
for words in [(), ("--help",), ("--version",), ("tabel3",), ("model=goal",), *((verb, "--help") for verb in VERBS)]:
    text = StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        try:
            status = main(words)
        except SystemExit as stop:
            status = stop.code
    said[" ".join(words)] = [status, text.getvalue(), [name for name in sys.argv[1:] if name in sys.modules]]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, list]:
    """Status, text and the heavy packages imported of every help, in a process that has imported nothing else."""
    program = [sys.executable, "-c", LIGHT, *HEAVY]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "100"})
    return json.loads(done.stdout)


def test_help_and_mistakes_need_no_heavy_package(said: dict[str, list]) -> None:
    assert len(said) == 5 + len(cli.VERBS)
    assert {words: heavy for words, (_, _, heavy) in said.items() if heavy} == {}
    wrong = {words: status for words, (status, _, _) in said.items() if status}
    assert wrong == {"tabel3": 2, "model=goal": 2}


def test_the_help_has_every_verb_and_every_verb_a_file(said: dict[str, list]) -> None:
    usage = said["--help"][1]
    assert said[""][1] == usage
    assert all(re.search(rf"^  {verb} +\w", usage, re.M) for verb in cli.VERBS)
    assert sorted(cli.VERBS) == sorted(path.stem for path in COMMANDS.glob("[!_]*.py"))
    for verb in cli.VERBS:
        text = said[f"{verb} --help"][1]
        assert f"dexzoo {verb}" in text, verb
        assert len(text.splitlines()) > 3


def test_a_typo_gives_the_nearest_verb(said: dict[str, list]) -> None:
    assert "tabel3: no such verb; did you mean table3?; there are run, sample" in said["tabel3"][1]
    assert said["model=goal"][1].endswith("did you mean dexzoo run model=goal?\n")


def test_python_m_dexzoo_is_the_same() -> None:
    done = subprocess.run([sys.executable, "-m", "dexzoo", "tabel3"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"{cli.unknown('tabel3', [])}\n")


def test_no_verb_imports_what_is_slow_before_its_help() -> None:
    """Imports of ours at the top of a verb lead to modules alone that import nothing slow."""
    for path in [*COMMANDS.glob("*.py"), ROOT / "experiments/cli.py", ROOT / "experiments/commandline/help.py"]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                assert (node.module, [a.name for a in node.names]) in (
                    ("commandline.settings", [a.name for a in node.names]),
                    ("commandline.help", ["help_text"]),
                    ("files.names", ["nearest"]),
                    ("bench", ["names"]),
                    (None, ["run"]),
                    (None, ["table3"]),
                ), path


# ----------------------------------------------------------------------------------------------------------------- run


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["run", "model=goal", "seed=1"], ["model=goal", "seed=1"]),
        (["sample", "ckpt=RUN"], ["task=sample", "ckpt=RUN"]),
        (["refine", "mesh=M"], ["task=refine", "mesh=M"]),
    ],
)
def test_run_is_the_script_with_the_same_arguments(
    words: list[str], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script as a script: Lightning starts its other processes by sys.argv, where __main__ has no module's name."""
    ran = []
    monkeypatch.setattr(runpy, "run_path", lambda path, run_name: ran.append((path, run_name, [*sys.argv])))
    before = [*sys.argv]
    assert status_of(*words) == 0
    script = str(ROOT / "experiments/run.py")
    assert ran == [(script, "__main__", [script, *arguments])]
    assert sys.argv == before


def test_run_composes_what_the_script_composes(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["model=goal", "data=grab", "data.root=here", "hand=mano_skeleton", "seed=3"]
    assert status_of("run", *overrides, "--cfg", "job") == 0
    printed = capsys.readouterr().out
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        cfg = hydra.compose("config", overrides)
    assert yaml.safe_load(printed) == OmegaConf.to_container(cfg)


def test_the_second_process_of_ddp_is_the_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Lightning finds out what to start it with, from inside of `python -m dexzoo run`."""
    script = tmp_path / "run.py"
    script.write_text(
        "import json, sys, __main__\n"
        "from lightning.fabric.strategies.launchers.subprocess_script import _basic_subprocess_cmd\n"
        "print(json.dumps([__main__.__spec__ is None, *_basic_subprocess_cmd()]))\n"
    )
    monkeypatch.setattr(run, "RUN", script)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", said.append)
        assert status_of("run", "seed=1") == 0
    assert json.loads(said[0]) == [True, sys.executable, str(script), "seed=1"]


# ---------------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("kind", [Table3, Table4])
def test_settings_are_shown_with_default_and_comment(kind: type[Table3] | type[Table4]) -> None:
    lines = settings_help(kind, "dexzoo table").splitlines()
    made = kind()
    for name in inspect.signature(kind).parameters:
        (line,) = [line for line in lines if line.startswith(f"  {name}=")]
        value, comment = re.match(rf"  {name}=(\S+)  +(\S.*)", line).groups()
        assert yaml.safe_load(value) == getattr(made, name), line
        assert len(comment) > 5


def test_the_help_of_run_shows_keys_and_comments_of_the_choices() -> None:
    text = run_help.help_text(["model=grasp_cvae"])
    for part in (
        "hand: shadow                     # hand of the model and the data",
        "model=grasp_cvae, as model.KEY",
        "data=demo_grasps, as data.KEY",  # what the model chooses
        "refine=dexzoo, as refine.KEY",
        "n_samples: 10                # candidates per test object",
        "unidexgrasp",
    ):
        assert part in text
    assert "hydra:\n" not in text
    assert "data=grab" in run_help.help_text(["model=grasp_cvae", "data=grab"])  # the command line wins


def test_the_help_shows_inherited_keys_once_as_the_choice_sets_them() -> None:
    text = run_help.help_text(["data=realdex"])
    assert "  speed_range: [0.7, 1.4]" in text
    assert text.count("  speed_range:") == text.count("  jitter: 0.2") == text.count("  batch_size: 128") == 1
    assert "_motion" not in text


def test_the_help_of_a_task_leaves_out_what_does_not_count() -> None:
    text = run_help.help_text(["task=sample"])
    assert "object: null                     # mesh (.obj" in text
    assert "task=sample\n" in text
    assert "select=filter" in text
    assert "model=motionnet, as" not in text


@pytest.mark.parametrize("overrides", [[], ["model=grasp_cvae"], ["task=refine"], ["model=goal"]])
def test_the_choices_shown_are_those_that_hydra_composes(overrides: list[str]) -> None:
    config = (run_help.CONF / "config.yaml").read_text()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        cfg = hydra.compose("config", overrides, return_hydra_config=True)
    found = {group: str(cfg.hydra.runtime.choices[group]) for group in run_help.choices_of(config, [])}
    if not (run_help.CONF / f"recipe/{found['recipe']}.yaml").is_file():  # which Hydra passes over
        found["recipe"] = "null"
    assert run_help.choices_of(config, overrides) == {k: "null" if v == "None" else v for k, v in found.items()}
