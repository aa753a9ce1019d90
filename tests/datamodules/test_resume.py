"""A training that goes on from a checkpoint is dealt what the unbroken one was: which samples, and changed how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from dexzoo.datamodules.base import EpochSampler
from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.datamodules.grasps import GraspDataModule, GraspParts
from dexzoo.datamodules.motion import MotionDataModule
from dexzoo.datamodules.splits import Split, by_object
from dexzoo.datamodules.transforms import HistoryNoise, PerturbHand
from dexzoo.datamodules.types import MotionSample
from dexzoo.hands.pose import HandPose

pytestmark = pytest.mark.filterwarnings("ignore")
EPOCHS, STEPS = 3, 4


class Clips(MotionDataModule):
    """Clips of four objects, one to validate and one to test."""

    title = "clips"

    def __init__(self, samples: list[MotionSample], clips_per_batch: int | None = None, **options: Any) -> None:
        super().__init__("three_joints", clips_per_batch=clips_per_batch, **options)
        self.samples = samples

    def load(self) -> list[MotionSample]:
        return self.samples

    def split(self, samples: Sequence[MotionSample]) -> Split:
        return by_object(samples, ["c"], ["d"])


class PosedGrasps(GraspDataModule):
    """Eleven grasps of each of four objects."""

    title = "grasps"

    def load(self) -> GraspStore:
        generator = torch.Generator().manual_seed(5)
        draw = partial(torch.randn, generator=generator)
        pose = HandPose(draw(44, 3), torch.eye(3).expand(44, 3, 3), draw(44, 2), "two_joints")
        objs = [GraspObject(name, Path(f"{name}.stl")) for name in "abcd"]
        return GraspStore.of(pose, np.repeat(np.arange(4), 11), objs, draw(4, 9, 3))

    def split(self, store: GraspStore) -> GraspParts:
        return GraspParts.by_object(store, ["c"], ["d"])


@pytest.fixture
def make(make_sample: Callable[..., MotionSample]) -> Callable[..., Any]:
    """A data module of a kind, with all that is random in it, and an epoch of four batches at least."""
    samples = [make_sample(name, 20 + i, i) for i, name in enumerate("aabbcd")]

    def module(kind: str, workers: int) -> Any:
        common = {"num_workers": workers, "seed": 7}
        if kind == "grasps":
            moved = PerturbHand(0.01, 0.1, 0.1)
            return PosedGrasps("two_joints", batch_size=6, min_grasps_per_epoch=40, transforms=moved, **common)
        if kind == "clips":
            return Clips(samples, clips_per_batch=2, min_windows_per_epoch=160, **common)
        noise = HistoryNoise(0.01, 0.1, 0.1)
        options = {"speed_range": (0.7, 1.4), "history_noise": noise, "min_windows_per_epoch": 200}
        return Clips(samples, batch_size=8, **options, **common)

    return module


class Stopped(Exception):
    """What ends a training in the middle of its second epoch."""


class Recorder(lightning.LightningModule):
    """Writes down what it is trained on, and has one weight that depends on all of it."""

    def __init__(self, stop: int | None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[Any, ...]] = []
        self.stop = stop

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == self.stop:
            raise Stopped
        pose = batch.past if hasattr(batch, "past") else batch.pose
        value = pose.to_vector().sum()
        who = batch.names if hasattr(batch, "names") else tuple(batch.clip.tolist())
        self.seen.append((self.current_epoch, batch_idx, who, float(value)))
        return (self.weight - value).square() / 100

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([self.weight], lr=1e-2)


SAVED: dict[str, dict[str, Any]] = {
    "end of epoch": {"save_on_train_epoch_end": True},
    "after validation": {"save_on_train_epoch_end": False},
    "mid-epoch": {"every_n_train_steps": 3},
}


def fit(data: Any, folder: Path, saved: str, stop: int | None = None, resume: Path | None = None) -> Recorder:
    model = Recorder(stop)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        limit_train_batches=STEPS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[ModelCheckpoint(folder, "last", enable_version_counter=False, **SAVED[saved])],
    )
    if stop is None:
        trainer.fit(model, data, ckpt_path=resume)
    else:
        with pytest.raises(Stopped):
            trainer.fit(model, data)
    return model


QUICK = [("windows", 0, "mid-epoch"), ("windows", 2, "end of epoch"), ("grasps", 2, "after validation")]
CASES = [
    pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
    for case in product(("windows", "clips", "grasps"), (0, 2), SAVED)
]


@pytest.mark.parametrize(("kind", "workers", "saved"), CASES)
def test_a_resumed_training_is_dealt_what_the_unbroken_one_was(
    kind: str, workers: int, saved: str, make: Callable[..., Any], tmp_path: Path
) -> None:
    whole = fit(make(kind, workers), tmp_path / "whole", saved)
    orders = [[seen[2] for seen in whole.seen if seen[0] == epoch] for epoch in range(EPOCHS)]
    assert len({str(order) for order in orders}) == EPOCHS  # so that one in place of another is seen
    fit(make(kind, workers), tmp_path / "part", saved, stop=STEPS + 3)
    torch.rand(13)
    at = tmp_path / "part" / "last.ckpt"
    done = torch.load(at, weights_only=False)["global_step"]
    assert done == (STEPS + 2 if saved == "mid-epoch" else STEPS)
    resumed = fit(make(kind, workers), tmp_path / "part", saved, resume=at)
    assert resumed.seen == whole.seen[done:]
    assert resumed.weight.equal(whole.weight)


def test_a_checkpoint_says_which_batch_comes_next(make: Callable[..., Any], tmp_path: Path) -> None:
    places = []
    for saved, stop in (("mid-epoch", STEPS), ("mid-epoch", STEPS + 3), ("end of epoch", STEPS + 3)):
        fit(make("windows", 0), tmp_path, saved, stop)
        places.append(torch.load(tmp_path / "last.ckpt", weights_only=True)["Clips"])
    assert places == [{"epoch": 0, "batch": 3}, {"epoch": 1, "batch": 2}, {"epoch": 1, "batch": 0}]


def test_data_that_were_not_told_to_resume_start_at_the_first_epoch(make: Callable[..., Any], tmp_path: Path) -> None:
    """The checkpoint of a test is no place to go on from."""
    data = make("windows", 0)
    whole = fit(data, tmp_path, "end of epoch")
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(Recorder(None), data, ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert fit(data, tmp_path, "end of epoch").seen == whole.seen


class _Numbers(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 5


def test_a_sampler_goes_on_in_the_middle_of_one_epoch_alone() -> None:
    whole, part = EpochSampler(_Numbers(), 1, passes=2), EpochSampler(_Numbers(), 1, passes=2)
    part.resume(3, 4)
    whole.set_epoch(3)
    assert list(part) == list(whole)[4:]
    assert list(part) == list(whole)[4:]  # asked again, it says the same
    assert len(part) == 10
    for sampler in (whole, part):
        sampler.set_epoch(4)
    assert list(part) == list(whole)
