"""Readers of the data sets' own formats, the windows they are cut into, and the demo data."""

from .demo.module import DemoMotion
from .errors import BadFile, DataError, DatasetNotFound, UnknownName
from .grab import GrabMotion
from .motion import MotionDataModule
from .realdex import RealDexMotion
from .transforms import HistoryNoise
from .types import FUTURE, PAST, ClipBatch, GraspSample, MotionBatch, MotionSample, MotionState
from .windows import ClipDataset, ClipStore, WindowDataset, WindowSampler

__all__ = [
    "FUTURE",
    "PAST",
    "BadFile",
    "ClipBatch",
    "ClipDataset",
    "ClipStore",
    "DataError",
    "DatasetNotFound",
    "DemoMotion",
    "GrabMotion",
    "GraspSample",
    "HistoryNoise",
    "MotionBatch",
    "MotionDataModule",
    "MotionSample",
    "MotionState",
    "RealDexMotion",
    "UnknownName",
    "WindowDataset",
    "WindowSampler",
]
