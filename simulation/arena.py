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

from ..geometry.meshes import MeshError
from ..geometry.progress import tracked
from ..geometry.rotations import rotmat_to_quat
from ..grasps.asset import ObjectAsset
from ..grasps.posed import PosedGrasps
from ..hands.hand import Hand
from ..hands.mujoco_model import add_object, bare_spec, hull_volume, shape_geom
from ..hands.spec import HandSpec

Array = NDArray[np.float64]

HALF_AXES = np.concatenate([sign * np.eye(3)[i : i + 1] for i in range(3) for sign in (1, -1)])
"""(6, 3): +x, -x, +y, -y, +z, -z, the six directions of every test."""
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
    return [_arena(order, physics) for order in orders(grasps)]


@dataclass(frozen=True)
class Order:
    """What a model is made of; hand and asset are known by their specification and key."""

    spec: HandSpec
    key: str
    scale: float
    hand: Hand = field(compare=False)
    asset: ObjectAsset = field(compare=False)

    def pieces(self) -> tuple[list[Array], Array]:
        """As `solid_pieces`, in metres about the object's centre of mass."""
        pieces, shares = solid_pieces(self.asset)
        return [(piece - self.asset.centre_of_mass) * self.scale for piece in pieces], shares


def orders(grasps: PosedGrasps) -> list[Order]:
    """Of each grasp."""
    hand, asset = grasps.hand, grasps.object
    return [Order(hand.spec, asset.key, scale, hand, asset) for scale in grasps.scales.tolist()]


@lru_cache(maxsize=64)
def _arena(order: Order, physics: Physics) -> Arena:
    spec, tree = bare_spec(physics.timestep), order.spec.tree
    spec.option.gravity = np.zeros(3)  # it comes as a force, see `fall`
    links = [i for i, link in enumerate(tree.links) if link.capsules or link.boxes]
    surface = {"condim": 3, "friction": [physics.friction, 0.005, 0.0001], "solref": physics.solref}
    for link in (tree.links[i] for i in links):
        body = spec.worldbody.add_body(name=f"hand/{link.name}", mocap=True)
        for shape in (*link.capsules, *link.boxes):
            geom = shape_geom(shape) | {"name": ""}
            body.add_geom(**geom, contype=_HAND, conaffinity=_OBJECT, **surface)
    pieces, shares = order.pieces()
    own = {"contype": _OBJECT, "conaffinity": _HAND}
    add_object(spec, [(piece,) for piece in pieces], physics.mass * shares, **own, **surface)
    return Arena(spec.compile(), tuple(links))


def solid_pieces(asset: ObjectAsset) -> tuple[list[Array], Array]:
    """The object's convex pieces that have a volume, each (n, 3), unit of the mesh, and their shares of the volume.

    Raises:
        MeshError: none has a volume.
    """
    pieces = [np.asarray(piece, np.float64) for piece in asset.pieces]
    volumes = np.array([hull_volume(piece) for piece in pieces])
    if not volumes.sum() > 0:
        raise MeshError(f"{asset.name}: expected convex pieces with a volume, found {len(pieces)} flat ones")
    solid = volumes > FLAT * volumes.sum()
    if not solid.all():
        _log.warning("%s: %d of %d pieces are flat and left out", asset.name, (~solid).sum(), len(pieces))
    return [piece for piece, keep in zip(pieces, solid, strict=True) if keep], volumes[solid] / volumes[solid].sum()


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
