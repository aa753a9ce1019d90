"""Data module of the demo grasps, which need no download."""

from __future__ import annotations

import numpy as np
import torch

from ...hands.pose import HandPose
from ...synthesis.clips import object_file
from ..clouds import object_cloud
from ..grasp_store import GraspObject, GraspStore
from ..grasps import GraspDataModule, GraspParts
from .module import OfDemoObjects


class DemoGrasps(OfDemoObjects[GraspStore, GraspStore], GraspDataModule):
    """Static grasps of the Shadow hand and fourteen household shapes, which ship with the package.

    Grasps are named "<object>/<row of the file>". See `OfDemoObjects` and `GraspDataModule` for the arguments.
    """

    def load(self) -> GraspStore:
        """Reads the grasps, see `OfDemoObjects.grasps_by_object`, and samples the objects' clouds."""
        found = self.grasps_by_object()
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
