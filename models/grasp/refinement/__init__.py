"""Test-time refinement of grasps: minimises an energy of contact, penetration and closure from a given pose."""

from .refiner import Refiner
from .task import GraspRefinement

__all__ = [
    "GraspRefinement",
    "Refiner",
]
