"""What all data modules for static grasps share: parts by object, loaders of `GraspBatch`, the hash of the split."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch.distributed as ranks
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from .errors import DataError
from .grasp_store import GraspStore
from .types import GraspBatch, GraspSample
from .windows import as_is

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraspParts:
    """Three parts of a data set of grasps."""

    train: GraspStore
    val: GraspStore
    test: GraspStore

    @property
    def hash(self) -> str:
        """SHA-256 over the objects and the rows of the grasps in each part."""
        return hashlib.sha256("".join(part.hash for part in (self.train, self.val, self.test)).encode()).hexdigest()

    def check(self) -> None:
        """Raises DataError, naming them, where train or test is empty or an object is in two parts."""
        for name, part in (("train", self.train), ("test", self.test)):
            if not len(part):
                raise DataError(
                    f"split: expected grasps in every part, found none for {name}; choose another data.split"
                )
        train, val, test = (set(part.object_names) for part in (self.train, self.val, self.test))
        torn = (train & val) | (train & test) | (val & test)
        if torn:
            raise DataError(f"split: expected disjoint parts, found object {', '.join(sorted(torn))} in more than one")


class GraspDataset(Dataset[GraspSample]):
    """Grasps for a `DataLoader`, which fetches whole batches from the flat arrays."""

    def __init__(self, store: GraspStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> GraspSample:
        return self.store[index]

    def __getitems__(self, indices: Sequence[int]) -> GraspBatch:
        """The batch of these grasps."""
        return self.store.batch(indices)


class GraspSampler(DistributedSampler[int]):
    """Deals every grasp once an epoch, in an order that follows from (seed, epoch), shared out between processes."""

    def __init__(self, dataset: GraspDataset, seed: int = 0) -> None:
        running = ranks.is_available() and ranks.is_initialized()
        world, rank = (ranks.get_world_size(), ranks.get_rank()) if running else (1, 0)
        super().__init__(dataset, num_replicas=world, rank=rank, shuffle=True, seed=seed)


class GraspDataModule(LightningDataModule, ABC):
    """Static grasps in the object's frame: batches of single grasps, objects in one part only.

    A data set is a subclass with `load` and `split`.

    Args:
        hand: name or YAML of the hand that the grasps are of.
        batch_size: grasps in a training batch.
        eval_batch_size: grasps in a validation or test batch.
        num_workers: loader processes; a batch of 256 takes milliseconds, so 0 is fastest while the model is small.
        seed: of the order; a run is repeated bit for bit by the same seed.
        n_object_points: points in each object's cloud.
    """

    title: str
    """Name of the data in tables and plots; it says "demo data" where it is."""
    is_demo: bool = False
    """Whether the grasps are generated."""

    def __init__(
        self,
        hand: str = "shadow",
        *,
        batch_size: int = 256,
        eval_batch_size: int = 256,
        num_workers: int = 0,
        seed: int = 0,
        n_object_points: int = 1024,
    ) -> None:
        super().__init__()
        for name, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if value < 1:
                raise DataError(f"data.{name}: expected 1 or more, found {value}")
        self.hand, self.batch_size, self.eval_batch_size = hand, batch_size, eval_batch_size
        self.num_workers, self.seed, self.n_object_points = num_workers, seed, n_object_points
        self._split: GraspParts | None = None

    @abstractmethod
    def load(self) -> GraspStore:
        """Opens all grasps."""

    @abstractmethod
    def split(self, store: GraspStore) -> GraspParts:
        """Deals the grasps into parts that share no object."""

    def prepare_data(self) -> None:
        """Reads in one process first, which fills the cache for the others of a distributed run."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Opens and splits the grasps, once."""
        if self._split is not None:
            return
        split = self.split(self.load())
        split.check()
        self._split = split
        counts = [f"{len(p)} grasps of {len(p.object_names)} objects" for p in (split.train, split.val, split.test)]
        _log.info("%s: %s to train, %s to validate, %s to test", self.title, *counts)
        for flag in self.flags:
            _log.info("%s: grasps are flagged %s", self.title, flag)

    @property
    def train(self) -> GraspStore:
        """Training grasps, after `setup`."""
        return self._parts.train

    @property
    def val(self) -> GraspStore:
        """Validation grasps, after `setup`; there may be none."""
        return self._parts.val

    @property
    def test(self) -> GraspStore:
        """Test grasps, after `setup`."""
        return self._parts.test

    @property
    def split_hash(self) -> str:
        """SHA-256 over the objects and the rows of the grasps in each part."""
        return self._parts.hash

    @property
    def flags(self) -> tuple[str, ...]:
        """What a user must know of the grasps, sorted."""
        return tuple(sorted({flag for thing in self.train.objects for flag in thing.flags}))

    def train_dataloader(self) -> DataLoader[GraspBatch]:
        """Shuffled batches of the training grasps."""
        dataset = GraspDataset(self.train)
        sampler = GraspSampler(dataset, self.seed)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)  # a resumed run draws its first indices before Lightning does
        return self._loader(dataset, self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[GraspBatch] | list[DataLoader[GraspBatch]]:
        """Validation grasps in order; [] where there are none, which Lightning takes for "do not validate"."""
        return self._loader(GraspDataset(self.val), self.eval_batch_size) if len(self.val) else []

    def test_dataloader(self) -> DataLoader[GraspBatch]:
        """Test grasps, in order."""
        return self._loader(GraspDataset(self.test), self.eval_batch_size)

    @property
    def _parts(self) -> GraspParts:
        if self._split is None:
            raise DataError(f"{self.title}: call setup() before asking for grasps")
        return self._split

    def _loader(self, dataset: GraspDataset, batch_size: int, sampler: GraspSampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=as_is,
            persistent_workers=self.num_workers > 0,
        )
