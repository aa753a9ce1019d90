"""In every model, recipe and sweep each ramp of a weight completes and each schedule changes within the training."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import hydra
import pytest
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from dexzoo import experiments
from dexzoo.models import Task, pace

HERE = Path(experiments.__file__ or "").parent
SWEEPS = sorted((HERE / "sweeps").glob("*.yaml"))
WAITS = {"model=goal recipe=published"}
"""Their rate falls only where validations do not improve: here none does."""


class Small(nn.Linear):
    """Stands for a network, which has no part in this."""

    def __init__(self, hand: Any) -> None:
        super().__init__(1, 1)


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (HERE / "conf" / group).glob("*.yaml"))


def stages(recipe: str) -> list[list[str]]:
    """The trainings of a recipe, as overrides."""
    found = yaml.safe_load((HERE / f"conf/experiment/{recipe}.yaml").read_text()).get("stages")
    return [[f"experiment={recipe}"]] if found is None else [[o for o in s if "{" not in o] for s in found.values()]


def command(file: Path) -> list[str]:
    """What a sweep file sets in every run, and in the first one."""
    data = yaml.safe_load(file.read_text())
    first = {
        key: spec.get("value", spec.get("values", [spec.get("min")])[0]) for key, spec in data["parameters"].items()
    }
    fixed = [part for part in data["command"] if "=" in part and "envvar" not in part]
    return [*fixed, *(f"{key}={value}" for key, value in first.items())]


def tuned_by() -> list[list[str]]:
    """The sweeps as the heads of the recipes say that they were started."""
    found = []
    for file in (HERE / "conf/recipe").glob("*.yaml"):
        lines = file.read_text().splitlines()
        head = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
        for sweep, given in re.findall(r"sweep experiments/(sweeps/\w+\.yaml) --count \d+((?: [\w.@]+=\S+)*)", head):
            found.append([*command(HERE / sweep), *given.split()])
    return found


TRAININGS = [
    *([f"model={name}"] for name in names("model")),
    *([f"model={name}", "recipe=published"] for name in names("model")),
    *(part for name in names("experiment") for part in stages(name)),
    *(command(file) for file in SWEEPS),
    *tuned_by(),
]
"""Overrides of every training that a file of ours describes."""


@pytest.fixture(scope="module")
def compose():
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        yield lambda *overrides: hydra.compose("config", list(overrides))


def training(cfg: DictConfig) -> Task:
    """The task with a trainer of the config's length; its epochs have the frames or grasps that the data promise."""
    OmegaConf.set_struct(cfg, False)
    cfg.model.network = {"_target_": f"{Small.__module__}.Small", "_partial_": True}
    task = instantiate(cfg.model, hand=cfg.hand)
    promised = cfg.data.get("min_windows_per_epoch") or cfg.data.get("min_grasps_per_epoch")
    batches = 10 if cfg.model.get("clips_per_batch") else promised // cfg.data.batch_size
    batches = cfg.trainer.limit_train_batches or batches
    task.trainer = SimpleNamespace(  # type: ignore[assignment]
        estimated_stepping_batches=cfg.trainer.max_epochs * batches // cfg.trainer.accumulate_grad_batches,
        num_training_batches=batches,
        **{key: cfg.trainer[key] for key in ("max_epochs", "check_val_every_n_epoch", "accumulate_grad_batches")},
    )
    return task


def rates(task: Task) -> list[float]:
    """Learning rates of a training whose validations never improve."""
    made, trainer = task.configure_optimizers(), cast(Any, task.trainer)
    how, group = made["lr_scheduler"], made["optimizer"].param_groups[0]
    turns = trainer.estimated_stepping_batches if how.get("interval") == "step" else trainer.max_epochs
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser makes no step
        for turn in range(1, turns + 1):
            found.append(group["lr"])
            if "monitor" not in how:
                how["scheduler"].step()
            elif turn % trainer.check_val_every_n_epoch == 0:
                how["scheduler"].step(1.0)
    return found


def label(overrides: list[str]) -> str:
    return " ".join(o for o in overrides if re.match(r"(model|recipe|experiment|trainer.max_epochs)=", o))


@pytest.mark.parametrize("overrides", TRAININGS, ids=label)
def test_every_schedule_and_ramp_gets_through(compose, overrides, caplog):
    cfg = compose(*overrides)
    if "optimizer" not in cfg.model or not cfg.train:
        pytest.skip("nothing is trained")
    task = training(cfg)
    found = rates(task)
    assert min(found) < 0.6 * max(found)
    assert (task.configure_optimizers()["lr_scheduler"].get("monitor") is not None) == (label(overrides) in WAITS)
    steps = int(task.trainer.estimated_stepping_batches)
    assert task.weights_at((steps - 1) / steps) == pytest.approx(task.weights_at(1.0))
    assert all(weight > 0 for weight in task.weights_at(1.0).values())
    assert cfg.trainer.max_epochs % cfg.trainer.check_val_every_n_epoch == 0
    assert not [record for record in caplog.records if record.name == pace.__name__]


def test_the_trainings_are_all_there():
    found = {label(overrides) for overrides in TRAININGS}
    assert {f"model={name}" for name in names("model")} <= found
    assert {f"experiment={name}" for name in names("experiment")} - found == {"experiment=grasp_generation"}  # stages
    assert len(stages("grasp_generation")) == 3
    assert len(tuned_by()) >= 4


@pytest.mark.parametrize("name", ["goal", "unidexgrasp", "saga_grasp", "grasp_cvae"])
def test_there_are_ramps_to_complete(compose, name):
    task = training(compose(f"model={name}", "recipe=published"))
    assert task.weights_at(0.0) != task.weights_at(1.0)
