"""The YAML of each data module says what its signature says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from dexzoo.datamodules import HistoryNoise, MotionDataModule

CONF = Path(__file__).parents[2] / "experiments" / "conf" / "data"


@pytest.mark.parametrize("name", ["realdex", "demo"])
def test_defaults_are_those_of_the_signature(name: str) -> None:
    config = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    parameters = dict(inspect.signature(MotionDataModule.__init__).parameters)
    parameters |= inspect.signature(get_class(config.pop("_target_")).__init__).parameters
    for key in ("hand", "seed"):
        assert config.pop(key) == f"${{{key}}}"
    for key in ("history_noise", "speed_range", "fold"):  # how a run trains, and that it goes through all folds
        config.pop(key, None)
    for key, value in config.items():
        assert parameters[key].default == value, key


@pytest.mark.parametrize("name", ["realdex", "demo"])
def test_every_key_has_a_comment(name: str) -> None:
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert [line for line in lines if line and "_target_" not in line and "#" not in line] == []


@pytest.mark.parametrize("name", ["realdex", "demo"])
def test_it_builds_a_data_module_with_the_noise_of_the_recipe(name: str) -> None:
    config = OmegaConf.merge({"hand": "shadow", "seed": 3, "data": OmegaConf.load(CONF / f"{name}.yaml")})
    data = instantiate(config.data)
    assert (data.hand, data.seed) == ("shadow", 3)
    assert data.history_noise == HistoryNoise(translation_std=0.01, rotation_std=0.03, joint_std=0.05)
