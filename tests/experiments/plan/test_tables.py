"""`dexzoo table3`, `dexzoo table4`: KEY=VALUE, and the runs that a table needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.commandline.settings import Table, Table3, Table4
from dexzoo.experiments.plan import tables
from dexzoo.experiments.plan.tables import make_runs, read_settings
from tests.verbs import status_of

from .conftest import Launched

KINDS = pytest.mark.parametrize("kind", [Table3, Table4])


@KINDS
def test_arguments_of_the_command(kind: type[Table]) -> None:
    given = read_settings(kind, ["models=[a,b]", "seeds=3", "overrides=[trainer.max_epochs=2,'x=${y}']", "out=007"])
    assert (given.models, given.seeds, given.data, given.out) == (["a", "b"], [3], kind().data, "007")
    assert given.run_overrides("a", 3)[-3:] == ["seed=3", "trainer.max_epochs=2", "x=${y}"]


@KINDS
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=a"], "model: no such key; did you mean 'models'?; there are runs, data, models"),
        (["--data", "x"], "--data: expected KEY=VALUE"),
        (["seeds=[0,a]"], r"seeds: expected list\[int\], found \[0,a\]"),
        (["seeds=1.5"], r"seeds: expected list\[int\], found 1.5"),
        (["seeds=[]"], r"seeds: expected list\[int\], found \[\]"),
        (["seeds=[0"], r"seeds: expected list\[int\], found \[0"),
        (["models=[[a]]"], r"models: expected list\[str\], found \[\[a\]\]"),
        (["out=[a]"], r"out: expected str, found \[a\]"),
        (["out="], "out: expected str, found nothing"),
        (["runs=a", "seeds=0", "data=x"], "runs: expected no data, seeds beside it, because no run is started"),
    ],
)
def test_wrong_arguments_are_named(kind: type[Table], arguments: list[str], message: str) -> None:
    with pytest.raises(RunError, match=message.replace("?", r"\?")):
        read_settings(kind, arguments)


def test_keys_of_one_table_are_none_of_the_other() -> None:
    assert (read_settings(Table3, ["n_samples=5"]).n_samples, read_settings(Table4, ["size=48"]).size) == (5, 48)
    with pytest.raises(RunError, match="n_samples: expected int, found ten"):
        read_settings(Table3, ["n_samples=ten"])
    with pytest.raises(
        RunError, match=r"reference: no such key; .*there are runs, data, models, seeds, overrides, out"
    ):
        read_settings(Table4, ["reference=timed"])


def test_a_run_for_each_model_and_seed_and_a_predictor_for_each_seed(
    tmp_path: Path, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "lacks_a_predictor", lambda overrides: "model=b" in overrides)
    arguments = ["models=[a,b]", "seeds=[0,1]", f"out={tmp_path}", "overrides=[model.x=1,trainer.max_epochs=2]"]
    folders = make_runs(read_settings(Table3, arguments))
    assert folders == [tmp_path / model / f"seed_{seed}" for model in "ab" for seed in (0, 1)]
    predictors = [tmp_path / "contact_map" / f"seed_{seed}" for seed in (0, 1)]
    assert [*launched] == [*folders[:2], predictors[0], folders[2], predictors[1], folders[3]]
    common = {"data=demo_grasps", "refine=dexzoo", "select=filter", "seed=1", "model.n_samples=10", "model.x=1"}
    common.add("trainer.max_epochs=2")
    assert {*launched[folders[1]]} == {"model=a", *common}
    assert {*launched[folders[3]]} == {"model=b", *common, f"contact_from={predictors[1]}"}
    assert launched[predictors[1]] == ["model=contact_map", "data=demo_grasps", "seed=1", "trainer.max_epochs=2"]
    launched.clear()
    assert make_runs(read_settings(Table3, [*arguments, "seeds=[0,1,2]"]))[2:4] == [tmp_path / "a/seed_2", folders[2]]
    assert [folder.name for folder in launched] == ["seed_2"] * 3  # a table grows by runs
    with pytest.raises(RunError, match=r"found model.n_samples=7 in place of model.n_samples=10; take another folder"):
        make_runs(read_settings(Table3, [*arguments, "n_samples=7"]))


def test_a_model_may_have_an_ablation(tmp_path: Path, launched: Launched) -> None:
    given = ["models=[goal,motionnet/no_object]", "seeds=3", f"out={tmp_path}", "overrides=hand=shadow"]
    folders = make_runs(read_settings(Table4, given))
    assert folders == [tmp_path / "goal/seed_3", tmp_path / "motionnet_no_object/seed_3"]
    ablated = ["model=motionnet", "data=demo", "ablation=no_object", "seed=3", "hand=shadow"]
    assert [*launched.values()] == [["model=goal", "data=demo", "seed=3", "hand=shadow"], ablated]


@pytest.mark.parametrize(
    ("overrides", "lacks"),
    [
        (["model=grasp_cvae"], True),
        (["model=grasp_cvae", "contact_from=runs/p"], False),
        (["model=motionnet"], False),
        (["model=contact_map"], False),
    ],
)
def test_which_runs_lack_a_contact_predictor(overrides: list[str], lacks: bool) -> None:
    assert tables.lacks_a_predictor(overrides) is lacks


def test_what_no_run_takes_is_said_before_anything_is_started(
    tmp_path: Path, launched: Launched, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, said in (
        ("overrides=[trainer.max_epoch=2]", "max_epoch: no such key in the config; did you mean trainer.max_epochs?"),
        ("models=[motionnet,goul]", "model=goul: no such choice of 'model'; did you mean goal?"),
    ):
        assert status_of("table4", wrong, f"out={tmp_path / 'out'}") == 1
        found = capsys.readouterr().err
        assert said in found
        assert found.count("\n") == 1
    assert not launched
    assert not (tmp_path / "out").exists()
