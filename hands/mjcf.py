"""Reads a MuJoCo model file (MJCF) into a `Tree`; MuJoCo itself resolves includes, defaults and orientations."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from .actuators import file_servos
from .errors import HandSpecError
from .shapes import cylinder, mesh_box
from .tree import Box, Capsule, Inertia, Joint, Link, Servo, Tree, Visual

_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint
_MeshFile = tuple[Path, np.ndarray]


def read_mjcf(path: Path) -> Tree:
    """Every body of the file; the first is the root.

    Geoms that can collide become primitives: capsules, spheres, boxes; a cylinder becomes its inscribed capsule, a mesh
    its bounding box, both noted on the link. Meshes that cannot collide are used for drawing.

    Args:
        path: the MJCF file; its includes and meshes are found relative to it.

    Raises:
        HandSpecError: MuJoCo refuses the file, or a body has a joint that is neither hinge nor slide, or more than one.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(path))
        servos = file_servos(spec)
        meshes = _take_meshes(spec, path.parent)
        explicit = {body.name for body in spec.bodies if body.explicitinertial}
        model = spec.compile()
    except (ValueError, RuntimeError) as error:
        raise HandSpecError(f"{path}: expected an MJCF file that MuJoCo can read, found: {error}") from error
    bodies = range(1, model.nbody)  # depth first
    links = tuple(_link(model, i, meshes, explicit, servos, path) for i in bodies)
    pairs = zip(model.pair_geom1, model.pair_geom2, strict=True)
    return Tree(links, tuple((model.geom(a).name, model.geom(b).name) for a, b in pairs), str(path))


def _take_meshes(spec: mujoco.MjSpec, folder: Path) -> dict[str, _MeshFile]:
    """Replaces mesh geoms by small spheres, so that compiling neither reads the files nor moves the frames.

    Also names nameless elements and drops those that are not needed here. Returns file and scale by the geom's name.
    """
    files = {mesh.name: (folder / spec.meshdir / mesh.file, np.array(mesh.scale)) for mesh in spec.meshes}
    taken = {}
    for i, body in enumerate(spec.bodies):
        body.name = body.name or f"body_{i}"
    for i, geom in enumerate(spec.geoms):
        geom.name, geom.material = geom.name or f"geom_{i}", ""
        if geom.type == _GEOM.mjGEOM_MESH:
            taken[geom.name] = files[geom.meshname]
            geom.type, geom.meshname, geom.size = _GEOM.mjGEOM_SPHERE, "", [0.001, 0, 0]
    unused = (spec.keys, spec.sensors, spec.actuators, spec.equalities, spec.tendons, spec.meshes)
    for element in [e for group in (*unused, spec.materials, spec.textures) for e in group]:
        spec.delete(element)
    return taken


def _link(
    model: mujoco.MjModel,
    i: int,
    meshes: dict[str, _MeshFile],
    explicit: set[str],
    servos: dict[str, Servo],
    path: Path,
) -> Link:
    name, parent = model.body(i).name, int(model.body_parentid[i])
    capsules, boxes, visuals, notes = [], [], [], []
    for k in range(model.body_geomadr[i], model.body_geomadr[i] + model.body_geomnum[i]):
        geom = model.geom(k).name
        if _collides(model, k):
            shape, note = _primitive(model, k, meshes.get(geom), f"{path}: body {name!r}")
            (capsules if isinstance(shape, Capsule) else boxes).append(shape)
            notes += [note] if note else []
        elif geom in meshes:
            visuals.append(Visual(*meshes[geom], model.geom_pos[k].copy(), _rotation(model.geom_quat[k])))
    inertia = Inertia(
        float(model.body_mass[i]),
        model.body_ipos[i].copy(),
        _rotation(model.body_iquat[i]),
        model.body_inertia[i].copy(),
    )
    return Link(
        name=name,
        parent=model.body(parent).name if parent else None,
        translation=model.body_pos[i].copy(),
        rotation=_rotation(model.body_quat[i]),
        joint=_joint(model, i, servos, path),
        capsules=tuple(capsules),
        boxes=tuple(boxes),
        visuals=tuple(visuals),
        inertia=inertia if name in explicit else None,
        notes=tuple(notes),
    )


def _joint(model: mujoco.MjModel, body: int, servos: dict[str, Servo], path: Path) -> Joint | None:
    count, name = int(model.body_jntnum[body]), model.body(body).name
    first = int(model.body_jntadr[body])
    if count == 0 or model.jnt_type[first] == _JOINT.mjJNT_FREE:
        return None
    if count > 1:
        raise HandSpecError(
            f"{path}: body {name!r}: expected at most one joint, found {count}; split it into two bodies"
        )
    joint = model.joint(first).name or f"{name}_joint"
    if model.jnt_type[first] == _JOINT.mjJNT_BALL:
        raise HandSpecError(f"{path}: joint {joint!r}: expected a hinge or a slide, found a ball joint")
    dof = int(model.jnt_dofadr[first])
    lower, upper = model.jnt_range[first] if model.jnt_limited[first] else (-np.inf, np.inf)
    return Joint(
        name=joint,
        axis=model.jnt_axis[first].copy(),
        lower=float(lower),
        upper=float(upper),
        slide=bool(model.jnt_type[first] == _JOINT.mjJNT_SLIDE),
        anchor=model.jnt_pos[first].copy(),
        damping=float(np.ravel(model.dof_damping[dof])[0]),  # MuJoCo 4 keeps a polynomial per joint
        armature=float(model.dof_armature[dof]),
        frictionloss=float(model.dof_frictionloss[dof]),
        servo=servos.get(joint, Servo()),
    )


def _collides(model: mujoco.MjModel, geom: int) -> bool:
    paired = geom in model.pair_geom1 or geom in model.pair_geom2
    return bool(model.geom_contype[geom] or model.geom_conaffinity[geom] or paired)


def _primitive(model: mujoco.MjModel, k: int, mesh: _MeshFile | None, where: str) -> tuple[Capsule | Box, str]:
    """The primitive of geom `k`, and a note if it only approximates the geom."""
    name, kind, size = model.geom(k).name, int(model.geom_type[k]), model.geom_size[k].copy()
    centre, rotation = model.geom_pos[k].copy(), _rotation(model.geom_quat[k])
    if mesh is not None:
        middle, half = mesh_box(*mesh, where)
        box = Box(centre + rotation @ middle, rotation, half, name)
        return box, f"the mesh {mesh[0].name} collides as its bounding box"
    if kind == _GEOM.mjGEOM_BOX:
        return Box(centre, rotation, size, name), ""
    if kind == _GEOM.mjGEOM_SPHERE:
        return Capsule(centre, centre, float(size[0]), name), ""
    if kind == _GEOM.mjGEOM_CAPSULE:
        along = rotation[:, 2] * size[1]
        return Capsule(centre - along, centre + along, float(size[0]), name), ""
    if kind == _GEOM.mjGEOM_CYLINDER:
        return cylinder(centre, rotation, float(size[0]), float(size[1]), name)
    found = _GEOM(kind).name.removeprefix("mjGEOM_").lower()
    raise HandSpecError(f"{where}: geom {name!r}: expected box, sphere, capsule, cylinder or mesh, found {found}")


def _rotation(quat: np.ndarray) -> np.ndarray:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)
