"""Data module of the demo grasps, which need no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...files.errors import DataError, UnknownName
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ...synthesis.clips import object_file
from ...synthesis.grasps import SHIPPED, load_grasps
from ...synthesis.objects import TEST_OBJECTS, VAL_OBJECTS, object_names
from ..clouds import object_cloud
from ..grasp_store import GraspObject, GraspStore
from ..grasps import GraspDataModule, GraspParts


class DemoGrasps(GraspDataModule):
    """Static grasps of the Shadow hand and fourteen household shapes, which ship with the package.

    Numbers obtained on them say nothing about recorded data; tables and runs call them "demo data". The test shapes are
    new objects but close relatives of the training shapes. Grasps are named "<object>/<row of the file>".

    Args:
        hand: the hand of the grasps; the shipped file is for `shadow`.
        objects: names of the objects used; all by default.
        test_objects: of these, the test objects.
        val_objects: of these, the validation objects; may be empty.
        grasps: file made by `dexzoo synthesise`; the shipped one by default.
        **options: see `GraspDataModule`.

    Raises:
        UnknownName: unknown demo object.
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

    def load(self) -> GraspStore:
        """Reads the grasps and samples the objects' clouds; raises BadFile if the file cannot be read, DataError if its
        grasps are of another hand or of other objects.
        """
        found = load_grasps(self.grasps, load_hand(self.hand))
        missing = [name for name in self.objects if name not in found]
        if missing:
            raise DataError(f"{self.grasps}: expected grasps of {', '.join(missing)}, found {', '.join(found)}")
        meshes = {name: object_file(name) for name in self.objects}
        poses = [found[name].pose for name in self.objects]
        return GraspStore.of(
            pose=HandPose.cat(poses),
            object=np.repeat(np.arange(len(poses)), [pose.shape[0] for pose in poses]),
            objects=[GraspObject(name, mesh) for name, mesh in meshes.items()],
            clouds=torch.stack([object_cloud(mesh, self.n_object_points) for mesh in meshes.values()]),
        )

    def split(self, store: GraspStore) -> GraspParts:
        """Splits by object: `test_objects`, `val_objects`, and the rest for training."""
        return GraspParts.by_object(store, self.val_objects, self.test_objects)
