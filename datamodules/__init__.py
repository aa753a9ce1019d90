"""Data modules: readers of the data sets' own formats, windows and batches, and the demo data."""

from ..files.errors import BadFile, DataError, UnknownName
from .base import EpochSampler
from .demo.grasp_module import DemoGrasps
from .demo.module import DemoMotion
from .dexgraspnet import DexGraspNet, MultiDex, UniDexGrasp
from .errors import DatasetNotFound
from .grab import GrabGrasps, GrabMotion
from .grasp_store import GraspStore
from .grasps import GraspDataModule
from .motion import MotionDataModule
from .observation import Observe
from .realdex import RealDexGrasps, RealDexMotion
from .roots import demo_root
from .sensors import Cameras, DepthNoise, FixedCameras, Table
from .transforms import Compose, HistoryNoise, Jitter, PerturbHand, Yaw
from .types import FUTURE, PAST, ClipBatch, GraspBatch, GraspSample, MotionBatch, MotionSample, MotionState
from .windows import ClipDataset, ClipStore, WindowDataset

__all__ = [
    "FUTURE",
    "PAST",
    "BadFile",
    "Cameras",
    "ClipBatch",
    "ClipDataset",
    "ClipStore",
    "Compose",
    "DataError",
    "DatasetNotFound",
    "DemoGrasps",
    "DemoMotion",
    "DepthNoise",
    "DexGraspNet",
    "EpochSampler",
    "FixedCameras",
    "GrabGrasps",
    "GrabMotion",
    "GraspBatch",
    "GraspDataModule",
    "GraspSample",
    "GraspStore",
    "HistoryNoise",
    "Jitter",
    "MotionBatch",
    "MotionDataModule",
    "MotionSample",
    "MotionState",
    "MultiDex",
    "Observe",
    "PerturbHand",
    "RealDexGrasps",
    "RealDexMotion",
    "Table",
    "UniDexGrasp",
    "UnknownName",
    "WindowDataset",
    "Yaw",
    "demo_root",
]
