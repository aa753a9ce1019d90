"""Models of static grasps: contact predictor, cVAE, flow, SAGA, UniDexGrasp, and the refinement of their samples.

`UniDexGrasp` is imported from `grasp.unidexgrasp`: torch-geometric, which it is made of, takes two seconds to import.
"""

from .base import GraspModel
from .contact import ContactMap, ContactPrediction, ContactPredictor, OfficialContactMap
from .cvae import GraspCVAE
from .flow import GraspFlow
from .official_cvae import OfficialGraspCVAE
from .refinement import GraspRefinement, Refiner
from .saga import GraspFit, SagaGrasp
from .task import GraspGeneration

__all__ = [
    "ContactMap",
    "ContactPrediction",
    "ContactPredictor",
    "GraspCVAE",
    "GraspFit",
    "GraspFlow",
    "GraspGeneration",
    "GraspModel",
    "GraspRefinement",
    "OfficialContactMap",
    "OfficialGraspCVAE",
    "Refiner",
    "SagaGrasp",
]
