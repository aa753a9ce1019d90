"""Values that Hydra's grammar refuses or misreads, and values of the wrong kind."""

import shlex
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from dexzoo.experiments.commandline.arguments import check_kind, how_to_quote, kinds_of, override, quoted
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.plan.table4 import Table4
from dexzoo.experiments.plan.tables import read_settings

NAMES = [
    "mug (1).obj",
    "Becher_ü.obj",
    "epoch=3-step=40.ckpt",
    "a,b.obj",
    "[a,b].obj",
    "{a}.obj",
    "it's.obj",
    'a "big" mug.obj',
    "100%;&!#.obj",
    "mug  2.obj",
    "plain.obj",
]


def read(argument: str) -> object:
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_taken_as_it_is_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    for path in (name, str(tmp_path / name)):
        (argument,) = quoted([f"object={path}"])
        assert read(argument) == path


@pytest.mark.parametrize("name", [*NAMES, "2024-11-30", "17", "a: b"])
def test_commands_of_tables_take_a_path_as_it_is_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert read_settings(Table4, [f"runs={name}"]).runs == [name]
    assert read_settings(Table4, [f"out={name}"]).out == name


def test_commands_of_tables_take_a_name_that_looks_like_a_number():
    assert read_settings(Table4, ["out=2024"]).out == "2024"
    with pytest.raises(RunError, match=r"out: expected str, found \[a\]"):
        read_settings(Table4, ["out=[a]"])


@pytest.mark.parametrize("name", NAMES)
def test_the_advice_on_quotes_works_in_a_shell(name):
    (argument,) = shlex.split(how_to_quote(f"object={name}"))
    assert read(argument) == name
    assert read(override("object", name)) == name


@pytest.mark.parametrize(
    "argument", ["seed=1", "seed=0,1", "data.objects=[mug,jar]", "-m", "--cfg", "object=none (1).obj"]
)
def test_what_is_no_path_is_left_alone(argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("1").touch()
    assert quoted([argument]) == [argument]


def test_a_sweep_over_values_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a,b").touch()
    assert quoted(["--multirun", "object=a,b"]) == ["--multirun", "object=a,b"]
    assert quoted(["object=a,b"]) == ['object="a,b"']


@pytest.fixture(scope="module")
def cfg():
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        return hydra.compose("config", ["+object=null"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", "abc", "seed: expected an integer, found 'abc'"),
        ("seed", 1.5, "seed: expected an integer, found 1.5"),
        ("train", "maybe", "train: expected true or false, found 'maybe'"),
        ("ckpt", ["a", "b"], "ckpt: expected a path or null, found a list; a path is quoted twice: 'ckpt=\"x\"'"),
        ("ckpt", 2024, "ckpt: expected a path or null, found 2024; a path is quoted twice"),
        ("data.clips", "abc", "data.clips: expected an integer, found 'abc'"),
        ("data.batch_size", [1], "data.batch_size: expected an integer, found a list"),
        ("trainer.max_epochs", "abc", "trainer.max_epochs: expected an integer or null, found 'abc'"),
        ("model.network.hidden", "abc", "model.network.hidden: expected an integer, found 'abc'"),
        ("model.optimizer.lr", "abc", "model.optimizer.lr: expected a number, found 'abc'"),
        ("data.history_noise.jitter", "abc", "data.history_noise.jitter: expected a number, found 'abc'"),
    ],
)
def test_a_value_of_another_kind_is_refused(cfg, key, value, message):
    changed = cfg.copy()
    OmegaConf.update(changed, key, value)
    with pytest.raises(RunError) as error:
        check_kind(changed, key, "x")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 3),
        ("ckpt", "runs/a"),
        ("ckpt", None),
        ("name", 3),
        ("trainer.max_epochs", None),
        ("trainer.devices", "auto"),
        ("trainer.devices", [0, 1]),
        ("trainer.deterministic", "warn"),
        ("trainer.precision", 16),
        ("trainer.limit_train_batches", 0.5),
        ("data.objects", ["mug"]),
        ("data.objects", None),
        ("data.speed_range", [0.5, 2]),
        ("model.loss.keypoints", 1),
        ("model.optimizer.lr", 1),
        ("figures.size", "any"),
    ],
)
def test_a_value_that_its_class_takes_is_taken(cfg, key, value):
    changed = cfg.copy()
    OmegaConf.update(changed, key, value)
    check_kind(changed, key, "x")


@pytest.mark.slow
def test_every_value_that_ships_is_of_its_kind(cfg):
    """The annotations and the configs agree, for each choice of each group."""
    GlobalHydra.instance().clear()
    root = Path(sys.modules["dexzoo.experiments"].__file__ or "").parent / "conf"
    checked = 0
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        for group in ("model", "data", "trainer"):
            for choice in sorted(path.stem for path in (root / group).glob("*.yaml")):
                some = hydra.compose("config", [f"{group}={choice}"])
                for key in some[group]:
                    name = f"{group}.{key}"
                    if not OmegaConf.is_interpolation(some[group], key):
                        check_kind(some, name, "x")
                        checked += bool(kinds_of(some, name))
    assert checked > 100
