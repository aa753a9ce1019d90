"""MuJoCo models of a hand, alone or with a free object: oracle for the kinematics and arena of the simulations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from .errors import HandError
from .hand import Hand
from .tree import Box, Capsule, Joint, Link

Array = NDArray[np.float64]
_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint
ARMATURE = 2e-4
"""kg m^2, least of a joint: that of DexGraspBench's Shadow; without any a stiff servo diverges."""

_log = logging.getLogger(__name__)


@cache
def _say_once(warning: str) -> None:
    _log.warning("MuJoCo: %s", warning)


def _warned(text: str) -> None:
    """What MuJoCo warns of, once a kind and in one line, not in MUJOCO_LOG.TXT; `diverged` tells of a NaN."""
    if not text.startswith("Nan, Inf"):
        _say_once(text.partition("Time = ")[0].strip())


mujoco.set_mju_user_warning(_warned)


def diverged(model: mujoco.MjModel, data: mujoco.MjData) -> str:
    """The joint at which a simulation last had a number that is not finite or huge; "" if none had since the reset."""
    kinds = mujoco.mjtWarning
    for kind in (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC):
        if data.warning[kind].number:
            first = model.jnt_qposadr if kind == kinds.mjWARN_BADQPOS else model.jnt_dofadr
            return model.joint(int(np.searchsorted(first, data.warning[kind].lastinfo, "right")) - 1).name
    return ""


def hand_spec(
    hand: Hand,
    object_pieces: Sequence[Array] | None = None,
    object_mass: float = 0.1,
    friction: float = 1.0,
    servos: bool = False,
    kp: float = 2.5,
    force: float | None = 0.7,
    timestep: float = 0.002,
    kv: float | None = None,
    of_file: Sequence[str] = (),
) -> mujoco.MjSpec:
    """A model whose world is the hand's root frame: the root is fixed at the identity, gravity may be turned instead.

    Joints, bodies and servos are named as in `hand.joint_names` and `hand.link_names`; `qpos` begins with the joints in
    that order (mimic joints follow by an equality constraint), the object's seven come last. All of the hand collides
    with the object, but with itself only in explicit pairs: those of the model file if it has any, otherwise all pairs
    of primitives that are apart in the rest posture and not on neighbouring links.

    Args:
        hand: any hand made of hinges and slides.
        object_pieces: corners (n, 3) of the convex pieces of a free object, metres, object frame; its body is "object",
            its joint likewise.
        object_mass: kilograms, spread over the pieces by volume.
        friction: sliding friction of all surfaces.
        servos: add one position servo per joint.
        kp: stiffness of the servos, N m / rad.
        force: torque limit of the servos, N m; None for none.
        timestep: seconds.
        kv: damping of the servos, N m s / rad; None leaves it to the joint, or is a damping ratio of 1 where that
            has no damping.
        of_file: which of "kp", "kv" and "force" are taken from the hand's own actuators where it has them.

    Returns:
        Not compiled yet: `.compile()` makes the model, `.to_xml()` a file. Integrator implicitfast, elliptic cones,
        impratio 10.

    Raises:
        HandError: the hand is not made of hinges and slides, or a piece has no volume.
    """
    balls = [joint.name for joint in hand.spec.tree.joints if joint.ball]
    if balls:
        raise HandError(f"{hand.name}: expected a hand of hinges and slides, found the ball joints {', '.join(balls)}")
    spec = _hand_alone(hand, friction, timestep)
    for first, second in hand.spec.tree.pairs or _apart(hand):
        spec.add_pair(geomname1=first, geomname2=second, condim=1)
    if servos:
        for joint in hand.spec.tree.joints:
            own = {name: value for name in of_file if (value := getattr(joint.servo, name)) is not None}
            _add_servo(spec, joint, **{"kp": kp, "kv": kv, "force": force} | own)
    if object_pieces is not None:
        volumes = np.array([hull_volume(piece) for piece in object_pieces])
        if len(volumes) == 0 or not (volumes > 1e-12).all():  # a thousandth of a cubic millimetre
            raise HandError(f"object_pieces: expected convex pieces with a volume, found volumes {volumes.tolist()}")
        hulls = [trimesh.convex.convex_hull(piece) for piece in object_pieces]
        surface = {"contype": 0, "conaffinity": 1, "condim": 4, "friction": [friction, 0.005, 0.001]}
        masses = object_mass * volumes / volumes.sum()
        add_object(spec, [(hull.vertices, hull.faces) for hull in hulls], masses, **surface)
    return spec


def bare_spec(timestep: float) -> mujoco.MjSpec:
    """An empty world with the options of every simulation here; timestep in seconds."""
    spec = mujoco.MjSpec()
    spec.option.timestep, spec.option.impratio = timestep, 10
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    return spec


def _hand_alone(hand: Hand, friction: float, timestep: float) -> mujoco.MjSpec:
    """Options, bodies, joints and shapes, without contacts inside the hand."""
    spec = bare_spec(timestep)
    spec.modelname = hand.name
    spec.compiler.degree = False
    spec.compiler.boundmass, spec.compiler.boundinertia = 1e-3, 1e-6  # links without a shape still need some inertia
    bodies = {}
    for link in hand.spec.tree.links:
        above = bodies[link.parent] if link.parent else spec.worldbody
        bodies[link.name] = _add_link(above, link, friction)
    for joint in (link.joint for link in hand.spec.tree.links if link.joint):
        if joint.mimic:
            driver, coefficients = joint.mimic
            equality = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=joint.name, name2=driver)
            equality.data[:5] = np.pad(coefficients, (0, 5 - len(coefficients)))
    return spec


