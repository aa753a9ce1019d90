"""RealDex as published by its authors: zips or folders with TF files or `final_data.npy`, read to clips and grasps."""

from .contact import grasp_samples, surface_distance
from .grasps import RealDexGrasps
from .module import RealDexMotion
from .recording import Recording, find_recordings, read_recording
from .segments import SegmentRule, find_segments

__all__ = [
    "RealDexGrasps",
    "RealDexMotion",
    "Recording",
    "SegmentRule",
    "find_recordings",
    "find_segments",
    "grasp_samples",
    "read_recording",
    "surface_distance",
]
