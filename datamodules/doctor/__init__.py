"""Checks a data set before training: what it contains, what is broken, and whether hand and object fit together."""

from .examine import Examined, examine_clips, examine_grasps
from .findings import Level, Statistic, judge
from .measure import Measures, measure
from .sets import SETS, DataSet
from .visit import Visit, visit

__all__ = [
    "SETS",
    "DataSet",
    "Examined",
    "Level",
    "Measures",
    "Statistic",
    "Visit",
    "examine_clips",
    "examine_grasps",
    "judge",
    "measure",
    "visit",
]
