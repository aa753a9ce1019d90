"""The shared data module under a real trainer: epochs, resuming, empty validation, frame rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from dexzoo.datamodules.motion import MotionDataModule
from dexzoo.datamodules.observation import Observe
from dexzoo.datamodules.splits import Split, by_object
from dexzoo.datamodules.transforms import HistoryNoise
from dexzoo.datamodules.types import ClipBatch, MotionBatch, MotionSample
from dexzoo.datamodules.windows import ClipStore
from dexzoo.files.errors import DataError

Maker = Callable[..., MotionSample]


class FourClips(MotionDataModule):
    """Clips of four objects, the last for the test and, if asked for, the one before for validation."""

    title = "four clips"

    def __init__(self, samples: list[MotionSample], validate: bool = True, **options: object) -> None:
        super().__init__("three_joints", **options)
        self.samples, self.validate, self.loads = samples, validate, 0

    def load(self) -> list[MotionSample]:
        self.loads += 1
        return self.samples

    def split(self, samples: Sequence[MotionSample]) -> Split:
        return by_object(samples, ["c"] if self.validate else [], ["d"])


class LinearModel(lightning.LightningModule):
    """One layer from the first frame of the past to the first of the future."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(9, 9)
        self.validated = 0

    def training_step(self, batch: MotionBatch) -> torch.Tensor:
        return (self.layer(batch.past.to_vector()[:, 0]) - batch.future.to_vector()[:, 0]).square().mean()

    def validation_step(self, batch: ClipBatch) -> None:
        self.validated += len(batch.names)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


@pytest.fixture
def samples(make_sample: Maker) -> list[MotionSample]:
    return [make_sample(name, 20 + i, i) for i, name in enumerate("abcd")]


def fit(folder: Path, data: MotionDataModule, epochs: int, resume: Path | None = None) -> LinearModel:
    torch.manual_seed(0)
    model = LinearModel()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[ModelCheckpoint(folder, "last", save_on_train_epoch_end=True)],
    )
    trainer.fit(model, data, ckpt_path=resume)
    return model


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*Checkpoint directory")
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(samples: list[MotionSample], tmp_path: Path) -> None:
    def data() -> FourClips:
        return FourClips(
            samples,
            batch_size=8,
            min_windows_per_epoch=200,
            seed=7,
            speed_range=(0.7, 1.4),
            history_noise=HistoryNoise(0.01, 0.1, 0.1),
        )

    whole = fit(tmp_path / "whole", data(), 4)
    fit(tmp_path / "half", data(), 2)
    torch.rand(13)
    resumed = fit(tmp_path / "half", data(), 4, tmp_path / "half" / "last.ckpt")
    assert resumed.layer.weight.equal(whole.layer.weight)
    assert whole.validated == 4


@pytest.mark.filterwarnings("ignore")
def test_without_validation_clips_lightning_does_not_validate(samples: list[MotionSample], tmp_path: Path) -> None:
    data = FourClips(samples, validate=False)
    assert fit(tmp_path, data, 1).validated == 0
    assert data.val == []


def test_clips_are_read_once_and_named_in_the_split(samples: list[MotionSample]) -> None:
    data = FourClips(samples)
    with pytest.raises(DataError, match=r"four clips: call setup\(\) before asking for data"):
        _ = data.train
    data.setup("fit")
    data.setup("test")
    assert data.loads == 1
    assert [[s.object for s in part] for part in (data.train, data.val, data.test)] == [["a", "b"], ["c"], ["d"]]
    assert data.split_hash == data.split(samples).hash
    assert data.fold_ids() == [None]
    assert not data.is_demo
    assert [batch.names for batch in data.test_dataloader()] == [("d/3",)]


def test_one_frame_rate_unless_others_are_allowed(make_sample: Maker) -> None:
    def module(fps: float, **options: bool) -> FourClips:
        data = FourClips([make_sample(n, 9, fps=fps if n == "a" else 30.0) for n in "abcd"], **options)
        data.setup()
        return data

    assert module(30.0).fps == module(30.1).fps == 30.0
    with pytest.raises(DataError, match=r"expected one frame rate, found 15 to 30 fps; .* set mixed_fps=True"):
        _ = module(15.0).fps
    assert module(15.0, mixed_fps=True).fps == 30.0


def test_what_is_seen_of_the_objects_is_part_of_every_batch(samples: list[MotionSample]) -> None:
    data = FourClips(samples, batch_size=4, observe=Observe(n_points=3))
    data.setup()
    whole = ClipStore.of(samples).object_points
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        first, again = (next(iter(loader)) for _ in range(2))  # type: ignore[call-overload]
        assert first.object_points.shape[1:] == (3, 3)
        gap = (first.object_points.reshape(-1, 1, 3) - whole.reshape(1, -1, 3)).norm(dim=-1).amin(-1)
        assert gap.max() < 1e-6
        assert first.object_points.equal(again.object_points)
