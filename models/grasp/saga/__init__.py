"""SAGA's grasp stage: a network that proposes, and a fit to what it proposes."""

from .fit import GraspFit
from .model import SagaGrasp

__all__ = [
    "GraspFit",
    "SagaGrasp",
]
