"""Points of an object that a camera sees: by casting rays at the mesh, or from the cloud alone."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull, QhullError

from .meshes import check_mesh

_TOLERANCE = 1e-3  # of half the mesh's longest side: 0.05 mm for a mug


def hidden_point_removal(points: NDArray, eye: ArrayLike, radius: float = 100.0) -> NDArray[np.int64]:
    """Indices of the points that can be seen from `eye`: those on the hull of the cloud flipped about a sphere.

    Args:
        points: (N, 3), any unit.
        eye: (3,), position of the camera; must not be one of the points.
        radius: of the sphere, in multiples of the largest distance from the eye. A small sphere loses points where the
            surface is concave or seen at a slant, a large one sees through sparse clouds.

    Returns:
        Sorted indices; all of them for fewer than 4 points, or points coplanar with the eye.

    Raises:
        ValueError: a point lies at the eye.

    Source: Katz, Tal and Basri, "Direct visibility of point sets", SIGGRAPH 2007.
    """
    local = points - np.asarray(eye, np.float64)
    distance = np.linalg.norm(local, axis=1, keepdims=True)
    if len(points) and not distance.min() > 0:
        raise ValueError(f"eye: expected a position away from the points, found it at point {distance.argmin()}")
    if len(points) < 4:
        return np.arange(len(points))
    flipped = local + 2 * (radius * distance.max() - distance) * local / distance
    try:
        hull = ConvexHull(np.concatenate([flipped, np.zeros((1, 3))]))
    except QhullError:
        return np.arange(len(points))
    return np.sort(hull.vertices[hull.vertices < len(points)]).astype(np.int64)


class Occluder:
    """The triangles of a mesh, set up for ray casting (embree); both sides of a triangle block a ray.

    Args:
        mesh: any unit; need not be closed.

    Raises:
        MeshError: the mesh has no faces, or vertices that are not finite.
    """

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        from embreex.mesh_construction import TriangleMesh  # imported only when rays are cast
        from embreex.rtcore_scene import EmbreeScene

        check_mesh(mesh)
        triangles = np.asarray(mesh.triangles, np.float64)
        # embree is float32: centred and scaled, its precision does not depend on where the mesh lies.
        self._centre = (triangles.min((0, 1)) + triangles.max((0, 1))) / 2
        self._scale = float(np.abs(triangles - self._centre).max())
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, ((triangles - self._centre) / self._scale).astype(np.float32))

    def sees(self, points: ArrayLike, eye: ArrayLike, tolerance: float | None = None) -> NDArray[np.bool_]:
        """Whether each point is visible from the eye, with no part of the mesh in between.

        Args:
            points: (N, 3), on the mesh or anywhere else, in its unit and frame.
            eye: (3,), likewise; must not be one of the points.
            tolerance: how far behind the first surface a point still counts as lying on it, unit of the mesh; by
                default 1/1000 of half the mesh's longest side. Raise it for measured points.

        Returns:
            (N,).

        Raises:
            ValueError: a point lies at the eye.
        """
        slack = _TOLERANCE if tolerance is None else tolerance / self._scale
        start, ends = (np.asarray(eye) - self._centre) / self._scale, (np.asarray(points) - self._centre) / self._scale
        way = ends - start
        distance = np.linalg.norm(way, axis=1)
        if len(ends) and not distance.min() > 0:
            raise ValueError(f"eye: expected a position away from the points, found it at point {distance.argmin()}")
        rays = (way / distance[:, None]).astype(np.float32)
        # A distant eye would cost the hit its single precision, so rays start near the mesh, which lies within sqrt(3).
        skipped = np.minimum(max(float(np.linalg.norm(start)) - 2, 0), distance)
        origins = (start + (skipped / distance)[:, None] * way).astype(np.float32)
        hits = self._scene.run(origins, rays, query="DISTANCE")
        return np.asarray(hits) >= distance - skipped - slack
