"""Synthetic data: parametric objects, optimised and tested grasps of them, and reaches to the grasps."""

from typing import TYPE_CHECKING

from dexzoo.lazy import on_first_use

if TYPE_CHECKING:
    from .clips import ObjectClips, object_clips, object_file
    from .grasps import ObjectGrasps, load_grasps, save_grasps
    from .objects import object_mesh, object_names
    from .optimise import GraspEnergy, optimise_grasps
    from .reaches import Reaches, ReachSettings, plan_reaches
    from .search import find_grasps

_HOMES = {
    "clips": "ObjectClips object_clips object_file",
    "grasps": "ObjectGrasps load_grasps save_grasps",
    "objects": "object_mesh object_names",
    "optimise": "GraspEnergy optimise_grasps",
    "reaches": "Reaches ReachSettings plan_reaches",
    "search": "find_grasps",
}

__all__ = [
    "GraspEnergy",
    "ObjectClips",
    "ObjectGrasps",
    "ReachSettings",
    "Reaches",
    "find_grasps",
    "load_grasps",
    "object_clips",
    "object_file",
    "object_mesh",
    "object_names",
    "optimise_grasps",
    "plan_reaches",
    "save_grasps",
]
__getattr__ = on_first_use(__name__, _HOMES)
