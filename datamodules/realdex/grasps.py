"""RealDex's grasps as static grasps: the last frames of its clips in which hand and object touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...files.errors import DataError, check_names
from ...hands.pose import HandPose
from ..grasp_store import GraspObject, GraspStore
from ..grasps import GraspDataModule, GraspParts
from ..types import MotionSample
from .contact import CONTACT, grasp_samples
from .module import RealDexMotion

_SPLITS = ("auto", "paper", "objects")
_READING = ("fold", "n_folds", "n_val", "models", "fps", "on_bad", "limit_tolerance", "poses")


class RealDexGrasps(GraspDataModule):
    """Static grasps of RealDex in the object frame; see `contact.grasp_samples` and, for all other arguments,
    `RealDexMotion`.

    Grasps are named "<object>/<number>", the number counting the object's grasps in the order of its clips. Contact is
    measured on the meshes, wherever the clouds come from.

    Args:
        last: frames at the end of each clip, of which those with contact are taken.
        contact_threshold: metres between hand and object that count as contact.
        split: "paper" (its objects), "objects" (folds), or "auto": the paper's if its test objects are present.
        limit_tolerance: radians by which the last frame of a clip may exceed the robot's joint limits.
        **options: see `GraspDataModule`.
    """

    title = "RealDex"
    dataset = "realdex"

    def __init__(
        self,
        root: str | Path | None = None,
        hand: str = "shadow",
        *,
        last: int = 5,
        contact_threshold: float = CONTACT,
        split: str = "auto",
        object_points: str = "mesh",
        **options: Any,
    ) -> None:
        reading = {name: options.pop(name) for name in _READING if name in options}
        super().__init__(hand, **options)
        check_names(split=(split, _SPLITS), object_points=(object_points, ("mesh", "scene")))
        if last < 1:
            raise DataError(f"last: expected 1 or more frames of each clip, found {last}")
        reading |= {"contact_threshold": contact_threshold, "n_object_points": self.n_object_points}
        self.motion = RealDexMotion(root, hand, split=split, object_points=object_points, **reading)
        self.last, self.contact_threshold = last, contact_threshold
        self.is_demo, self.title = self.motion.is_demo, self.motion.title
        self._clips: list[MotionSample] = []

    @property
    def skipped(self) -> list[str]:
        """Reasons for which bad recordings or zips were skipped."""
        return self.motion.skipped

    def fold_ids(self) -> list[int | None]:
        """[0, ..., n_folds - 1] if the split has folds, [None] for the paper's; only reads folder names."""
        return self.motion.fold_ids()

    def load(self) -> GraspStore:
        """Reads all recordings and takes the grasps at the end of their clips; raises like `RealDexMotion.load`, and
        DataError if no clip ends in contact.
        """
        self._clips = self.motion.load()
        samples = grasp_samples(self._clips, self.last, self.contact_threshold)
        if not samples:
            raise DataError(
                f"{self.motion.root}: expected contact in the last {self.last} frames of some clip, found none of "
                f"{len(self._clips)} clips within {self.contact_threshold:g} m: see `contact_threshold` and `last`"
            )
        meshes = {sample.object: sample.mesh for sample in samples}
        flags = {name: {flag for s in samples if s.object == name for flag in s.flags} for name in meshes}
        clips = {sample.name.rpartition("/")[0]: sample.object_points for sample in samples}
        names, of_clip = list(meshes), list(clips)
        return GraspStore.of(
            pose=HandPose.stack([sample.pose for sample in samples]),
            object=np.array([names.index(sample.object) for sample in samples]),
            objects=[GraspObject(name, meshes[name], tuple(sorted(flags[name]))) for name in names],
            clouds=torch.stack(list(clips.values())),
            cloud=np.array([of_clip.index(sample.name.rpartition("/")[0]) for sample in samples]),
            up=torch.stack([sample.up for sample in samples if sample.up is not None]),
        )

    def split(self, store: GraspStore) -> GraspParts:
        """Splits by object, see the argument `split`; raises DataError for a single object, or if train or test is
        empty.
        """
        objects = {clip.object for clip in self._clips}
        if len(objects) < 2:
            expected = "at least two objects, since parts must not share any"
            raise DataError(f"split: expected {expected}, found {', '.join(objects)}")
        parts = self.motion.split(self._clips)
        val, test = (sorted({clip.object for clip in part}) for part in (parts.val, parts.test))
        return GraspParts.by_object(store, val, test)
