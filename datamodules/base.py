"""Base class of all data modules: data read once, in three parts, with loaders that are reproducible bit for bit."""

from __future__ import annotations

import hashlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.distributed as ranks
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from ..files.cache import cache_dir, content_key, write_folder_whole
from ..files.errors import DataError
from ..geometry.progress import working
from .observation import Observe

Transform = Callable[[Any, torch.Generator], Any]
"""Modifies a training batch; the given generator is its only source of random numbers."""

Data = TypeVar("Data")  # Type of the whole data set
Subset = TypeVar("Subset")  # Type of one of its parts
Item = TypeVar("Item")  # A batch

DEMO_MARK = "DEMO_DATA.txt"  # File that marks a generated tree; its first line is the title of the data

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts(ABC, Generic[Subset]):
    """Three parts of a data set."""

    train: Subset
    val: Subset
    test: Subset

    @property
    @abstractmethod
    def hash(self) -> str:
        """SHA-256 of the assignment of samples to parts."""


@dataclass(frozen=True)
class TrainingSet:
    """Training samples, and how an epoch draws them."""

    samples: Dataset  # fetches batches
    batch_size: int  # samples per batch and process
    at_least: int  # least number of samples per epoch; all samples are repeated as often as needed to reach it

    @property
    def passes(self) -> int:
        """Occurrences of each sample in an epoch."""
        return max(1, math.ceil(self.at_least / len(self.samples)))  # type: ignore[arg-type]


def mark_of(root: str | Path | None) -> Path | None:
    """The file `DEMO_MARK` of the generated tree that is `root` or contains it; None for any other folder."""
    if root is None:
        return None
    path = Path(root).expanduser().resolve()
    return next((mark for folder in (path, *path.parents) if (mark := folder / DEMO_MARK).is_file()), None)


def demo_tree_of(dataset: str, write: Callable[[Path], object], *versions: object) -> Path:
    """A generated tree in the layout of a data set, in the cache; written on first use, and again for other versions.

    It is whole even if two processes write it at the same time. Raises OSError if the cache can't be written.
    """
    path = cache_dir() / "demo_trees" / f"{dataset}-{content_key(*versions)[:8]}"
    if not path.is_dir():
        _log.info("writing demo data in the layout of %s to %s", dataset, path)
        write_folder_whole(path, write)
    return path


