"""What is taken for data and a hand that a command does not name, and that it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from dexzoo.datamodules import roots
from dexzoo.datamodules.base import DEMO_MARK
from dexzoo.experiments.run import say_defaults
from dexzoo.experiments.training import load
from dexzoo.experiments.training.data import build_data, notes_on_defaults

VARIABLES = [f"DEXZOO_{name}" for name in ("GRAB", "REALDEX", "DEXGRASPNET", "UNIDEXGRASP", "MULTIDEX", "MANO")]


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DictConfig]]:
    """Composes as the command would, on a machine where no variable is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def composed(*overrides: str) -> DictConfig:
        cfg = hydra.compose("config", [*overrides, "hydra.runtime.output_dir=x"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return cfg

    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        yield composed
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize("data", ["grab", "grab_grasps", "realdex", "realdex_grasps", "dexgraspnet"])
def test_without_a_root_demo_data_are_taken_and_named(data, compose, monkeypatch, tmp_path):
    (tmp_path / DEMO_MARK).write_text("demo data in its layout\n")
    monkeypatch.setattr(roots, "demo_root", lambda dataset: tmp_path / dataset)
    cfg = compose("model=motionnet", f"data={data}")
    assert cfg.name == f"motionnet_{data}_demo"
    assert cfg.data.root == "demo"
    built = build_data(cfg.data)
    assert (built.is_demo, built.title) == (True, "demo data in its layout")
    where, *hand = notes_on_defaults(cfg)
    dataset = data.removesuffix("_grasps")
    assert f"DEXZOO_{dataset.upper()} are not set: using demo data in {type(built).title}'s layout" in where
    assert f"data.root=PATH (`dexzoo download {dataset}`" in where
    assert len(hand) == (dataset == "grab")
    assert all("DEXZOO_MANO is not set: using hand=mano_skeleton" in line for line in hand)
    assert cfg.hand == built.hand == ("mano_skeleton" if dataset == "grab" else "shadow")


@pytest.mark.parametrize("given", ["the option", "the variable"])
def test_a_root_that_is_given_is_taken_and_nothing_is_said(given, compose, monkeypatch):
    if given == "the variable":
        monkeypatch.setenv("DEXZOO_GRAB", "nowhere")
    cfg = compose("data=grab", "hand=mano_skeleton", *(["data.root=nowhere"] if given == "the option" else []))
    assert (cfg.name, cfg.data.root, notes_on_defaults(cfg)) == ("motionnet_grab", "nowhere", [])
    with pytest.raises(ValueError, match=r"GRAB not found at .*nowhere: no such folder"):
        build_data(cfg.data).setup()


def test_what_is_typed_is_not_said(compose):
    assert notes_on_defaults(compose("data=grab", "data.root=demo", "hand=mano_skeleton")) == []
    assert notes_on_defaults(compose("data=demo")) == []


def test_the_model_of_mano_is_taken_where_it_is_and_asked_for_where_it_is_typed(compose, monkeypatch):
    assert compose("data=grab", "hand=mano").hand == "mano"
    monkeypatch.setenv("DEXZOO_MANO", "MANO_RIGHT.pkl")
    cfg = compose("data=grab", "data.root=x")
    assert (cfg.hand, notes_on_defaults(cfg)) == ("mano", [])


@pytest.mark.parametrize("data", ["unidexgrasp", "multidex"])
def test_data_without_a_demo_in_their_layout_have_no_root(data, compose):
    cfg = compose("model=grasp_flow", f"data={data}")
    assert (cfg.data.root, notes_on_defaults(cfg), cfg.name) == (None, [], f"grasp_flow_{data}")
    with pytest.raises(ValueError, match=r"not found: `root` is not set"):
        build_data(cfg.data).setup()


def test_each_is_one_yellow_line(compose, capsys, monkeypatch):
    monkeypatch.setattr(roots, "demo_root", lambda dataset: dataset)
    say_defaults(compose("data=grab"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["note", "data.root"], ["note", "DEXZOO_MANO"]]


def test_a_run_folder_says_demo_and_is_loaded_as_such_anywhere(compose, monkeypatch, tmp_path):
    cfg = compose("data=realdex")
    plain = OmegaConf.create({"data": OmegaConf.to_container(cfg.data, resolve=True)})
    assert plain.data.root == "demo"
    monkeypatch.setenv("DEXZOO_REALDEX", "another")
    monkeypatch.setattr(roots, "demo_root", lambda dataset: tmp_path)
    assert load.build_data(plain.data).root == tmp_path
