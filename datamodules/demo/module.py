"""Data module of the demo motions, which need no download, and what it has in common with that of the grasps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...files.errors import DataError, UnknownName
from ...geometry.progress import tracked
from ...hands.load import load_hand
from ...synthesis.clips import ObjectClips, object_clips, object_file
from ...synthesis.grasps import SHIPPED, ObjectGrasps, load_grasps
from ...synthesis.objects import TEST_OBJECTS, VAL_OBJECTS, object_names
from ...synthesis.reaches import FPS, ReachSettings
from ..base import Data, SplitDataModule, Subset
from ..clouds import object_cloud
from ..motion import MotionDataModule
from ..splits import Split, by_object
from ..types import MotionSample


class OfDemoObjects(SplitDataModule[Data, Subset]):
    """Base class of the data modules of the demo objects: which of them are used, and their grasps.

    Numbers obtained on them say nothing about recorded data; tables and runs call them "demo data". The test shapes are
    new objects but close relatives of the training shapes.

    Args:
        hand: the hand of the grasps; the shipped file is for `shadow`.
        objects: names of the objects used; all by default. UnknownName is raised for an unknown one.
        test_objects: of these, the test objects.
        val_objects: of these, the validation objects; may be empty.
        grasps: file made by `dexzoo synthesise`; the shipped one by default.
        **options: see the other base class.
    """

    title = "demo data"
    is_demo = True

    def __init__(
        self,
        hand: str = "shadow",
        *,
        objects: Sequence[str] | None = None,
        test_objects: Sequence[str] = TEST_OBJECTS,
        val_objects: Sequence[str] = VAL_OBJECTS,
        grasps: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        self.objects = tuple(objects or object_names())
        for name in (*self.objects, *test_objects, *val_objects):
            if name not in object_names():
                raise UnknownName("demo object", name, object_names())
        self.test_objects = tuple(name for name in test_objects if name in self.objects)
        self.val_objects = tuple(name for name in val_objects if name in self.objects)
        self.grasps = Path(grasps) if grasps else SHIPPED

    def grasps_by_object(self) -> dict[str, ObjectGrasps]:
        """Reads the grasps; raises BadFile if they cannot be read, DataError if they are of other hands or objects."""
        found = load_grasps(self.grasps, load_hand(self.hand))
        missing = [name for name in self.objects if name not in found]
        if missing:
            raise DataError(f"{self.grasps}: expected grasps of {', '.join(missing)}, found {', '.join(found)}")
        return found


class DemoMotion(OfDemoObjects[list[MotionSample], list[MotionSample]], MotionDataModule):
    """Generated reach-to-grasp clips of the Shadow hand and fourteen household shapes.

    Args:
        hand: see `OfDemoObjects`.
        clips: total number, divided evenly among the objects.
        clip_seed: seed of the clips, separate from `seed`, so that training seeds are compared on the same clips.
        settings: ranges from which clips are sampled.
        **options: see `OfDemoObjects` and `MotionDataModule`.
    """

    def __init__(
        self,
        hand: str = "shadow",
        *,
        clips: int = 1500,
        clip_seed: int = 0,
        settings: ReachSettings | None = None,
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        if clips < len(self.objects):
            raise DataError(f"clips: expected at least one for each of {len(self.objects)} objects, found {clips}")
        self.clips, self.clip_seed, self.settings = clips, clip_seed, settings or ReachSettings()

    def load(self) -> list[MotionSample]:
        """Makes the clips on first use, about a minute in all; object by object, so an interrupted run continues where
        it stopped.

        Raises DataError if the grasps are of another hand or other objects, or cannot be reached.
        """
        hand, grasps = load_hand(self.hand), self.grasps_by_object()
        share, rest = divmod(self.clips, len(self.objects))
        counts = {name: share + (i < rest) for i, name in enumerate(self.objects)}
        samples: list[MotionSample] = []
        for name in tracked(self.objects, "demo clips"):
            clips = object_clips(hand, grasps[name], counts[name], self.clip_seed, self.settings)
            samples += self._samples_of(name, clips)
        return samples

    def split(self, samples: Sequence[MotionSample]) -> Split:
        """Splits by object: `test_objects`, `val_objects`, and the rest for training."""
        return by_object(samples, self.val_objects, self.test_objects)

    def _samples_of(self, name: str, clips: ObjectClips) -> list[MotionSample]:
        mesh, samples, end = object_file(name), [], 0
        points = object_cloud(mesh, self.n_object_points)
        for i, length in enumerate(clips.length.tolist()):
            pose, end = clips.pose[end : end + length], end + length
            samples.append(
                MotionSample(
                    name=f"{name}/{i:04d}",
                    object=name,
                    recording=f"{name}/{i:04d}",
                    pose=pose,
                    goal=pose[-1],
                    fps=FPS,
                    object_points=points,
                    object_rotation=clips.rotation[i].expand(length, 3, 3),
                    object_translation=torch.zeros(length, 3),
                    mesh=mesh,
                )
            )
        return samples
