"""MuJoCo models of a hand, alone or with a free object: oracle for the kinematics and arena of the simulations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import mujoco
import numpy as np
import trimesh
from scipy.spatial import ConvexHull, QhullError

from .errors import HandError
from .hand import Hand
from .tree import Box, Capsule, Joint, Link

_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint


def hand_mjcf(
    hand: Hand,
    object_pieces: Sequence[trimesh.Trimesh] | None = None,
    object_mass: float = 0.1,
    friction: float = 1.0,
    servos: bool = False,
    kp: float = 2.5,
    force: float = 0.7,
    timestep: float = 0.002,
) -> mujoco.MjModel:
    """A model whose world is the hand's root frame: the root is fixed at the identity; rotate gravity instead.

    Joints, bodies and servos are named as in `hand.joint_names` and `hand.link_names`; `qpos` begins with the joints in
    that order (mimic joints follow by an equality constraint), the object's seven come last. All of the hand collides
    with the object, but with itself only in explicit pairs: those of the model file if it has any, otherwise all pairs
    of primitives that are apart in the rest posture and not on neighbouring links.

    Args:
        hand: any hand made of hinges and slides.
        object_pieces: convex pieces of a free object, metres, object frame; its body and joint are called "object".
        object_mass: kilograms, spread over the pieces by volume.
        friction: sliding friction of all surfaces.
        servos: add one position servo per joint.
        kp: stiffness of the servos, N m / rad.
        force: torque limit of the servos, N m.
        timestep: seconds.

    Returns:
        The compiled model. Integrator implicitfast, elliptic cones, impratio 10.

    Raises:
        HandError: the hand is not made of hinges and slides, or a piece has no volume.
    """
    return hand_spec(hand, object_pieces, object_mass, friction, servos, kp, force, timestep).compile()


def hand_spec(
    hand: Hand,
    object_pieces: Sequence[trimesh.Trimesh] | None = None,
    object_mass: float = 0.1,
    friction: float = 1.0,
    servos: bool = False,
    kp: float = 2.5,
    force: float = 0.7,
    timestep: float = 0.002,
) -> mujoco.MjSpec:
    """Like `hand_mjcf` but not compiled yet, for additions or to write it with `to_xml()`."""
    balls = [joint.name for joint in hand.spec.tree.joints if joint.ball]
    if balls:
        raise HandError(f"{hand.name}: expected a hand of hinges and slides, found the ball joints {', '.join(balls)}")
    spec = _bare_spec(hand, friction, timestep)
    for first, second in hand.spec.tree.pairs or _apart(hand):
        spec.add_pair(geomname1=first, geomname2=second, condim=1)
    if servos:
        for joint in hand.spec.tree.joints:
            _add_servo(spec, joint, kp, force)
    if object_pieces is not None:
        _add_object(spec, object_pieces, object_mass, friction)
    return spec


def _bare_spec(hand: Hand, friction: float, timestep: float) -> mujoco.MjSpec:
    """Options, bodies, joints and shapes, without contacts inside the hand."""
    spec = mujoco.MjSpec()
    spec.modelname = hand.name
    spec.compiler.degree = False
    spec.compiler.boundmass, spec.compiler.boundinertia = 1e-3, 1e-6  # links without a shape still need some inertia
    spec.option.timestep, spec.option.impratio = timestep, 10
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    bodies = {}
    for link in hand.spec.tree.links:
        above = bodies[link.parent] if link.parent else spec.worldbody
        bodies[link.name] = _add_link(above, link, friction)
    for joint in (link.joint for link in hand.spec.tree.links if link.joint):
        if joint.mimic:
            driver, gear, offset = joint.mimic
            equality = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=joint.name, name2=driver)
            equality.data[:2] = offset, gear
    return spec


def _add_link(above: mujoco.MjsBody, link: Link, friction: float) -> mujoco.MjsBody:
    body = above.add_body(name=link.name, pos=link.translation, quat=_quat(link.rotation))
    if link.inertia:
        body.explicitinertial = True
        body.mass, body.ipos, body.iquat = link.inertia.mass, link.inertia.centre, _quat(link.inertia.rotation)
        body.inertia = link.inertia.diagonal
    if link.joint:
        joint = link.joint
        body.add_joint(
            name=joint.name, type=_JOINT.mjJNT_SLIDE if joint.slide else _JOINT.mjJNT_HINGE,
            axis=joint.axis, pos=joint.anchor, limited=np.isfinite([joint.lower, joint.upper]).all(),
            range=[joint.lower, joint.upper], damping=joint.damping, armature=joint.armature,
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
            "quat": _quat(shape.rotation),
        }  # fmt: skip
    if np.array_equal(shape.start, shape.end):
        return {"name": shape.name, "type": _GEOM.mjGEOM_SPHERE, "size": [shape.radius, 0, 0], "pos": shape.start}
    ends = np.concatenate([shape.start, shape.end])
    return {"name": shape.name, "type": _GEOM.mjGEOM_CAPSULE, "size": [shape.radius, 0, 0], "fromto": ends}


def _add_servo(spec: mujoco.MjSpec, joint: Joint, kp: float, force: float) -> None:
    servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=kp)
    servo.ctrllimited, servo.ctrlrange = True, [joint.lower, joint.upper]
    servo.forcelimited, servo.forcerange = True, [-force, force]


def _add_object(spec: mujoco.MjSpec, pieces: Sequence[trimesh.Trimesh], mass: float, friction: float) -> None:
    volumes = np.array([_volume(piece) for piece in pieces])
    if len(pieces) == 0 or not (volumes > 1e-12).all():  # a thousandth of a cubic millimetre
        raise HandError(f"object_pieces: expected convex pieces with a volume, found volumes {volumes.tolist()}")
    body = spec.worldbody.add_body(name="object")
    body.add_freejoint(name="object")
    for i, (piece, volume) in enumerate(zip(pieces, volumes, strict=True)):
        mesh = spec.add_mesh(name=f"object_{i}", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
        mesh.uservert, mesh.userface = np.ravel(piece.vertices), np.ravel(piece.faces)
        body.add_geom(
            name=f"object_{i}", type=_GEOM.mjGEOM_MESH, meshname=mesh.name, mass=mass * volume / volumes.sum(),
            contype=0, conaffinity=1, condim=4, friction=[friction, 0.005, 0.001],
        )  # fmt: skip


def _apart(hand: Hand) -> list[tuple[str, str]]:
    """Pairs of shapes on links that are not neighbours and that are apart in the rest posture according to MuJoCo."""
    tree = hand.spec.tree
    shapes = [(i, shape.name) for i, link in enumerate(tree.links) for shape in (*link.capsules, *link.boxes)]
    pairs = [
        (first, second)
        for (i, first), (j, second) in combinations(shapes, 2)
        if i != j and tree.parents[i] != j and tree.parents[j] != i
    ]
    spec = _bare_spec(hand, friction=1.0, timestep=0.002)
    for first, second in pairs:
        spec.add_pair(geomname1=first, geomname2=second)
    model = spec.compile()
    data = mujoco.MjData(model)
    values = dict(zip(hand.joint_names, hand.rest.tolist(), strict=True))
    for joint in (link.joint for link in tree.links if link.joint):
        driver, gear, offset = joint.mimic or (joint.name, 1.0, 0.0)
        data.joint(joint.name).qpos[0] = gear * values[driver] + offset
    mujoco.mj_forward(model, data)
    touching = {frozenset(model.geom(int(g)).name for g in data.contact.geom[k]) for k in range(data.ncon)}
    return [pair for pair in pairs if frozenset(pair) not in touching]


def _volume(piece: trimesh.Trimesh) -> float:
    try:
        return float(ConvexHull(piece.vertices).volume)
    except QhullError:  # all points in one plane
        return 0.0


def _quat(rotation: np.ndarray) -> np.ndarray:
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(rotation).ravel())
    return quat
