"""UniDexGrasp's grasp proposal: GraspIPDF and GraspGlow.

Imported on first use, because torch-geometric takes two seconds to import.
"""

from .glow import GraspGlow
from .ipdf import GraspIPDF
from .model import UniDexGrasp
from .rotation_grid import rotation_grid

__all__ = [
    "GraspGlow",
    "GraspIPDF",
    "UniDexGrasp",
    "rotation_grid",
]
