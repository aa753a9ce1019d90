"""Grasps: files of every format, and grasps of a hand on an object.

Five classes hold grasps; they differ in what they are for:

| class | room | holds |
|---|---|---|
| `GraspSet` | grasps | grasps of one object as a file has them: reading and writing |
| `PosedGrasps` | grasps | grasps of one hand on one `ObjectAsset`: measuring |
| `GraspStore` | datamodules | all grasps of a data set in flat tensors: training |
| `GraspSample` | datamodules | one grasp of a store with its object's cloud |
| `GraspBatch` | datamodules | samples that go through a model together |
"""

from .asset import ObjectAsset, load_asset
from .files import load_grasps, save_grasps
from .grasp_set import GraspFileError, GraspSet
from .posed import PosedGrasps

__all__ = [
    "GraspFileError",
    "GraspSet",
    "ObjectAsset",
    "PosedGrasps",
    "load_asset",
    "load_grasps",
    "save_grasps",
]