class SplitDataModule(LightningDataModule, ABC, Generic[Data, Subset]):
    """Base class of data modules: data in three parts that have no object (or recording) in common.

    Each kind of data is a subclass with `check`, `describe`, `flags` and loaders; each data set is a subclass of that
    with `load` and `split`.

    Args:
        hand: name or YAML of the hand.
        batch_size: samples in a training batch.
        eval_batch_size: samples in a validation or test batch.
        num_workers: loader processes.
        seed: of order and transforms; the same seed repeats a run bit for bit.
        n_object_points: points in each object's cloud.
        observe: what models see of the objects, in all parts; None shows whole clouds.

    Raises:
        DataError: a batch size below 1.
    """

    title: str  # Name of the data in tables and plots; contains "demo data" for demo data
    is_demo: bool = False  # Whether the data are generated
    dataset: str | None = None
    """Lower-case name of the data set whose layout is read, as in its variable DEXZOO_<NAME>; None without files."""

    def __init__(
        self,
        hand: str,
        *,
        batch_size: int,
        eval_batch_size: int,
        num_workers: int = 0,
        seed: int = 0,
        n_object_points: int = 1024,
        observe: Observe | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if value < 1:
                raise DataError(f"{name}: expected 1 or more, found {value}")
        self.hand, self.batch_size, self.eval_batch_size = hand, batch_size, eval_batch_size
        self.num_workers, self.seed, self.n_object_points = num_workers, seed, n_object_points
        self.observe = observe
        self._split: Parts[Subset] | None = None
        self._next: dict[str, int] | None = None  # state of a resumed training, until its loader is made

    def look_for_mark(self, root: str | Path | None) -> None:
        """Sets `is_demo` and `title` if the files are generated; see `mark_of`."""
        mark = mark_of(root)
        if mark is not None:
            self.is_demo, self.title = True, mark.read_text(encoding="utf-8").splitlines()[0]

    @abstractmethod
    def load(self) -> Data:
        """Reads or opens the whole data set."""

    @abstractmethod
    def split(self, whole: Data) -> Parts[Subset]:
        """Splits the data into parts."""

    @abstractmethod
    def check(self, split: Parts[Subset]) -> None:
        """Raises DataError if parts are not disjoint, or empty when they must not be."""

    @abstractmethod
    def describe(self, part: Subset) -> str:
        """Summary of a part in a few words, for the log."""

    @abstractmethod
    def training_set(self) -> TrainingSet:
        """Training samples with their transforms, and how an epoch draws them; after `setup`."""

    @abstractmethod
    def content(self, part: Subset) -> Iterator[bytes]:
        """Content of a part for hashing: the numbers of its samples in order, and their names."""

    @property
    @abstractmethod
    def flags(self) -> tuple[str, ...]:
        """Flags of the samples, sorted: caveats that a user must know."""

    def fold_ids(self) -> list[int | None]:
        """Folds of a cross-validation, or [None] if the data set has one fixed split."""
        return [None]

    @property
    def train_batch_size(self) -> int:
        """Samples in a training batch of one process."""
        return self.batch_size

    def prepare_data(self) -> None:
        """Reads the data in one process first, to fill the cache for the others of a distributed run."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Reads and splits the data, once."""
        if self._split is not None:
            return
        with working(f"reading {self.title}"):
            split = self.split(self.load())
        self.check(split)
        self._split = split
        parts = [self.describe(part) for part in (split.train, split.val, split.test)]
        _log.info("%s: %s to train, %s to validate, %s to test", self.title, *parts)
        for flag in self.flags:
            _log.info("%s: samples are flagged %s", self.title, flag)

    def state_dict(self) -> dict[str, int]:
        """Epoch and batch at which a training resumed from a checkpoint made now continues.

        A checkpoint from the end of an epoch names the next epoch; one from the middle names the first batch not yet
        trained on, and earlier batches are not drawn again.
        """
        if self.trainer is None:
            return {}
        loop = self.trainer.fit_loop
        epoch, batch = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current.ready
        begun = epoch.ready > epoch.processed and batch < loop.max_batches
        over = epoch.ready > epoch.processed and not begun  # validated, except for the hooks at its end
        return {"epoch": epoch.processed + over, "batch": batch if begun else 0}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continues from that state, if the trainer is about to train."""
        if self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._next = dict(state_dict)

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of `training_set`."""
        dealt = self.training_set()
        sampler = EpochSampler(dealt.samples, self.seed, dealt.passes)
        if self._next is not None:
            # Loader processes draw indices as soon as the loader exists, before Lightning sets the sampler's epoch of a
            # # resumed run.
            sampler.resume(self._next["epoch"], self._next["batch"] * dealt.batch_size)
            self._next = None
        elif self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)
        return self._loader(dealt.samples, dealt.batch_size, sampler)

    def first_batches(self, n: int) -> Iterator[Any]:
        """The first n training batches of all processes together; the same in each of them.

        Each batch has the samples of one step of all processes, as in a single process with that batch size.
        """
        dealt = self.training_set()
        sampler = EpochSampler(dealt.samples, self.seed, dealt.passes, together=True)
        loader = DataLoader(dealt.samples, dealt.batch_size * n_ranks(), sampler=sampler, collate_fn=as_is)
        return islice(iter(loader), n)

    @property
    def train(self) -> Subset:
        """Training part, after `setup`."""
        return self._parts.train

    @property
    def val(self) -> Subset:
        """Validation part, after `setup`; may be empty."""
        return self._parts.val

    @property
    def test(self) -> Subset:
        """Test part, after `setup`."""
        return self._parts.test

    @property
    def split_hash(self) -> str:
        """SHA-256 of the assignment of samples to parts."""
        return self._parts.hash

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of everything that was read into the parts: changes with the files and with the reader."""
        digest = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            for block in self.content(part):
                digest.update(block)
        return digest.hexdigest()

    @property
    def _parts(self) -> Parts[Subset]:
        if self._split is None:
            raise DataError(f"{self.title}: call setup() before asking for data")
        return self._split

    @property
    def _observed(self) -> tuple[Transform, ...]:
        return () if self.observe is None else (self.observe,)

    def _loader(self, dataset: Dataset, batch_size: int | None, sampler: EpochSampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=as_is,
            persistent_workers=self.num_workers > 0,
        )


class EpochSampler(DistributedSampler[int]):
    """Draws every one of n samples `passes` times per epoch, in an order that depends on (seed, epoch).

    Indices never repeat: i is sample `i % n` in pass `i // n` of the whole run, so the first index identifies a batch,
    and all its random numbers depend on (seed, that index). It splits the samples over the processes of a distributed
    run itself; because it is a `DistributedSampler`, Lightning sets its epoch and does not wrap it in another one.
    Together, the k-th batches of all processes are the k-th batch of a single process with that batch size, if the
    number of processes divides that of the samples; otherwise each pass is padded with its first samples. With
    `together`, every process gets all samples.
    """

    def __init__(self, dataset: Dataset, seed: int = 0, passes: int = 1, together: bool = False) -> None:
        world, rank = (1, 0) if together else (n_ranks(), this_rank())
        super().__init__(dataset, num_replicas=world, rank=rank, shuffle=True, seed=seed)
        self.passes, self._n = passes, len(dataset)  # type: ignore[arg-type]
        self._resumed = (0, 0)

    def resume(self, epoch: int, done: int) -> None:
        """Continues in an epoch of which this process already drew `done` samples; its length does not change."""
        self.set_epoch(epoch)
        self._resumed = (epoch, done)

    def __iter__(self) -> Iterator[int]:
        epoch, order = self.epoch, []
        for one in range(epoch * self.passes, (epoch + 1) * self.passes):
            self.epoch = one  # the permutation of the base class depends on (seed, epoch)
            order += [one * self._n + index for index in super().__iter__()]
        self.epoch = epoch
        return iter(order[self._resumed[1] :] if epoch == self._resumed[0] else order)

    def __len__(self) -> int:
        return self.passes * super().__len__()


def n_ranks() -> int:
    """Number of processes of a distributed run; 1 for any other."""
    return ranks.get_world_size() if ranks.is_available() and ranks.is_initialized() else 1


def this_rank() -> int:
    """Rank of this process, from 0."""
    return ranks.get_rank() if n_ranks() > 1 else 0


def as_is(batch: Any) -> Any:
    """The `collate_fn` of datasets that fetch whole batches."""
    return batch


def transformed(batch: Item, transforms: Iterable[Transform], generator: torch.Generator) -> Item:
    """Applies the transforms to a batch, one after the other."""
    for transform in transforms:
        batch = transform(batch, generator)
    return batch


def batch_generator(seed: int, *index: int) -> torch.Generator:
    """A generator that depends on (seed, index) alone, independent for neighbouring seeds and indices."""
    state = np.random.SeedSequence([seed, *index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # manual_seed takes 63 bits
