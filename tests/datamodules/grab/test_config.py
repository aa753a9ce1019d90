"""The YAML says what the signature says, and the demo tree is read through it."""

from __future__ import annotations

import inspect
from pathlib import Path

from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from dexzoo.datamodules import HistoryNoise, MotionDataModule
from dexzoo.datamodules.grab import GrabMotion

FILE = Path(__file__).parents[3] / "experiments" / "conf" / "data" / "grab.yaml"


def test_defaults_are_those_of_the_signature() -> None:
    config = OmegaConf.to_container(OmegaConf.load(FILE))
    assert isinstance(config, dict)
    parameters = dict(inspect.signature(MotionDataModule.__init__).parameters)
    parameters |= inspect.signature(get_class(config.pop("_target_")).__init__).parameters
    for key in ("hand", "seed"):
        assert config.pop(key) == f"${{{key}}}"
    for key in ("history_noise", "speed_range"):
        config.pop(key)
    for key, value in config.items():
        assert parameters[str(key)].default == value, key


def test_every_key_has_a_comment() -> None:
    lines = FILE.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert [line for line in lines if line and "_target_" not in line and "#" not in line] == []


def test_it_builds_the_data_module() -> None:
    config = OmegaConf.create({"hand": "mano_skeleton", "seed": 3, "data": OmegaConf.load(FILE)})
    data = instantiate(config.data)
    assert isinstance(data, GrabMotion)
    assert (data.hand, data.seed, data.reader.hand_name) == ("mano_skeleton", 3, "mano_skeleton")
    assert data.history_noise == HistoryNoise(translation_std=0.01, rotation_std=0.03, joint_std=0.05)
