"""RealDex's grasps as static grasps: the last frames of its clips in which hand and object touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...files.errors import DataError, UnknownName
from ...hands.pose import HandPose
from ..grasp_store import GraspObject, GraspStore
from ..grasps import GraspDataModule, GraspParts
from ..types import MotionSample
from .contact import CONTACT, grasp_samples
from .module import RealDexMotion

_SPLITS = ("auto", "paper", "objects")


class RealDexGrasps(GraspDataModule):
    """Static grasps of RealDex in the object frame; see `contact.grasp_samples` and `RealDexMotion`.

    Grasps are named "<object>/<number>", the number counting the object's grasps in the order of its clips.

    Args:
        root: see `RealDexMotion`.
        hand: name or YAML of the hand to convert to. "shadow_e3m5" is the robot that was recorded.
        last: frames at the end of each clip, of which those with contact are taken.
        contact_threshold: metres between hand and object that count as contact.
        split: "paper" (its objects), "objects" (folds), or "auto": the paper's if its test objects are present.
        fold: fold number, from 0; "all" is for run.py, which runs all folds.
        n_folds: number of folds.
        n_val: number of a fold's training objects that are held out for validation.
        models: folder or zip of `<object>.obj`; None means `<root>/models` or `<root>/models.zip`.
        object_points: "mesh" samples the clouds from the meshes; "scene" takes the cameras' view at the start of each
            clip, see `RealDexMotion`. Contact is measured on the meshes in either case.
        fps: frames per second of the recordings; None reads `rgbimage_timestamp.txt`.
        on_bad: "raise" stops at a bad recording; "skip" skips, logs and counts it.
        limit_tolerance: radians by which the last frame of a clip may exceed the robot's joint limits.
        poses: "tf", "final_data" or "auto", see `RealDexMotion`.
        **options: see `GraspDataModule`.

    Raises:
        UnknownName: unknown setting.
        DataError: `last` below 1.
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
        fold: int | Literal["all"] = 0,
        n_folds: int = 3,
        n_val: int = 0,
        models: str | Path | None = None,
        object_points: str = "mesh",
        fps: float | None = None,
        on_bad: str = "raise",
        limit_tolerance: float = 0.35,
        poses: str = "auto",
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        for what, name, known in (
            ("split", split, _SPLITS),
            ("object_points", object_points, ("mesh", "scene")),
        ):
            if name not in known:
                raise UnknownName(what, name, known)
        if last < 1:
            raise DataError(f"last: expected 1 or more frames of each clip, found {last}")
        self.motion = RealDexMotion(
            root,
            hand,
            split=split,
            fold=fold,
            n_folds=n_folds,
            n_val=n_val,
            models=models,
            object_points=object_points,
            fps=fps,
            on_bad=on_bad,
            limit_tolerance=limit_tolerance,
            poses=poses,
            contact_threshold=contact_threshold,
            n_object_points=self.n_object_points,
        )
        self.last, self.contact_threshold = last, contact_threshold
        self.is_demo, self.title = self.motion.is_demo, self.motion.title
        self._clips: list[MotionSample] = []

    @property
    def skipped(self) -> list[str]:
        """Why each bad recording or zip was skipped."""
        return self.motion.skipped

    def fold_ids(self) -> list[int | None]:
        """[0, ..., n_folds - 1] if the split has folds, [None] for the paper's; only reads folder names."""
        return self.motion.fold_ids()

    def load(self) -> GraspStore:
        """Reads all recordings and takes the grasps at the end of their clips.

        Raises:
            DatasetNotFound, DataError, PickleFileError, MeshError, UnsafePickleError: as for `RealDexMotion.load`.
            DataError: no clip ends in contact.
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
        """Splits by object; see the argument `split`.

        Raises:
            DataError: there is only one object, or train or test is empty.
        """
        objects = {clip.object for clip in self._clips}
        if len(objects) < 2:
            raise DataError(
                f"split: expected at least two objects, since parts must not share any, found {', '.join(objects)}"
            )
        parts = self.motion.split(self._clips)
        val, test = (sorted({clip.object for clip in part}) for part in (parts.val, parts.test))
        return GraspParts.by_object(store, val, test)
