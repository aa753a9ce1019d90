"""Does a hand that squeezes hold the object? DexGraspBench's protocol in MuJoCo.

The hand has its joints and a position servo in each; it closes from a pregrasp to the grasp, squeezes, and then the
object is pulled along six directions with its own weight. Its root stands still.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import mujoco
import numpy as np
import torch
from torch import Tensor

from ..geometry.rotations import rotmat_to_quat
from ..grasps.posed import PosedGrasps
from ..hands.mujoco_model import hand_spec, joint_values
from .arena import Array, Order, centres_of_mass, orders, run, touching
from .fall import Moved, angle_of, rotation_of

TIMESTEP, MASS, ACCELERATION = 0.004, 0.1, 10.0
DURATION = 2.0
"""Seconds of pull in each direction."""
NEAR = 0.01
"""metres; links this close to the object take part in the squeeze."""
OPEN, SQUEEZE = 0.1, 0.1
"""radians from the grasp, of the joint that moves furthest."""

_FRICTION, _TORSION, _NOSLIP = 0.6, 0.02, 2
_CLOSING, _SQUEEZING = 100, 100  # steps: 0.4 s each
_CTRL = int(mujoco.mjtState.mjSTATE_CTRL)
_PULL = _CTRL | int(mujoco.mjtState.mjSTATE_XFRC_APPLIED)


def closing_direction(grasps: PosedGrasps) -> Tensor:
    """How the joints move to bring the fingers closer to the object, to first order.

    Of each link with a surface point within 1 cm of the object, the nearest point is taken; the direction is the
    steepest descent of the sum of their distances over the joints, so a joint moves the more, the longer its lever on
    the points that it can bring closer. Links further off count for nothing.

    Returns:
        (B, J), the largest entry 1 or -1 (radians, metres for a slide); zeros where no link is near.
    """
    hand, points = grasps.hand, grasps.hand.surface(512).to(torch.float64)
    joints = grasps.pose.joints.clone().requires_grad_()
    links = hand.forward_kinematics(replace(grasps.pose, joints=joints))
    place = hand.place(links, points) / grasps.scales[:, None, None]
    with torch.no_grad():
        distance = grasps.object.distance(place)
        far = torch.full((len(grasps), len(hand.link_names)), torch.inf, dtype=torch.float64)
        per_link = far.scatter_reduce(1, points.link.expand(len(grasps), -1), distance, "amin")
        near = per_link * grasps.scales[:, None] < NEAR
        chosen = (distance == per_link[:, points.link]) & near[:, points.link]
    sum_of_distances = grasps.object.distance(place[chosen]).sum()
    (gradient,) = torch.autograd.grad(sum_of_distances, joints)
    return -gradient / gradient.abs().amax(1, keepdim=True).clamp_min(1e-12)


def squeeze_and_pull(
    grasps: PosedGrasps, pregrasp: Tensor, squeeze: Tensor, pulls: Array, duration: float, threads: int | None
) -> Moved:
    """Closes the hand and pulls at the object.

    Args:
        grasps: B grasps with finite poses.
        pregrasp, squeeze: (B, J), where the servos start and where they pull to; clamped to the joints' limits.
        pulls: (D, 3), unit, object frame.
        duration: seconds of pull.
        threads: of MuJoCo, None for one per processor.

    Raises:
        HandError: the hand has ball joints.
    """
    hand = grasps.hand
    world = _World(grasps, [_cell(order) for order in orders(grasps)])
    targets = [hand.clamp(joints).double().numpy() for joints in (pregrasp, grasps.pose.joints, squeeze)]
    ends, failed = world.close(targets, threads)
    return world.pull(ends, targets[-1], failed, pulls, max(1, round(duration / TIMESTEP)), threads)


@lru_cache(maxsize=16)
def _cell(order: Order) -> mujoco.MjModel:
    spec = hand_spec(order.hand, order.pieces()[0], MASS, _FRICTION, servos=True, timestep=TIMESTEP)
    spec.option.noslip_iterations, spec.option.gravity = _NOSLIP, np.zeros(3)  # the weight comes as a force
    model = spec.compile()
    model.geom_friction[:, 1] = _TORSION
    return model


class _World:
    """B worlds in the hand's root frame; the object's body is at its centre of mass, see `arena.Arena`."""

    def __init__(self, grasps: PosedGrasps, models: list[mujoco.MjModel]) -> None:
        self.models, self.hand = models, grasps.hand
        self.centres = np.array([model.body_ipos[-1] for model in models]).reshape(-1, 3)
        self.turn = grasps.pose.rotation.mT.numpy()  # hand_from_object
        shift = np.einsum("bij,bj->bi", self.turn, centres_of_mass(grasps) - grasps.pose.translation.numpy())
        self.object = np.hstack([shift, rotmat_to_quat(grasps.pose.rotation.mT).numpy()])
        self.grasp = self._qpos(grasps.pose.joints.double().numpy())

    def close(self, targets: list[Array], threads: int | None) -> tuple[Array, np.ndarray]:
        """From the pregrasp to the squeeze, nothing pulls; (B, S) states at the end and (B,) whether it diverged."""
        before, grasp, squeeze = (target[:, None] for target in targets)
        ramps = [np.linspace(0, 1, n + 1)[1:, None] for n in (_CLOSING, _SQUEEZING)]
        control = np.concatenate([before + ramps[0] * (grasp - before), grasp + ramps[1] * (squeeze - grasp)], axis=1)
        states = self._states(self._qpos(targets[0]))
        ends = _last(self.models, states, control, _CTRL, _CLOSING + _SQUEEZING, threads)
        return ends, _diverged(ends, _CLOSING + _SQUEEZING)

    def pull(
        self, states: Array, servos: Array, failed: np.ndarray, pulls: Array, steps: int, threads: int | None
    ) -> Moved:
        """The weight along each of the pulls, from the states after the squeeze."""
        count, directions = len(self.models), len(pulls)
        each = np.repeat(np.arange(count), directions)
        models = [self.models[i] for i in each]
        force = np.zeros((count, directions, self.models[0].nbody if models else 1, 6))
        force[:, :, -1, :3] = MASS * ACCELERATION * np.einsum("bij,dj->bdi", self.turn, pulls)
        control = np.hstack([servos[each], force.reshape(len(each), force[0, 0].size if models else 6)])
        starts = np.where(failed[each, None], self._states(self.grasp)[each], states[each])
        starts[:, 0] = 0
        ends = _last(models, starts, control[:, None], _PULL, steps, threads)
        bad = failed[each] | _diverged(ends, steps)
        qpos = np.where(bad[:, None], self.grasp[each], ends[:, 1 : 1 + self.grasp.shape[1]])
        moved, angle = self._moved(qpos[:, -7:], each)
        contact = touching(models, qpos, control, _PULL) > -np.inf
        depth = np.maximum(touching(self.models, self.grasp, servos, _CTRL), 0)
        shape = (count, directions)
        return Moved(
            displacement=np.where(bad, np.nan, moved).reshape(shape),
            rotation=np.where(bad, np.nan, angle).reshape(shape),
            contact=(contact & ~bad).reshape(shape),
            failed=bad.reshape(shape),
            initial_depth=depth,
        )

    def _qpos(self, joints: Array) -> Array:
        """(B, nq), the object where it is in the grasp."""
        return np.hstack([joint_values(self.hand, joints), self.object])

    def _states(self, qpos: Array) -> Array:
        """(B, S) at rest."""
        velocities = self.models[0].nv if self.models else 0
        return np.hstack([np.zeros((len(qpos), 1)), qpos, np.zeros((len(qpos), velocities))])

    def _moved(self, pose: Array, each: np.ndarray) -> tuple[Array, Array]:
        """Displacement of the centre of mass and angle from where the object was in the grasp."""
        start, centre = self.object[each], self.centres[each]
        now, before = rotation_of(pose[:, 3:]), rotation_of(start[:, 3:])
        shift = pose[:, :3] - start[:, :3] + np.einsum("nij,nj->ni", now - before, centre)
        relative = rotmat_to_quat(torch.from_numpy(now @ before.swapaxes(1, 2))).numpy()
        return np.linalg.norm(shift, axis=1), angle_of(relative)


def _last(
    models: list[mujoco.MjModel], states: Array, control: Array, spec: int, steps: int, threads: int | None
) -> Array:
    """(N, S), states at the end."""
    return np.concatenate([states[:0], *(path[:, -1] for path in run(models, states, control, spec, steps, threads))])


def _diverged(ends: Array, steps: int) -> np.ndarray:
    return ~np.isfinite(ends).all(1) | (ends[:, 0] < steps * TIMESTEP * (1 - 1e-6))
