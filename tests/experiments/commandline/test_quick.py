"""Misspelt names are answered before torch is imported, in the words of the slow way; the keys are Hydra's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from dexzoo.experiments import run
from dexzoo.experiments.commandline import explain, quick
from dexzoo.experiments.commandline.help import CONF, choices

ROOT = Path(__file__).parents[3]
CONFIG = (CONF / "config.yaml").read_text()
WRONG = (
    "model=motionet",
    "max_epochs=3",
    "experiment=smoek",
    "modle=linear",
    "trainer.max_epoch=3",
    "model=goal data=realdex data.n_fold=3",
    "model=grasp_cvae model.n_sample=3",
    "logger.wandbb.project=x",
    "recipe=goal_dmo",
)
RIGHT = (
    "",
    "model=goal data=realdex data.n_folds=3 trainer=ddp experiment=null",
    "model=grasp_cvae data=dexgraspnet refine=unidexgrasp select=none model.n_samples=3 refine.steps=5",
    "--multirun model=goal,saga seed=0,1",
    "+trainer.max_steps=3 ~callbacks.progress hydra.run.dir=here ++new.key=3 new.key.below=4",
    "model.scheduler.eta_min=0 recipe=goal_demo recipe.epochs=3 wrong",
    "--config-dir=mine model=mine",
    "hydra.searchpath=[mine] model=mine",
    "published=saga",
)
SLOW = """
import json, sys
from contextlib import redirect_stderr
from io import StringIO
from dexzoo.experiments.cli import main
said = {}
for words in json.loads(sys.argv[1]):
    text = StringIO()
    with redirect_stderr(text):
        try:
            status = main(["run", *words.split()])
        except SystemExit as stop:
            status = stop.code
    said[words] = [status, text.getvalue(), [name for name in ("torch", "lightning", "hydra") if name in sys.modules]]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, list]:
    """Status, text and the heavy packages imported of each wrong command, in a process that has imported nothing."""
    program = [sys.executable, "-c", SLOW, json.dumps(WRONG)]
    return json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_name_is_answered_without_torch_as_hydra_would(
    words: str,
    said: dict[str, list],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text, heavy = said[words]
    monkeypatch.setattr(sys, "argv", ["run.py", *words.split()])
    with pytest.raises(SystemExit) as stop:
        run.main()
    GlobalHydra.instance().clear()
    assert (status, text) == (stop.value.code, capsys.readouterr().err)
    assert heavy == []


@pytest.mark.parametrize("words", RIGHT)
def test_what_may_be_right_is_left_to_hydra(words: str) -> None:
    assert quick.mistake(words.split()) is None


def test_the_script_answers_by_itself() -> None:
    program = [sys.executable, "-X", "importtime", str(ROOT / "experiments/run.py"), "sed=1"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("sed: no such key in the config; did you mean seed?")
    assert "| torch\n" not in done.stderr


def test_an_error_in_full_is_hydras_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert quick.answered(["sed=1"]) is None


def combinations() -> list[list[str]]:
    """Commands in which every choice of every group is made once or more."""
    groups = {group: choices(group) for group in quick.groups_of(CONFIG) if group not in ("kind", "recipe")}
    count = max(map(len, groups.values()))
    return [
        [f"{group}={names[i % len(names)]}" for group, names in groups.items() if group != "experiment"]
        for i in range(count)
    ] + [[f"experiment={name}"] for name in groups["experiment"]]


@pytest.mark.slow
@pytest.mark.parametrize("words", combinations(), ids=lambda words: words[-1] + words[0])
def test_keys_are_those_that_hydra_composes(words: list[str]) -> None:
    known = explain.known_keys(words)
    GlobalHydra.instance().clear()
    mine = [*quick.all_groups(), *quick.dotted(quick.composed(CONFIG, words))]
    assert sorted(mine) == sorted(known)
