"""The geoms of a model file as the primitives of a hand."""

from __future__ import annotations

import mujoco
import numpy as np

from .errors import HandSpecError
from .tree import Box, Capsule, Visual

_GEOM = mujoco.mjtGeom


def primitive(
    model: mujoco.MjModel, k: int, name: str, mesh: Visual | None, where: str
) -> tuple[Capsule | Box | None, str]:
    """The primitive of geom `k`, if any, and a note where it is only an approximation.

    Args:
        model: of the file, with meshes replaced by spheres.
        k: index of the geom.
        name: of the primitive.
        mesh: what the sphere stands for, link frame.
        where: names file and link in errors.
    """
    kind, size = model.geom_type[k], model.geom_size[k].copy()
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[k])
    centre, rotation = model.geom_pos[k].copy(), rotation.reshape(3, 3)
    along = rotation[:, 2] * size[1]
    if mesh is not None:
        try:
            corners = np.asarray(mesh.mesh().vertices) @ rotation
        except HandSpecError as error:
            raise HandSpecError(f"{where}: collision: {error}") from error
        middle, half = (corners.max(0) + corners.min(0)) / 2, (corners.max(0) - corners.min(0)) / 2
        return Box(rotation @ middle, rotation, half, name), f"the mesh {mesh.path.name} collides as its bounding box"
    if kind == _GEOM.mjGEOM_BOX:
        return Box(centre, rotation, size, name), ""
    if kind == _GEOM.mjGEOM_ELLIPSOID:
        return Box(centre, rotation, size, name), f"the ellipsoid {name} collides as its bounding box"
    if kind == _GEOM.mjGEOM_SPHERE:
        return Capsule(centre, centre, float(size[0]), name), ""
    if kind == _GEOM.mjGEOM_CAPSULE:
        return Capsule(centre - along, centre + along, float(size[0]), name), ""
    if kind == _GEOM.mjGEOM_CYLINDER:
        if size[1] <= size[0]:
            box = Box(centre, rotation, np.array([size[0], size[0], size[1]]), name)
            return box, f"the flat cylinder {name} collides as its bounding box"
        along = rotation[:, 2] * (size[1] - size[0])
        capsule = Capsule(centre - along, centre + along, float(size[0]), name)
        return capsule, f"the cylinder {name} collides as a capsule inside it"
    return None, f"the {_GEOM(kind).name.removeprefix('mjGEOM_').lower()} {name} does not collide"
