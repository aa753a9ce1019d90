"""Grasps: files of every format, and grasps of a hand on an object.

Five classes hold grasps, from file to model and back:

| class | room | holds | leading dimension | made by |
|---|---|---|---|---|
| `GraspSet` | grasps | grasps of one object as stored in a file | N grasps, float64 | `load_grasps` |
| `GraspStore` | datamodules | all grasps of a data set | n grasps of K objects, float32 | `load` of a data module |
| `GraspSample` | datamodules | one grasp with its object's cloud | none | indexing a store |
| `GraspBatch` | datamodules | grasps with clouds, input of a model | B grasps, float32 | loaders, `GraspStore.batch` |
| `PosedGrasps` | grasps | grasps of one hand on one `ObjectAsset`, to be measured | B grasps | its constructor |

All poses are in the object frame, in metres and radians; `docs/grasps.md` has the details.
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
