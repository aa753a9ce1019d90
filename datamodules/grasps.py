"""Base class of data modules for static grasps: parts by object, batches of single grasps, test batches by object."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ..files.errors import DataError, check_names
from .base import Parts, SplitDataModule, TrainingSet, Transform, batch_generator, transformed
from .grasp_store import GraspStore
from .observation import Observe
from .splits import check_disjoint, check_not_empty
from .types import GraspBatch

SCALES = ("one", "all")
_BLOCK = 65536  # Grasps loaded into memory at a time
_SAME_TABLE = 0.05  # Largest distance of two tables' unit normals that count as the same, about 3 degrees


class GraspParts(Parts[GraspStore]):
    """Three parts of a data set of grasps."""

    @property
    def hash(self) -> str:
        """SHA-256 of the objects and the rows of the grasps in each part."""
        return hashlib.sha256("".join(part.hash for part in (self.train, self.val, self.test)).encode()).hexdigest()

    @staticmethod
    def by_object(store: GraspStore, val: Sequence[str], test: Sequence[str]) -> GraspParts:
        """Splits by object: those in `val` and `test`, and all others for training."""
        train = set(store.object_names) - {*val, *test}
        return GraspParts(store.of_objects(train), store.of_objects(set(val)), store.of_objects(set(test)))


class GraspDataset(Dataset[GraspBatch]):
    """Training batches of single grasps, the transforms applied in order to each.

    Index i is grasp `i % len` of the store; all random numbers of a batch depend on (seed, its first index), see
    `base.EpochSampler`.
    """

    def __init__(self, store: GraspStore, seed: int = 0, transforms: Sequence[Transform] = ()) -> None:
        self.store, self.seed, self.transforms = store, seed, tuple(transforms)

    def __len__(self) -> int:
        return len(self.store)

    def __getitems__(self, indices: Sequence[int]) -> GraspBatch:
        """The batch of these grasps."""
        batch = self.store.batch(np.asarray(indices, np.int64) % len(self))
        return transformed(batch, self.transforms, batch_generator(self.seed, indices[0]))


class ObjectDataset(Dataset[GraspBatch]):
    """Test batches: item i is scene i, one object at one scale, on one table if the data have tables.

    Args:
        store: the grasps.
        max_grasps: largest number of grasps of a scene, evenly spread over all of its grasps; 1 or more, or DataError.
        scales: "one" takes the middle scale of each object (the smaller of two), and then the table with the most
            grasps; "all" takes all; anything else raises UnknownName.
        observe: gives the observation of a scene, the same for all its grasps.
        seed: seed of `observe`; a scene always gets the same observation.
    """

    def __init__(
        self,
        store: GraspStore,
        max_grasps: int = 50,
        scales: str = "one",
        observe: Observe | None = None,
        seed: int = 0,
    ) -> None:
        check_eval(max_grasps, scales)
        self.store, self.observe, self.seed = store, observe, seed
        self.scenes = [_spread(scene, max_grasps) for scene in _scenes(store, scales)]

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> GraspBatch:
        """Up to `max_grasps` grasps of one scene, all with the same cloud."""
        batch = self.store.batch(self.scenes[index])
        first = self.store.batch(self.scenes[index][:1])
        if self.observe is not None:
            first = self.observe(first, batch_generator(self.seed, index))
        points = first.object_points
        return replace(batch, object_points=points.expand(len(batch.names), *points.shape[1:]))


def check_eval(grasps: int, scales: str) -> None:
    """Raises DataError or UnknownName for invalid settings of test batches."""
    if grasps < 1:
        raise DataError(f"eval_grasps: expected 1 or more, found {grasps}")
    check_names(eval_scales=(scales, SCALES))


class GraspDataModule(SplitDataModule[GraspStore, GraspStore]):
    """Static grasps in the object frame, each object in one part only: batches of single grasps, test batches by
    object.

    Each data set is a subclass with `load` and `split`. Validation grasps are observed but not transformed.

    Args:
        hand: name or YAML of the hand of the grasps.
        batch_size: grasps in a training batch.
        eval_batch_size: grasps in a validation batch; a test batch is one object, see `ObjectDataset`.
        min_grasps_per_epoch: an epoch repeats all grasps as often as needed to reach this number.
        transforms: modifies training batches, after `observe`: one of `transforms`, or several with `Compose`; None
            does nothing.
        eval_grasps: largest number of grasps per test object.
        eval_scales: "one" tests each object at its middle scale, "all" at each.
        **base: see `SplitDataModule`; batches take milliseconds, so `num_workers=0` is fastest for small models.
    """

    def __init__(
        self,
        hand: str = "shadow",
        *,
        batch_size: int = 64,
        eval_batch_size: int = 256,
        min_grasps_per_epoch: int = 20_000,
        transforms: Transform | None = None,
        eval_grasps: int = 50,
        eval_scales: str = "one",
        **base: Any,
    ) -> None:
        super().__init__(hand, batch_size=batch_size, eval_batch_size=eval_batch_size, **base)
        check_eval(eval_grasps, eval_scales)
        self.min_grasps_per_epoch, self.transforms = min_grasps_per_epoch, transforms
        self.eval_grasps, self.eval_scales = eval_grasps, eval_scales

    def check(self, split: Parts[GraspStore]) -> None:
        """Raises DataError, naming the culprits, if train or test is empty or an object is in two parts."""
        check_not_empty("grasps", train=split.train, test=split.test)
        check_disjoint("object", *(set(part.object_names) for part in (split.train, split.val, split.test)))

    def describe(self, part: GraspStore) -> str:
        """Numbers of grasps and objects."""
        return f"{len(part)} grasps of {len(part.object_names)} objects"

    def content(self, part: GraspStore) -> Iterator[bytes]:
        """Names of the objects, numbers of the grasps, and their clouds."""
        yield part.hash.encode()
        for some in np.array_split(part.indices, len(part.indices) // _BLOCK + 1):
            yield np.ascontiguousarray(part.numbers[some]).tobytes()
        for k in np.unique(part.clouds_used):
            yield np.ascontiguousarray(part.clouds[k]).tobytes()

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of the grasps, sorted."""
        return tuple(sorted({flag for obj in self.train.objects for flag in obj.flags}))

    def training_set(self) -> TrainingSet:
        """The training grasps, one by one."""
        transforms = [*self._observed, *([self.transforms] if self.transforms is not None else [])]
        samples = GraspDataset(self.train, self.seed, transforms)
        return TrainingSet(samples, self.train_batch_size, self.min_grasps_per_epoch)

    def val_dataloader(self) -> DataLoader[GraspBatch] | list[DataLoader[GraspBatch]]:
        """Validation grasps in order; [] if there are none, which Lightning understands as "do not validate"."""
        if not len(self.val):
            return []
        return self._loader(GraspDataset(self.val, self.seed, self._observed), self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[GraspBatch]:
        """One batch for each test object (and each scale with `eval_scales="all"`), see `ObjectDataset`."""
        dataset = ObjectDataset(self.test, self.eval_grasps, self.eval_scales, self.observe, self.seed)
        return self._loader(dataset, None)


def _scenes(store: GraspStore, scales: str) -> list[NDArray[np.int64]]:
    """Indices of the grasps of each scene, by object and scale, in the order of the store."""
    here, scale = store.object[store.indices], store.scale.numpy().round(6)
    plane = store.plane
    found: list[NDArray[np.int64]] = []
    order = np.lexsort((scale, here))  # stable
    starts = np.flatnonzero(np.diff(here[order], prepend=-1))
    for of_object in np.split(order, starts[1:]) if len(starts) else []:
        sizes = np.unique(scale[of_object])
        if scales == "one":
            sizes = sizes[[(len(sizes) - 1) // 2]]
        for size in sizes:
            rows = of_object[scale[of_object] == size]
            tables = [rows] if plane is None else _by_table(rows, plane[rows, :3].numpy())
            found += [max(tables, key=len)] if scales == "one" else tables
    return found


def _by_table(rows: NDArray[np.int64], normal: NDArray) -> list[NDArray[np.int64]]:
    """Groups rows by table: their normals (n, 3) differ only by rounding."""
    left, tables = np.arange(len(rows)), []
    while len(left):
        near = np.linalg.norm(normal[left] - normal[left[0]], axis=1) <= _SAME_TABLE
        tables.append(rows[left[near]])
        left = left[~near]
    return tables


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` rows, evenly spread, including the first and (if two or more) the last."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(np.int64)]
