"""DexGraspNet, UniDexGrasp and MultiDex: static grasps of the Shadow hand, from the original files to batches."""

from .index import Index, Source, open_index
from .module import DexGraspNet, GraspFolder
from .multidex import MultiDex
from .scenes import TableTop
from .tree import GraspTree, find_dexgraspnet, find_unidexgrasp
from .unidexgrasp import UniDexGrasp

__all__ = [
    "DexGraspNet",
    "GraspFolder",
    "GraspTree",
    "Index",
    "MultiDex",
    "Source",
    "TableTop",
    "UniDexGrasp",
    "find_dexgraspnet",
    "find_unidexgrasp",
    "open_index",
]