def _add_link(above: mujoco.MjsBody, link: Link, friction: float) -> mujoco.MjsBody:
    body = above.add_body(name=link.name, pos=link.translation, quat=quaternion(link.rotation))
    if link.inertia:
        body.explicitinertial = True
        body.mass, body.ipos, body.iquat = link.inertia.mass, link.inertia.centre, quaternion(link.inertia.rotation)
        body.inertia = link.inertia.diagonal
    if link.joint:
        joint = link.joint
        body.add_joint(
            name=joint.name, type=_JOINT.mjJNT_SLIDE if joint.slide else _JOINT.mjJNT_HINGE,
            axis=joint.axis, pos=joint.anchor, limited=np.isfinite([joint.lower, joint.upper]).all(),
            range=[joint.lower, joint.upper], damping=joint.damping, armature=max(joint.armature, ARMATURE),
            frictionloss=joint.frictionloss,
        )  # fmt: skip
    for shape in (*link.capsules, *link.boxes):
        body.add_geom(
            **shape_geom(shape), contype=1, conaffinity=0, condim=3, friction=[friction, 0.005, 0.001], group=4
        )
    return body


def shape_geom(shape: Capsule | Box) -> dict:
    """Arguments of `MjsBody.add_geom` that make a primitive, in the frame of its link."""
    if isinstance(shape, Box):
        return {
            "name": shape.name, "type": _GEOM.mjGEOM_BOX, "size": shape.half, "pos": shape.centre,
            "quat": quaternion(shape.rotation),
        }  # fmt: skip
    if np.array_equal(shape.start, shape.end):
        return {"name": shape.name, "type": _GEOM.mjGEOM_SPHERE, "size": [shape.radius, 0, 0], "pos": shape.start}
    ends = np.concatenate([shape.start, shape.end])
    return {"name": shape.name, "type": _GEOM.mjGEOM_CAPSULE, "size": [shape.radius, 0, 0], "fromto": ends}


def _add_servo(spec: mujoco.MjSpec, joint: Joint, kp: float, kv: float | None, force: float | None) -> None:
    servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    damping = {"dampratio": 1.0} if joint.damping == 0 else {}
    servo.set_to_position(kp=kp, **damping if kv is None else {"kv": kv})
    servo.ctrllimited, servo.ctrlrange = bool(np.isfinite([joint.lower, joint.upper]).all()), [joint.lower, joint.upper]
    if force is not None:
        servo.forcelimited, servo.forcerange = True, [-force, force]


def add_object(spec: mujoco.MjSpec, pieces: Sequence[Sequence[Array]], masses: Array, **surface: Any) -> None:
    """Adds the free body "object" to a world.

    Args:
        spec: changed in place.
        pieces: convex pieces, each (corners (n, 3), metres,) or (corners, triangles); without triangles MuJoCo finds
            the hull.
        masses: (P,), kilograms, of the pieces.
        surface: what `MjsBody.add_geom` knows of contacts, the same for all pieces.
    """
    body = spec.worldbody.add_body(name="object")
    body.add_freejoint(name="object")
    for i, ((corners, *triangles), mass) in enumerate(zip(pieces, masses, strict=True)):
        mesh = spec.add_mesh(name=f"object_{i}", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
        mesh.uservert = np.ravel(corners)
        for faces in triangles:
            mesh.userface = np.ravel(faces)
        body.add_geom(name=mesh.name, type=_GEOM.mjGEOM_MESH, meshname=mesh.name, mass=mass, **surface)


def joint_values(hand: Hand, joints: Array) -> Array:
    """The value of every joint of the model, those that follow others included.

    Args:
        hand: a hand of hinges and slides.
        joints: (..., J), radians, in the order of `hand.joint_names`.

    Returns:
        (..., joints of the model), radians, in the order of `qpos`; servos drive only those of `hand.joint_names`.
    """
    moving = [link.joint for link in hand.spec.tree.links if link.joint]
    drivers = map(hand.spec.tree.drive, moving)
    columns = [value(joints[..., hand.joint_names.index(name)]) for name, value in drivers]
    return np.stack(columns, axis=-1)


def _apart(hand: Hand) -> list[tuple[str, str]]:
    """Pairs of shapes on links that are not neighbours and that are apart in the rest posture according to MuJoCo."""
    tree = hand.spec.tree
    shapes = [(i, shape.name) for i, link in enumerate(tree.links) for shape in (*link.capsules, *link.boxes)]
    pairs = [
        (first, second)
        for (i, first), (j, second) in combinations(shapes, 2)
        if i != j and tree.parents[i] != j and tree.parents[j] != i
    ]
    spec = _hand_alone(hand, friction=1.0, timestep=0.002)
    for first, second in pairs:
        spec.add_pair(geomname1=first, geomname2=second)
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:] = joint_values(hand, hand.rest.double().numpy())
    mujoco.mj_forward(model, data)
    touching = {frozenset(model.geom(int(g)).name for g in data.contact.geom[k]) for k in range(data.ncon)}
    return [pair for pair in pairs if frozenset(pair) not in touching]


def hull_volume(corners: Array) -> float:
    """Of the convex hull of corners (n, 3), cube of their unit; 0 where it is flat."""
    try:
        return float(ConvexHull(corners).volume)
    except QhullError:  # all points in one plane
        return 0.0


def quaternion(rotation: Array) -> Array:
    """(4,), wxyz, of a rotation (3, 3)."""
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(rotation).ravel())
    return quat
