"""Base class of data modules for motions: training windows, whole test clips, the frame rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader

from ..files.errors import DataError
from .base import Parts, SplitDataModule, TrainingSet
from .splits import Split, assert_disjoint
from .transforms import HistoryNoise
from .types import FUTURE, ClipBatch, MotionSample
from .windows import ClipDataset, ClipStore, WindowDataset


class MotionDataModule(SplitDataModule[list[MotionSample], list[MotionSample]]):
    """Reach-to-grasp clips: windows for training, whole clips for validation and testing.

    Each data set is a subclass with `load` and `split`; `observe` sees the object at the first frame of its clip, in
    the world frame.

    Args:
        hand: name or YAML of the hand that the clips are converted to.
        batch_size: windows in a training batch.
        eval_batch_size: clips in a validation or test batch.
        clips_per_batch: number of whole clips per training batch; None trains on windows.
        min_windows_per_epoch: an epoch repeats all windows as often as needed to reach this number, so that epochs are
            not too short for a few recordings.
        speed_range: (low, high) of the playback speed of training windows; None keeps the recorded speed.
        first_window_weight: how often an epoch contains the window at a clip's start, whereas every other window occurs
            once. A rollout in chunks of 10 frames begins there and visits each other frame in one of ten clips, so 10
            matches training to use.
        history_noise: noise on the past of training windows; None for no noise.
        mixed_fps: allows clips of different frame rates.
        **base: see `SplitDataModule`; batches take about a millisecond, so `num_workers=0` is fastest for small models.
    """

    split_group: str = "object"  # Unit that parts must not share: "object" or "recording"

    def __init__(
        self,
        hand: str = "shadow",
        *,
        batch_size: int = 128,
        eval_batch_size: int = 64,
        clips_per_batch: int | None = None,
        min_windows_per_epoch: int = 20_000,
        speed_range: Sequence[float] | None = None,
        first_window_weight: int = FUTURE,
        history_noise: HistoryNoise | None = None,
        mixed_fps: bool = False,
        **base: Any,
    ) -> None:
        super().__init__(hand, batch_size=batch_size, eval_batch_size=eval_batch_size, **base)
        self.clips_per_batch = clips_per_batch
        self.min_windows_per_epoch, self.mixed_fps = min_windows_per_epoch, mixed_fps
        self.speed_range = None if speed_range is None else (float(speed_range[0]), float(speed_range[1]))
        self.first_window_weight, self.history_noise = first_window_weight, history_noise

    def check(self, split: Parts[list[MotionSample]]) -> None:
        """Raises DataError if an object (or a recording) is in more than one part."""
        assert_disjoint(Split(split.train, split.val, split.test), self.split_group)

    def describe(self, part: list[MotionSample]) -> str:
        """Number of clips."""
        return f"{len(part)} clips"

    def content(self, part: list[MotionSample]) -> Iterator[bytes]:
        """Names, poses, objects and clouds of the clips."""
        for clip in part:
            yield f"{clip.name} {clip.object} {clip.fps:g}".encode()
            poses = (x for pose in (clip.pose, clip.goal) for x in (pose.translation, pose.rotation, pose.joints))
            for x in (*poses, clip.object_points, clip.object_rotation, clip.object_translation):
                yield x.numpy().tobytes()

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of the clips, sorted."""
        return tuple(sorted({flag for sample in self._samples for flag in sample.flags}))

    @property
    def fps(self) -> float:
        """Frames per second, the median of all clips; raises DataError if two differ by more than 1 %, unless
        `mixed_fps`.
        """
        rates = sorted(sample.fps for sample in self._samples)
        if rates[-1] > 1.01 * rates[0] and not self.mixed_fps:
            raise DataError(
                f"{self.title}: expected one frame rate, found {rates[0]:g} to {rates[-1]:g} fps; models predict "
                "frames, not seconds: set mixed_fps=True if that is what you want"
            )
        return rates[len(rates) // 2]

    @property
    def train_batch_size(self) -> int:
        """Windows or clips per training batch of one process."""
        return self.batch_size if self.clips_per_batch is None else self.clips_per_batch

    def training_set(self) -> TrainingSet:
        """Windows of the training clips, or whole clips; an epoch has about as many frames of either."""
        if self.clips_per_batch is not None:
            frames = sum(len(sample.pose.joints) for sample in self.train)
            clips = ClipDataset(ClipStore.of(self.train), self.seed, self._observed)
            at_least = math.ceil(self.min_windows_per_epoch * len(self.train) / frames)
            return TrainingSet(clips, self.train_batch_size, at_least)
        noise = [self.history_noise] if self.history_noise else []
        transforms = [*self._observed, *noise]
        store = ClipStore.of(self.train)
        windows = WindowDataset(store, self.seed, self.speed_range, transforms, self.first_window_weight)
        return TrainingSet(windows, self.train_batch_size, self.min_windows_per_epoch)

    def val_dataloader(self) -> DataLoader[ClipBatch] | list[DataLoader[ClipBatch]]:
        """Whole validation clips; [] if there are none, which Lightning understands as "do not validate"."""
        return self._clips(self.val) if self.val else []

    def test_dataloader(self) -> DataLoader[ClipBatch]:
        """Whole test clips, in order."""
        return self._clips(self.test)

    @property
    def _samples(self) -> list[MotionSample]:
        return self.train + self.val + self.test

    def _clips(self, samples: Sequence[MotionSample]) -> DataLoader[ClipBatch]:
        dataset = ClipDataset(ClipStore.of(samples), self.seed, self._observed)
        return self._loader(dataset, self.eval_batch_size)
