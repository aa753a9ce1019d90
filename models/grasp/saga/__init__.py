"""SAGA's grasp stage: a network that predicts points and contact, and a fit of poses to them."""

from .fit import GraspFit
from .model import SagaGrasp

__all__ = [
    "GraspFit",
    "SagaGrasp",
]
