"""MuJoCo models of a hand that stands still and a free object, and how objects move and touch in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from ..geometry.meshes import MeshError
from ..geometry.progress import tracked
from ..geometry.rotations import rotmat_to_quat
from ..grasps.asset import ObjectAsset
from ..grasps.posed import PosedGrasps
from ..hands.mujoco_model import shape_geom
from ..hands.spec import HandSpec

Array = NDArray[np.float64]

FLAT = 1e-9  # a piece with less than this share of the object's volume has no inside that a narrow phase could use
_HAND, _OBJECT = 1, 2
_NUMBERS = 8_000_000  # of inputs and states per call of the rollout: 64 MB

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Physics:
    """What a model is compiled with: all but the shapes.

    Attributes:
        timestep: seconds.
        friction: sliding friction of every surface.
        mass: kilograms, of the object.
        solref: time constant (seconds) and damping ratio of the contacts.
    """

    timestep: float = 0.002
    friction: float = 3.0
    mass: float = 1.0
    solref: tuple[float, float] = (0.005, 1.0)


@dataclass(frozen=True, eq=False)
class Arena:
    """A compiled model whose bodies are the hand's links with a shape, placed by mocap, and the free body "object".

    The object's centre of mass is the origin of its body: MuJoCo moves that origin, and a lever of metres from it would
    turn every rotation into a displacement.

    Attributes:
        model: never written to after it is made.
        links: indices of the links that are bodies, in the order of the mocap bodies.
    """

    model: mujoco.MjModel
    links: tuple[int, ...]

    @property
    def body(self) -> int:
        """Id of the object."""
        return self.model.nbody - 1


def arenas(grasps: PosedGrasps, physics: Physics) -> list[Arena]:
    """The model of each grasp; grasps of one scale share it, and it is kept for later calls."""
    spec, asset = grasps.hand.spec, grasps.object
    return [_arena(_Order(spec, asset.key, scale, physics, asset)) for scale in grasps.scales.tolist()]


@dataclass(frozen=True)
class _Order:
    """What an arena is made of; the asset itself is known by its key."""

    hand: HandSpec
    key: str
    scale: float
    physics: Physics
    asset: ObjectAsset = field(compare=False)


@lru_cache(maxsize=64)
def _arena(order: _Order) -> Arena:
    spec = _bare(order.physics.timestep)
    links = [i for i, link in enumerate(order.hand.tree.links) if link.capsules or link.boxes]
    surface = {"condim": 3, "friction": [order.physics.friction, 0.005, 0.0001], "solref": order.physics.solref}
    for link in (order.hand.tree.links[i] for i in links):
        body = spec.worldbody.add_body(name=f"hand/{link.name}", mocap=True)
        for shape in (*link.capsules, *link.boxes):
            geom = shape_geom(shape) | {"name": ""}
            body.add_geom(**geom, contype=_HAND, conaffinity=_OBJECT, **surface)
    pieces, shares = solid_pieces(order.asset)
    centre = order.asset.centre_of_mass
    body = spec.worldbody.add_body(name="object")
    body.add_freejoint(name="object")
    for i, (piece, share) in enumerate(zip(pieces, shares, strict=True)):
        mesh = spec.add_mesh(name=f"object_{i}", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
        mesh.uservert = np.ravel((piece - centre) * order.scale)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, mass=order.physics.mass * share,
            contype=_OBJECT, conaffinity=_HAND, **surface,
        )  # fmt: skip
    return Arena(spec.compile(), tuple(links))


def _bare(timestep: float) -> mujoco.MjSpec:
    """An empty world with the options of every simulation here. Gravity is applied as a force, see `forces`."""
    spec = mujoco.MjSpec()
    option = spec.option
    option.timestep, option.impratio, option.gravity = timestep, 10, np.zeros(3)
    option.integrator, option.cone = mujoco.mjtIntegrator.mjINT_IMPLICITFAST, mujoco.mjtCone.mjCONE_ELLIPTIC
    return spec


def solid_pieces(asset: ObjectAsset) -> tuple[list[Array], Array]:
    """The object's convex pieces that have a volume, each (n, 3), unit of the mesh, and their shares of the volume.

    Raises:
        MeshError: none has a volume.
    """
    pieces = [np.asarray(piece, np.float64) for piece in asset.pieces]
    volumes = np.array([_volume(piece) for piece in pieces])
    if not volumes.sum() > 0:
        raise MeshError(f"{asset.name}: expected convex pieces with a volume, found {len(pieces)} flat ones")
    solid = volumes > FLAT * volumes.sum()
    if not solid.all():
        _log.warning("%s: %d of %d pieces are flat and left out", asset.name, (~solid).sum(), len(pieces))
    return [piece for piece, keep in zip(pieces, solid, strict=True) if keep], volumes[solid] / volumes[solid].sum()


def _volume(corners: Array) -> float:
    try:
        return float(ConvexHull(corners).volume)
    except QhullError:  # all points in one plane
        return 0.0


def mocap_poses(grasps: PosedGrasps, links: Sequence[int]) -> tuple[Array, Array]:
    """Positions (B, K, 3), metres, from the object's centre of mass, and quaternions (B, K, 4), axes of the object's
    frame, of the links with a shape."""
    posed = grasps.links[:, list(links)]
    return posed.translation.numpy() - centres_of_mass(grasps)[:, None], rotmat_to_quat(posed.rotation).numpy()


def centres_of_mass(grasps: PosedGrasps) -> Array:
    """(B, 3), metres, of the objects' solids, object frame."""
    return grasps.scales.numpy()[:, None] * grasps.object.centre_of_mass


