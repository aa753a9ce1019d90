"""Selection of proposed grasps."""

from .filter import GraspFilter

__all__ = [
    "GraspFilter",
]
