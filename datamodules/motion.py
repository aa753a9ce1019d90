"""What all data modules for motions share: parts, loaders, frame rate, and the hash of the split."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from .errors import DataError
from .splits import Split, assert_disjoint
from .transforms import HistoryNoise
from .types import ClipBatch, MotionBatch, MotionSample
from .windows import ClipDataset, ClipStore, WindowDataset, WindowSampler, as_is

_log = logging.getLogger(__name__)


class MotionDataModule(LightningDataModule, ABC):
    """Reach-to-grasp clips: windows to train on, whole clips to validate and test on.

    A data set is a subclass with `load` and `split`.

    Args:
        hand: name or YAML of the hand that the clips are converted to.
        batch_size: windows in a training batch.
        eval_batch_size: clips in a validation or test batch.
        num_workers: loader processes; 0 is fastest while the model is small, a batch takes about a millisecond.
        seed: of order, speeds and noise; a run is repeated bit for bit by the same seed.
        n_object_points: points in each object's cloud.
        min_windows_per_epoch: an epoch deals all windows as often as it takes to reach this number, so that its length
            in steps does not shrink to nothing on a few recordings.
        speed_range: (low, high) of the speeds that training windows are played at; None plays them as recorded.
        history_noise: noise on the past of training windows; None leaves it true.
        mixed_fps: allows clips of different frame rates.
    """

    title: str
    """Name of the data in tables and plots; it says "demo data" where it is."""
    is_demo: bool = False
    """Whether the clips are generated."""
    split_group: str = "object"
    """What the parts have none in common of: "object" or "recording"."""

    def __init__(
        self,
        hand: str = "shadow",
        *,
        batch_size: int = 128,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        n_object_points: int = 1024,
        min_windows_per_epoch: int = 20_000,
        speed_range: Sequence[float] | None = None,
        history_noise: HistoryNoise | None = None,
        mixed_fps: bool = False,
    ) -> None:
        super().__init__()
        self.hand, self.batch_size, self.eval_batch_size = hand, batch_size, eval_batch_size
        self.num_workers, self.seed, self.n_object_points = num_workers, seed, n_object_points
        self.min_windows_per_epoch, self.mixed_fps = min_windows_per_epoch, mixed_fps
        self.speed_range = None if speed_range is None else (float(speed_range[0]), float(speed_range[1]))
        self.history_noise = history_noise
        self._split: Split | None = None

    @abstractmethod
    def load(self) -> list[MotionSample]:
        """Reads all clips."""

    @abstractmethod
    def split(self, samples: Sequence[MotionSample]) -> Split:
        """Deals the clips into parts that share no `split_group`."""

    def fold_ids(self) -> list[int | None]:
        """Folds of a cross-validation, or [None] where the data set has one fixed split."""
        return [None]

    def prepare_data(self) -> None:
        """Reads in one process first, which fills the cache for the others of a distributed run."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Reads and splits the clips, once."""
        if self._split is not None:
            return
        split = self.split(self.load())
        assert_disjoint(split, self.split_group)
        self._split = split
        parts = (len(split.train), len(split.val), len(split.test))
        _log.info("%s: %d clips to train, %d to validate, %d to test", self.title, *parts)
        for flag in self.flags:
            _log.info("%s: clips are flagged %s", self.title, flag)

    @property
    def train(self) -> list[MotionSample]:
        """Training clips, after `setup`."""
        return self._parts.train

    @property
    def val(self) -> list[MotionSample]:
        """Validation clips, after `setup`; there may be none."""
        return self._parts.val

    @property
    def test(self) -> list[MotionSample]:
        """Test clips, after `setup`."""
        return self._parts.test

    @property
    def split_hash(self) -> str:
        """SHA-256 over the sorted names of the clips of each part."""
        return self._parts.hash

    @property
    def flags(self) -> tuple[str, ...]:
        """What a user must know of the clips, sorted."""
        return tuple(sorted({flag for sample in self._samples for flag in sample.flags}))

    @property
    def fps(self) -> float:
        """Frames per second, the median of all clips.

        Raises:
            DataError: two clips differ by more than 1 %, unless `mixed_fps` allows it.
        """
        rates = sorted(sample.fps for sample in self._samples)
        if rates[-1] > 1.01 * rates[0] and not self.mixed_fps:
            raise DataError(
                f"{self.title}: expected one frame rate, found {rates[0]:g} to {rates[-1]:g} fps; models predict "
                "frames, not seconds: set data.mixed_fps=true if that is what you want"
            )
        return rates[len(rates) // 2]

    def train_dataloader(self) -> DataLoader[MotionBatch]:
        """Windows of the training clips."""
        noise = [self.history_noise] if self.history_noise else []
        dataset = WindowDataset(ClipStore.of(self.train), self.seed, self.speed_range, noise)
        passes = max(1, math.ceil(self.min_windows_per_epoch / len(dataset)))
        sampler = WindowSampler(dataset, self.seed, passes)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)  # a resumed run draws its first indices before Lightning does
        return self._loader(dataset, self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[ClipBatch] | list[DataLoader[ClipBatch]]:
        """Whole validation clips; [] where there are none, which Lightning takes for "do not validate"."""
        return self._clips(self.val) if self.val else []

    def test_dataloader(self) -> DataLoader[ClipBatch]:
        """Whole test clips, in order."""
        return self._clips(self.test)

    @property
    def _parts(self) -> Split:
        if self._split is None:
            raise DataError(f"{self.title}: call setup() before asking for clips")
        return self._split

    @property
    def _samples(self) -> list[MotionSample]:
        return self.train + self.val + self.test

    def _clips(self, samples: Sequence[MotionSample]) -> DataLoader[ClipBatch]:
        return self._loader(ClipDataset(ClipStore.of(samples)), self.eval_batch_size)

    def _loader(
        self, dataset: WindowDataset | ClipDataset, batch_size: int, sampler: WindowSampler | None = None
    ) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=as_is,
            persistent_workers=self.num_workers > 0,
        )