def touching(models: Sequence[mujoco.MjModel], qpos: Array, inputs: Array, spec: int) -> Array:
    """Contacts of the hand with the object as they stand, without moving anything.

    Args:
        models: N models of one layout, the object's body last.
        qpos: (N, nq).
        inputs: (N, C), such as the poses of mocap bodies.
        spec: which inputs, bits of mjtState.

    Returns:
        (N,), metres, depth of the deepest contact; -inf without a contact.
    """
    depth = np.full(len(models), -np.inf)
    if not len(models):
        return depth
    data = mujoco.MjData(models[0])
    for i, model in enumerate(models):
        mujoco.mj_setState(model, data, inputs[i], spec)
        data.qpos[:] = qpos[i]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        own = (model.geom_bodyid[data.contact.geom] == model.nbody - 1).any(1)
        depth[i] = -data.contact.dist[own].min(initial=np.inf)
    return depth


def run(
    models: Sequence[mujoco.MjModel], states: Array, controls: Array, spec: int, steps: int, threads: int | None
) -> Iterator[Array]:
    """Simulates N worlds; the same to the last bit for any number of threads.

    Args:
        models: N models of one layout.
        states: (N, S), full physics state at the start: time, positions, velocities.
        controls: (N, T, C), the inputs at each step; constant if T is 1.
        spec: which inputs, bits of mjtState.
        steps: how many.
        threads: None for as many as torch uses.

    Yields:
        (n, steps, S), the state after each step of the next n worlds. A world that diverged stops at an earlier time.
    """
    count = min(threads or torch.get_num_threads(), max(len(models), 1))
    data = [mujoco.MjData(models[0]) for _ in range(count if len(models) else 0)]
    rows = max(count, _NUMBERS // (steps * (controls.shape[2] + states.shape[1])))
    with Rollout(nthread=count if count > 1 else 0) as pool:
        for start in tracked(range(0, len(models), rows), f"simulating {len(models)} worlds"):
            part = slice(start, start + rows)
            chosen = controls[part]
            every = np.broadcast_to(chosen, (len(chosen), steps, chosen.shape[2]))
            states_after, _ = pool.rollout(list(models[part]), data, states[part], every, control_spec=spec)
            yield np.asarray(states_after, np.float64)
