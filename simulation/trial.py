"""The one engine of success tests: closes a hand on an object in MuJoCo and pulls, as a `Protocol` says.

Each grasp is a world of its own, so that threads share nothing and the result is the same to the last bit for any
number of them. The model's frame is the hand's root frame, or the object's for a hand that stands still; the object's
body is at its centre of mass, see `arena.Arena`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.rotations import rotmat_to_quat
from ..grasps.posed import PosedGrasps
from ..hands.mujoco_model import diverged, hand_spec, hull_volume, joint_values
from .arena import HALF_AXES, Array, Order, Physics, arenas, centres_of_mass, mocap_poses, orders
from .closing import postures
from .fall import rotation_of
from .protocol import Closing, Protocol

Stop = Literal["end", "pull", "grasp"]
DIAGONALS = np.array([*product((1, -1), repeat=3)]) / np.sqrt(3)
_STATE = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
_LOOK = 25  # steps between two looks at what is certain already
_STEADY = (
    5e-4,
    np.radians(0.3),
)  # metres and radians still to come at the present rate; on 672 pulls no verdict changed
_NEAR_LIMIT = 0.7  # of the limit; beyond it nothing is certain before the end
_LOST = 2.0  # times the limit; an object that has gone so far does not come back
_FREE = 0.05  # metres from where it was, touching nothing: as good as never touching again

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """What a protocol found of B grasps, each pulled at in D ways.

    Attributes:
        displacement: (B, D), metres, of the protocol's point at the end of each pull, or when its verdict was certain;
            NaN where the simulation diverged. Under a ladder of sizes, at the last one tried up to 1.
        rotation: (B, D), radians; likewise.
        held: (B, D), bool, the pull was withstood.
        contact: (B, D), bool, the hand touches the object when the pull ends.
        failed: (B, D), bool, the simulation diverged.
        depth: (B,), metres, deepest overlap of hand and object in the given grasp.
        open_depth: (B,), metres, in the pregrasp, of the hand with itself as well.
        size: (B,), largest size of the load at which all pulls were withstood, 0 for none.
    """

    displacement: Array
    rotation: Array
    held: NDArray[np.bool_]
    contact: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    depth: Array
    open_depth: Array
    size: Array


def try_grasps(
    grasps: PosedGrasps,
    protocol: Protocol,
    pregrasp: Tensor | None = None,
    squeeze: Tensor | None = None,
    threads: int | None = None,
    stop: Stop = "pull",
) -> Trial:
    """Tests B grasps with finite poses.

    Args:
        grasps: of one object.
        protocol: what to do.
        pregrasp, squeeze: (B, J), postures that came with the grasps, clamped to the joints' limits; the
            protocol's rule where None or NaN.
        threads: None for as many as torch uses.
        stop: "pull" ends one as soon as its verdict is certain: `held` stays the same, displacements are those of then;
            "grasp" leaves out all after the first that is not withstood as well; "end" never stops.

    Raises:
        HandError: the hand has ball joints, and the protocol drives them.
    """
    worlds, stop = _worlds(grasps, protocol, pregrasp, squeeze), stop if protocol.load.restart else "end"
    probes = [_Probe(world, protocol, stop) for world in worlds]
    with ThreadPoolExecutor(min(threads or torch.get_num_threads(), max(len(worlds), 1))) as pool:
        tried = list(pool.map(_Probe.run, probes, _axes(grasps, protocol)))
    if broken := [joint for one in tried for joint in one.joints]:
        _log.warning(
            "%s: the simulation of %d of %d grasps diverged, first at joint %s; they count as failed",
            *(grasps.hand.name, sum(bool(one.joints) for one in tried), len(tried), broken[0]),
        )
    table = np.array([one.pulls for one in tried]).reshape(len(tried), -1 if tried else 6, 5)
    depth, open_depth, size = np.array([(one.depth, one.open_depth, one.size) for one in tried]).reshape(-1, 3).T
    held, contact, failed = (table[..., k] > 0 for k in (2, 3, 4))
    return Trial(table[..., 0], table[..., 1], held, contact, failed, depth, open_depth, size)


def _axes(grasps: PosedGrasps, protocol: Protocol) -> Sequence[Array]:
    """(B, D, 3), unit, object frame: where each grasp is pulled to."""
    if protocol.load.directions == "down" and grasps.ups.isfinite().all():
        return [*-grasps.ups.numpy()[:, None]]
    many = np.concatenate([HALF_AXES, DIAGONALS]) if protocol.load.directions == "fourteen" else HALF_AXES
    return [many] * len(grasps)


# ------------------------------------------------------------------------------------------------------------- worlds


@dataclass(frozen=True)
class _World:
    """One grasp. `targets` (3, J) of the servos are pregrasp, grasp, squeeze; `mocap` is the still hand instead."""

    model: mujoco.MjModel
    opened: Array  # (nq,)
    grasp: Array  # (nq,)
    turn: Array  # (3, 3), model's frame from the object's
    point: Array  # (3,), metres, that must stay, in the frame of the object's body
    mass: float
    targets: Array | None = None
    mocap: tuple[Array, Array] | None = None


def _worlds(grasps: PosedGrasps, protocol: Protocol, pregrasp: Tensor | None, squeeze: Tensor | None) -> list[_World]:
    if protocol.closing is None:
        return _still_worlds(grasps, protocol)
    centres = centres_of_mass(grasps)
    hand = grasps.hand
    models = [_cell(order, protocol) for order in orders(grasps)]
    opened, squeezed = postures(grasps, protocol.closing, pregrasp, squeeze)
    targets = np.stack([hand.clamp(q).double().numpy() for q in (opened, grasps.pose.joints, squeezed)], axis=1)
    turn = grasps.pose.rotation.mT.numpy()
    shift = np.einsum("bij,bj->bi", turn, centres - grasps.pose.translation.numpy())
    place = np.hstack([shift, rotmat_to_quat(grasps.pose.rotation.mT).numpy()])
    root = np.tile([0.0, 0, 0, 1, 0, 0, 0] if protocol.welded else [], (len(grasps), 1))
    first, given = (np.hstack([root, joint_values(hand, targets[:, k]), place]) for k in (0, 1))
    return [
        _World(m, first[i], given[i], turn[i], _point(m, centres[i], protocol), float(m.body_mass[-1]), targets[i])
        for i, m in enumerate(models)
    ]


def _point(model: mujoco.MjModel, centre: Array, protocol: Protocol) -> Array:
    """Of the object's body: its centre of mass, which is that of the pieces, or the origin of the mesh's frame."""
    return model.body_ipos[-1].copy() if protocol.passed.of == "centre" else -centre


def _still_worlds(grasps: PosedGrasps, protocol: Protocol) -> list[_World]:
    side, mass = protocol.object, protocol.mass or 1.0  # nothing here depends on it
    made = arenas(grasps, Physics(protocol.timestep, side.friction[0], mass, side.solref))
    place, turned = mocap_poses(grasps, made[0].links if made else ())
    here, all_of_it = np.array([0.0, 0, 0, 1, 0, 0, 0]), zip(made, place, turned, centres_of_mass(grasps), strict=True)
    return [
        _World(arena.model, here, here, np.eye(3), _point(arena.model, centre, protocol), mass, mocap=(p, q))
        for arena, p, q, centre in all_of_it
    ]


@lru_cache(maxsize=32)
def _cell(order: Order, protocol: Protocol) -> mujoco.MjModel:
    drive, pieces = protocol.drive, order.pieces()[0]
    assert drive is not None  # checked when it is read
    mass = protocol.mass or (protocol.density or 0) * sum(map(hull_volume, pieces))
    servos = {"servos": True, "kp": drive.kp, "force": drive.force, "kv": drive.kv, "of_file": drive.of_file}
    spec = hand_spec(order.hand, pieces, mass, timestep=protocol.timestep, **servos)
    spec.option.noslip_iterations, spec.option.gravity = protocol.noslip, np.zeros(3)  # the load comes as a force
    if protocol.welded:
        root = order.hand.link_names[0]
        spec.body(root).add_freejoint()
        weld = spec.add_equality(type=mujoco.mjtEq.mjEQ_WELD, name1=root, objtype=mujoco.mjtObj.mjOBJ_BODY)
        weld.data[:11] = [0.0] * 10 + [1.0]  # no offset, relative pose as in the model, torque as strong as force
    model = spec.compile()
    for strength in (model.actuator_gainprm, model.actuator_biasprm, model.actuator_forcerange):
        strength *= drive.factor
    own = model.geom_bodyid == model.nbody - 1
    for geoms, side in ((~own, protocol.hand), (own, protocol.object)):
        model.geom_friction[geoms], model.geom_condim[geoms] = side.friction, side.condim
        model.geom_solref[geoms], model.geom_solimp[geoms, :3] = side.solref, side.solimp
    drag = model.dof_damping.reshape(model.nv, -1)
    drag[-6:-3, 0] = protocol.damping[0] * mass
    drag[-3:, 0] = protocol.damping[1] * model.body_inertia[-1].mean()
    return model


# ---------------------------------------------------------------------------------------------------------------- one


@dataclass
class _Probe:
    """One grasp under a protocol; `pulls` are rows of displacement, angle, held, contact, diverged."""

    world: _World
    protocol: Protocol
    stop: Stop

    def __post_init__(self) -> None:
        self.joints: list[str] = []
        self.pulls: list[tuple[float, ...]] = []
        self.depth = self.open_depth = self.size = 0.0

    def run(self, axes: Array) -> _Probe:
        """Closes, and pulls along axes (D, 3), object frame."""
        world, load = self.world, self.protocol.load
        self.data = mujoco.MjData(world.model)
        self.depth, self.open_depth = self._overlap(world.grasp, False), self._overlap(world.opened, True)
        self._set(world.opened)
        closed = self._deep() or self._close()
        state = np.empty(mujoco.mj_stateSize(world.model, _STATE))
        mujoco.mj_getState(world.model, self.data, state, _STATE)
        force = world.mass * load.acceleration * axes @ world.turn.T
        loads = np.hstack([force, np.zeros_like(force)])
        if load.lever:
            loads = np.concatenate([loads, np.hstack([np.zeros_like(force), load.lever * force])])
        for size in load.sizes:
            starts = [state if load.restart or not k else None for k in range(len(loads))]
            rows = []
            for start, one in zip(starts, loads, strict=True):
                skip = self._deep() or (self.stop == "grasp" and rows and not rows[-1][2])
                nothing = (np.nan, np.nan, 0.0, 0.0, rows[-1][4] if rows else 0.0)
                rows.append(nothing if skip else self._pull(start, size * one, closed))
            if size <= 1 or not self.pulls:
                self.pulls = rows
            if not all(row[2] for row in rows):
                break
            self.size = size
        del self.data  # megabytes
        return self

    def _set(self, qpos: Array) -> None:
        world, data = self.world, self.data
        mujoco.mj_resetData(world.model, data)
        data.qpos[:] = qpos
        if world.mocap:
            data.mocap_pos[:], data.mocap_quat[:] = world.mocap

    def _deep(self) -> bool:
        """Whether the depths decide alone, so that nothing need be simulated."""
        passed = self.protocol.passed
        limits = [np.inf if most is None else most for most in (passed.depth, passed.open_depth)]
        return self.stop == "grasp" and not (np.array([self.depth, self.open_depth]) <= limits).all()

    def _overlap(self, qpos: Array, itself: bool) -> float:
        """Metres, deepest contact with the object, or of the hand with itself too; 0 without one."""
        self._set(qpos)
        return max(0.0, -min(self._gaps(itself), default=0.0))

    def _gaps(self, itself: bool) -> NDArray[np.float64]:
        model, data = self.world.model, self.data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        own = (model.geom_bodyid[data.contact.geom] == model.nbody - 1).any(1)
        return data.contact.dist[own | itself]

    def _targets(self, closing: Closing) -> Iterator[tuple[Array, int, bool]]:
        """Servo targets, for how many steps each, and whether the object is pinned meanwhile."""
        assert self.world.targets is not None
        opened, grasp, squeeze = self.world.targets
        for start, end, steps in ((opened, grasp, closing.steps[0]), (grasp, squeeze, closing.steps[1])):
            for share in np.linspace(0, 1, steps // closing.level + 1)[1:]:
                yield start + share * (end - start), closing.level, closing.pinned
        if closing.steps[2]:
            yield squeeze, closing.steps[2], False

    def _close(self) -> bool:
        """Whether the hand closed without a diverging simulation."""
        closing, model, data = self.protocol.closing, self.world.model, self.data
        for target, steps, pinned in self._targets(closing) if closing else ():
            data.ctrl[:] = target
            for some in (1,) * steps if pinned else (steps,):
                mujoco.mj_step(model, data, some)
                if pinned:
                    data.qpos[-7:], data.qvel[-6:] = self.world.opened[-7:], 0
            if broken := diverged(model, data):
                self.joints.append(broken)
                return False
        return True

    def _pull(self, state: Array | None, load: Array, closed: bool) -> tuple[float, ...]:
        """A row of `pulls`: from a state, or on from where the last pull ended."""
        model, data, world = self.world.model, self.data, self.world
        if not closed:
            return np.nan, np.nan, 0.0, 0.0, 1.0
        if state is not None:
            self._set(world.opened)
            mujoco.mj_setState(model, data, state, _STATE)
            data.time = 0
        if world.targets is not None:
            data.ctrl[:] = world.targets[2]
        data.xfrc_applied[-1] = load
        base = data.qpos[-7:].copy() if self.protocol.passed.since == "pull" else world.grasp[-7:]
        held, (distance, angle) = self._watch(base)
        if broken := diverged(model, data):
            self.joints.append(broken)
            return np.nan, np.nan, 0.0, 0.0, 1.0
        contact = len(self._gaps(False)) > 0
        return distance, angle, float(held and (contact or not self.protocol.passed.contact)), float(contact), 0.0

    def _watch(self, base: Array) -> tuple[bool, Array]:
        """Steps until the pull is over, or its verdict certain; whether it was withstood, and `_moved`."""
        passed, data, early = self.protocol.passed, self.data, self.stop != "end"
        steps = max(1, round(self.protocol.load.seconds / self.protocol.timestep))
        far = np.inf if passed.displacement is None else passed.displacement
        limits = np.array([far, np.inf if passed.rotation is None else np.radians(passed.rotation)])
        every, before, steady = passed.every or steps, np.full(2, 1e9), 0
        moved, done = np.zeros(2), 0
        while done < steps:
            some = min(_LOOK, steps - done, every - done % every)
            mujoco.mj_step(self.world.model, data, some)
            done += some
            moved = self._moved(base)
            over = not (moved < limits).all()
            if diverged(self.world.model, data) or (over and (done % every == 0 or done == steps)):
                return False, moved
            if early and (moved > _LOST * limits).any() and not len(self._gaps(False)):
                return False, moved
            coming = np.abs(moved - before) / some * (steps - done)
            steady = steady + 1 if (coming < _STEADY).all() and (moved < _NEAR_LIMIT * limits).all() else 0
            if early and steady == 2:
                break
            if early and passed.contact and moved[0] > _FREE and not len(self._gaps(False)):
                break
            before = moved
        return True, moved

    def _moved(self, base: Array) -> Array:
        """(2,), metres of the protocol's point and radians, from a pose of the object (7,)."""
        pose = self.data.qpos[-7:]
        now, then = rotation_of(pose[3:]), rotation_of(base[3:])
        shift = pose[:3] - base[:3] + (now - then) @ self.world.point
        return np.array([np.linalg.norm(shift), 2 * np.arccos(min(1.0, abs(pose[3:] @ base[3:])))], np.float64)
