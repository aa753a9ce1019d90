"""Test-time refinement of grasps: an energy of contact, penetration and closure is lowered from a given pose."""

from .refiner import Refiner
from .task import GraspRefinement

__all__ = [
    "GraspRefinement",
    "Refiner",
]
