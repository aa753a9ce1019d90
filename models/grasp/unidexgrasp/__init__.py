"""UniDexGrasp's proposal of grasps: GraspIPDF and GraspGlow.

Not imported with the other models: torch-geometric, which it is made of, takes two seconds to import.
"""

from .glow import GraspGlow
from .ipdf import GraspIPDF
from .model import UniDexGrasp
from .rotation_grid import rotation_grid

__all__ = ["GraspGlow", "GraspIPDF", "UniDexGrasp", "rotation_grid"]
