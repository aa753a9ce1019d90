"""The YAML of each data module says what its signature says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import cast

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from dexzoo.datamodules import Compose, HistoryNoise, Jitter, Observe, RealDexGrasps, RealDexMotion, Yaw
from dexzoo.experiments.training import data as _  # noqa: F401  data_root of the configs

_IS_HYDRAS = re.compile(r"\s*(_target_:|defaults:|- )")
MOTIONS = ["realdex", "grab", "demo"]
GRASPS = ["demo_grasps", "dexgraspnet", "unidexgrasp", "multidex", "realdex_grasps", "grab_grasps"]
NAMES = [*MOTIONS, *GRASPS]
BASES = ["_motion", "_grasps"]
CONF = Path(__file__).parents[2] / "experiments" / "conf" / "data"


def read(name: str) -> DictConfig:
    """A file over the base that its defaults name."""
    own = OmegaConf.load(CONF / f"{name}.yaml")
    (base,) = (choice for choice in own.pop("defaults") if isinstance(choice, str) and choice != "_self_")
    return cast("DictConfig", OmegaConf.merge(OmegaConf.load(CONF / f"{base}.yaml"), own))


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_signature(name: str) -> None:
    config = OmegaConf.to_container(read(name))
    parameters: dict[str, inspect.Parameter] = {}
    module = get_class(config.pop("_target_"))
    dataset = module.dataset
    kinds = (*module.__mro__, RealDexMotion) if module is RealDexGrasps else module.__mro__  # which reads its clips
    for kind in reversed(kinds):  # what a class leaves to **options is its base's
        parameters |= inspect.signature(kind.__init__).parameters
    for key in ("hand", "seed"):
        assert config.pop(key) == f"${{{key}}}"
    if "root" in config:  # of the data set's variable, see test_roots.py
        assert config.pop("root") == (f"${{data_root:{dataset}}}" if dataset else None)
    for key in ("history_noise", "speed_range", "transforms", "fold", "clips_per_batch"):  # how a run trains and tests
        config.pop(key, None)
    for key, value in config.items():
        default = parameters[key].default
        assert (list(default) if isinstance(default, tuple) else default) == value, key


@pytest.mark.parametrize("name", [*NAMES, *BASES])
def test_every_key_has_a_comment(name: str) -> None:
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert [line for line in lines if line and "#" not in line and not _IS_HYDRAS.match(line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_a_data_module_with_the_noise_of_the_recipe(name: str) -> None:
    hand = "mano_skeleton" if name.startswith("grab") else "shadow"
    config = OmegaConf.merge({"hand": hand, "seed": 3, "data": read(name)})
    data = instantiate(config.data)
    assert (data.hand, data.seed) == (hand, 3)
    if name in MOTIONS:
        assert data.history_noise == HistoryNoise(translation_std=0.01, rotation_std=0.03, joint_std=0.05)


def test_every_file_is_tested() -> None:
    assert sorted([*NAMES, *BASES]) == sorted(path.stem for path in CONF.glob("*.yaml"))


def test_observation_and_transforms_can_be_set() -> None:
    config = OmegaConf.merge({"hand": "shadow", "seed": 3, "data": read("demo_grasps")})
    package = "dexzoo.datamodules"
    shaken = [{"_target_": f"{package}.Yaw"}, {"_target_": f"{package}.Jitter", "std": 0.003}]
    config.data.observe = {"_target_": f"{package}.Observe", "n_points": 32}
    config.data.transforms = {"_target_": f"{package}.Compose", "_convert_": "all", "transforms": shaken}
    data = instantiate(config.data)
    assert data.observe == Observe(n_points=32)
    assert data.transforms == Compose([Yaw(), Jitter(0.003)])
