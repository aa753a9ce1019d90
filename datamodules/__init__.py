"""Readers of the data sets' own formats, the windows they are cut into, and the demo data."""

from .demo.module import DemoMotion
from .errors import BadFile, DataError, DatasetNotFound, UnknownName
from .grab import GrabMotion
from .grasp_store import GraspStore
from .grasps import GraspDataModule
from .motion import MotionDataModule
from .observation import Observe
from .realdex import RealDexMotion
from .sensors import Cameras, DepthNoise, FixedCameras, Table
from .transforms import Compose, HistoryNoise, Jitter, PerturbHand, Yaw
from .types import FUTURE, PAST, ClipBatch, GraspBatch, GraspSample, MotionBatch, MotionSample, MotionState
from .windows import ClipDataset, ClipStore, WindowDataset, WindowSampler

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
    "DemoMotion",
    "DepthNoise",
    "FixedCameras",
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
    "Observe",
    "PerturbHand",
    "RealDexMotion",
    "Table",
    "UnknownName",
    "WindowDataset",
    "WindowSampler",
    "Yaw",
]
