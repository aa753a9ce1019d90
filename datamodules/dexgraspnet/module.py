"""DexGraspNet: 1.3 million grasps of 5,355 objects (Wang et al., ICRA 2023), read from the original layout."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.errors import check_names
from ...grasps.dexgraspnet import read_dexgraspnet
from ...hands.load import load_hand
from ..grasp_store import GraspObject, GraspStore
from ..grasps import GraspDataModule, GraspParts
from .clouds import solid_clouds
from .index import Format, Index, Source, open_index
from .splits import by_hash, by_lists
from .tree import GraspTree, find_dexgraspnet

_log = logging.getLogger(__name__)


class GraspFolder(GraspDataModule):
    """Base class of DexGraspNet and its relatives: an index of grasps, object clouds, splits by object.

    Args:
        root: folder of the download.
        hand: name or YAML of the hand, see `GraspDataModule`.
        split: "auto" takes the lists under the root if there are any, otherwise "hash"; "hash" assigns objects by a
            hash of their names; anything else is a file or folder of lists, see `splits.by_lists`.
        split_seed: seed of the hash.
        val_share: share of objects for validation; of the training objects if the lists name no validation objects.
        test_share: share of objects for testing; ignored with lists.
        object_points: "solid" samples the clouds from the outer surface of the meshes; "none" gives empty clouds and
            needs no mesh.
        on_bad: "raise" stops at a bad file, grasp or mesh; "skip" skips, logs and counts it.
        **options: see `GraspDataModule`.
    """

    form: Format
    up: tuple[float, float, float] | None = (math.nan, math.nan, math.nan)
    """Up direction in the objects' frames: unknown (NaN). None takes the table's normal."""
    sources_of_points: tuple[str, ...] = ("solid", "none")

    def __init__(
        self,
        root: str | Path | None = None,
        hand: str = "shadow",
        *,
        split: str = "auto",
        split_seed: int = 0,
        val_share: float = 0.05,
        test_share: float = 0.2,
        object_points: str = "solid",
        on_bad: str = "raise",
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        check_names(object_points=(object_points, self.sources_of_points), on_bad=(on_bad, ("raise", "skip")))
        self.root, self.split_by, self.split_seed = root, split, split_seed
        self.val_share, self.test_share = val_share, test_share
        self.object_points, self.on_bad = object_points, on_bad
        self.skipped: list[str] = []
        self.look_for_mark(root)

    @abstractmethod
    def find(self) -> GraspTree:
        """The files."""

    @cached_property
    def tree(self) -> GraspTree:
        """The files, searched once."""
        return self.find()

    def load(self) -> GraspStore:
        """Opens all grasps, from the cache if they were read before; `skipped` lists what was skipped.

        Raises DatasetNotFound without grasps under `root`, BadFile for a bad file, grasp or mesh, DataError without any
        grasp.
        """
        sources, hand = self.tree.sources, load_hand(self.hand)
        index = open_index(sources, self.form, hand, self.on_bad)
        clouds, bad = self._clouds(sources)
        self.skipped = [*index.skipped, *bad.values()]
        which = np.flatnonzero(~np.isin(index.object, list(bad)))
        objs = tuple(self._object(source, flags) for source, flags in zip(sources, index.flags, strict=True))
        return GraspStore(
            numbers=index.numbers,
            rows=index.rows,
            object=index.object,
            objects=objs,
            clouds=clouds,
            hand=hand.name,
            num_joints=hand.num_joints,
            indices=which,
            cloud=self._cloud_of(index),
            up=None if self.up is None else np.array(self.up, np.float32),
        )

    def split(self, store: GraspStore) -> GraspParts:
        """Splits the grasps by object, see the argument `split`; raises BadFile if the lists cannot be used."""
        lists = self.tree.lists if self.split_by == "auto" else None if self.split_by == "hash" else self.split_by
        names = store.object_names
        if lists is None:
            parts = by_hash(names, self.val_share, self.test_share, self.split_seed)
        else:
            parts = by_lists(names, lists, self.val_share, self.split_seed)
        _log.info("%s: split by %s", self.title, f"the lists in {lists}" if lists else f"hash {self.split_seed}")
        return GraspParts(**{part: store.of_objects(objects) for part, objects in parts.items()})

    def _clouds(self, sources: tuple[Source, ...]) -> tuple[NDArray[np.float32], dict[int, str]]:
        if self.object_points == "none":
            return np.zeros((len(sources), 0, 3), np.float32), {}
        missing = self.tree.missing
        if missing and self.on_bad == "raise":
            raise next(iter(missing.values()))
        for error in missing.values():
            _log.warning("left out: %s", error)
        clouds, bad = solid_clouds([source.mesh for source in sources], self.n_object_points, self.on_bad)
        return clouds, bad | {k: str(error) for k, error in missing.items()}

    def _cloud_of(self, index: Index) -> NDArray[np.int64] | None:
        """Index of each grasp's cloud, (n,); None takes that of its object."""
        return None

    def _object(self, source: Source, flags: tuple[str, ...]) -> GraspObject:
        return GraspObject(source.name, source.mesh, (*flags, "demo_data") if self.is_demo else flags)


def _flags(data: bytes) -> tuple[str, ...]:
    """Flags from the file's bytes: only the generator writes energies, and a pickle spells each key once."""
    return ("unvalidated",) if b"E_pen" in data or b"energy" in data else ()


class DexGraspNet(GraspFolder):
    """Grasps of the Shadow hand, optimised and tested in simulation; each object in five sizes.

    The object of a grasp is its mesh times the grasp's scale. Joints may exceed their limits (20 to 56 % of the grasps
    do): nothing is clamped; use `Hand.clamp` if needed. Unvalidated output of the generator can be read as well, and is
    flagged `unvalidated`. `root` holds `dataset` and `meshdata`; `hand` is "shadow", or the YAML of a hand with the
    same joints; see `GraspFolder` for the rest.
    """

    title = "DexGraspNet"
    dataset = "dexgraspnet"
    form = Format("dexgraspnet-1", lambda source, hand: read_dexgraspnet(source.files[0], hand), _flags)

    def find(self) -> GraspTree:
        """The files."""
        return find_dexgraspnet(self.root, self.object_points != "none")
