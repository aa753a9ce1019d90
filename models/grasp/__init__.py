"""Models of static grasps: contact predictor, cVAE, flow, SAGA, UniDexGrasp, and the refinement of their samples.

UniDexGrasp's classes are imported on first use, because torch-geometric takes two seconds to import.
"""

from typing import TYPE_CHECKING

from dexzoo.lazy import on_first_use

from .base import GraspModel
from .contact import ContactMap, ContactPrediction, ContactPredictor, OfficialContactMap
from .cvae import GraspCVAE
from .flow import GraspFlow
from .official_cvae import OfficialGraspCVAE
from .refinement import GraspRefinement, Refiner
from .saga import GraspFit, SagaGrasp
from .task import GraspGeneration

if TYPE_CHECKING:
    from .unidexgrasp import GraspGlow, GraspIPDF, UniDexGrasp

__all__ = [
    "ContactMap",
    "ContactPrediction",
    "ContactPredictor",
    "GraspCVAE",
    "GraspFit",
    "GraspFlow",
    "GraspGeneration",
    "GraspGlow",
    "GraspIPDF",
    "GraspModel",
    "GraspRefinement",
    "OfficialContactMap",
    "OfficialGraspCVAE",
    "Refiner",
    "SagaGrasp",
    "UniDexGrasp",
]
__getattr__ = on_first_use(__name__, {"unidexgrasp": "GraspGlow GraspIPDF UniDexGrasp"})
