"""The floor of a picture, on which the scene casts its shadows; `geometry.render` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ground:
    """A horizontal floor, grey under the scene and white far away, with the shadows of what is above it.

    Attributes:
        height: metres, z of the floor in the world frame.
        centre: (2,), metres, x and y of the middle of its grey part.
        radius: metres, where it has faded to white.
        sun: (3,), from the scene towards the sun, world frame, any length.
    """

    height: float
    centre: tuple[float, float]
    radius: float
    sun: tuple[float, float, float] = (-0.25, -0.15, 1.0)

    def __post_init__(self) -> None:
        """Raises ValueError for a sun below the horizon or a radius that is not positive."""
        if not self.sun[2] > 0:
            raise ValueError(f"sun: expected a direction upwards (z > 0), found {self.sun}")
        if not self.radius > 0:
            raise ValueError(f"radius: expected a positive number of metres, found {self.radius}")

    @staticmethod
    def under(meshes: Sequence[trimesh.Trimesh]) -> Ground:
        """The floor that the lowest of the meshes touches.

        Raises:
            ValueError: there is no mesh.
        """
        if not len(meshes):
            raise ValueError("meshes: expected at least one, found none")
        low, high = (f([mesh.bounds[i] for mesh in meshes], axis=0) for i, f in enumerate((np.min, np.max)))
        x, y, _ = ((low + high) / 2).tolist()
        return Ground(float(low[2]), (x, y), 0.8 * float(np.linalg.norm(high - low)))

    def shadow(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3), metres: where on the floor the sun's shadow of points (N, 3), metres, falls; world frame."""
        return points - (points[:, 2:] - self.height) / self.sun[2] * np.asarray(self.sun)
