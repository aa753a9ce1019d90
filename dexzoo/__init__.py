"""dexzoo: a PyTorch Lightning model zoo for dexterous grasping.

What a script needs is here; each folder exports the rest. A name is imported when it is first used, so that the command
line does not wait for torch.
"""

from typing import TYPE_CHECKING

from .lazy import on_first_use

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .experiments.training.load import Run, load_run
    from .grasps import GraspSet, ObjectAsset, PosedGrasps, load_asset, load_grasps, save_grasps
    from .hands import Hand, HandPose, load_hand
    from .metrics import grasp_errors, motion_errors
    from .metrics.tool import evaluate
    from .models import Refiner

_HOMES = {
    "experiments.training.load": "Run load_run",
    "grasps": "GraspSet ObjectAsset PosedGrasps load_asset load_grasps save_grasps",
    "hands": "Hand HandPose load_hand",
    "metrics": "grasp_errors motion_errors",
    "metrics.tool": "evaluate",
    "models": "Refiner",
}

__all__ = [  # noqa: RUF022
    "__version__",
    "Hand",
    "HandPose",
    "load_hand",
    "GraspSet",
    "load_grasps",
    "save_grasps",
    "ObjectAsset",
    "load_asset",
    "PosedGrasps",
    "evaluate",
    "grasp_errors",
    "motion_errors",
    "Refiner",
    "Run",
    "load_run",
]


__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
