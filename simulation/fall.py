"""What a free object does in a hand that stands still: the rollout behind `simulation.py`, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..grasps.posed import PosedGrasps
from .arena import Array, Physics, arenas, mocap_poses, run, touching

_STATE = mujoco.mjtState
_INPUTS = int(_STATE.mjSTATE_XFRC_APPLIED | _STATE.mjSTATE_MOCAP_POS | _STATE.mjSTATE_MOCAP_QUAT)
_HERE = np.array([0.0, 0, 0, 1, 0, 0, 0])


@dataclass(frozen=True)
class Moved:
    """How the object of each of B grasps moved under each of D accelerations.

    Attributes:
        displacement: (B, D), metres, of the centre of mass from start to end; NaN where the simulation diverged.
        rotation: (B, D), radians, from start to end; NaN likewise.
        contact: (B, D), bool, the hand touches the object in its last pose.
        failed: (B, D), bool, the simulation diverged.
        initial_depth: (B,), metres, deepest contact before the first step, 0 without one.
    """

    displacement: Array
    rotation: Array
    contact: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    initial_depth: Array


@dataclass(frozen=True)
class Fall(Moved):
    """As `Moved`, in a hand that stands still.

    Attributes:
        peak_speed: (B, D), m/s, of the centre of mass; NaN where the simulation diverged.
        free: (B, D), metres, of a free fall in the same steps.
    """

    peak_speed: Array
    free: Array


class Scene:
    """The worlds of B grasps, the object's centre of mass at the origin.

    Attributes:
        models: of each grasp.
        hands: (B, C), the mocap part of the inputs.
    """

    def __init__(self, grasps: PosedGrasps, physics: Physics) -> None:
        made = arenas(grasps, physics)
        self.mass = physics.mass
        self.models = [arena.model for arena in made]
        self.centres = np.array([model.body_ipos[-1] for model in self.models]).reshape(-1, 3)
        self.positions, self.quaternions = mocap_poses(grasps, made[0].links if made else ())

    def inputs(self, acceleration: Array) -> Array:
        """(B, D, C): the hand's pose, and the weight in each of its directions (B, D, 3)."""
        if not self.models:
            return np.empty((*acceleration.shape[:2], 1))
        model, data = self.models[0], mujoco.MjData(self.models[0])
        rows = np.empty((*acceleration.shape[:2], mujoco.mj_stateSize(model, _INPUTS)))
        for i, d in np.ndindex(*rows.shape[:2]):
            data.mocap_pos[:], data.mocap_quat[:] = self.positions[i], self.quaternions[i]
            data.xfrc_applied[-1, :3] = self.mass * acceleration[i, d]
            mujoco.mj_getState(model, data, rows[i, d], _INPUTS)
        return rows

    def depth(self) -> Array:
        """(B,), metres, deepest contact, 0 without one."""
        inputs = self.inputs(np.zeros((len(self.models), 1, 3)))[:, 0]
        return np.maximum(touching(self.models, np.tile(_HERE, (len(self.models), 1)), inputs, _INPUTS), 0)


def fall(grasps: PosedGrasps, acceleration: Array, steps: int, physics: Physics, threads: int | None) -> Fall:
    """Lets the object of each grasp go for `steps`, under each of its accelerations (B, D, 3), m/s^2, object frame."""
    scene, directions = Scene(grasps, physics), acceleration.shape[1]
    each = np.repeat(np.arange(len(grasps)), directions)
    models = [scene.models[i] for i in each]
    inputs = scene.inputs(acceleration)
    inputs = inputs.reshape(len(each), inputs.shape[-1])
    states = np.tile(np.concatenate([[0.0], _HERE, np.zeros(6)]), (len(each), 1))
    moved, ends = [np.empty((0, 4))], [np.empty((0, 7))]
    for path in run(models, states, inputs[:, None], _INPUTS, steps, threads):
        done = sum(map(len, ends))
        moved.append(movement(path, scene.centres[each[done : done + len(path)]], steps * physics.timestep))
        ends.append(path[:, -1, 1:8])
    displacement, rotation, speed, failed = np.concatenate(moved).T.reshape(4, -1, directions)
    last = np.where(failed.reshape(-1, 1) > 0, _HERE, np.concatenate(ends))
    contact = touching(models, last, inputs, _INPUTS).reshape(failed.shape) > -np.inf
    free = np.linalg.norm(acceleration, axis=-1) * physics.timestep**2 * steps * (steps + 1) / 2  # semi-implicit Euler
    return Fall(displacement, rotation, contact & (failed == 0), failed > 0, scene.depth(), peak_speed=speed, free=free)


def movement(path: Array, centre: Array, duration: float) -> Array:
    """Sums up how a free body moved from the origin.

    Args:
        path: (N, T, S), full physics states; the body is the last one of the model.
        centre: (N, 3), metres, its centre of mass in its own frame.
        duration: seconds that were to be simulated; a world that stopped earlier has diverged.

    Returns:
        (N, 4): displacement of the centre of mass (metres), angle (radians), its peak speed (m/s), all NaN where the
        simulation diverged; and whether it did, 0 or 1.
    """
    with np.errstate(all="ignore"):
        quaternion = path[..., 4:8]
        turn = rotation_of(quaternion)
        lever = np.einsum("ntij,nj->nti", turn, centre)
        spin = np.einsum("ntij,ntj->nti", turn, path[..., 11:14])
        speed = np.linalg.norm(path[..., 8:11] + np.cross(spin, lever), axis=-1).max(-1)
        displacement = np.linalg.norm(path[:, -1, 1:4] + (lever[:, -1] - centre), axis=-1)
        moved = np.stack([displacement, angle_of(quaternion[:, -1]), speed], axis=1)
    failed = ~np.isfinite(moved).all(1) | (path[:, -1, 0] < duration * (1 - 1e-6))
    return np.hstack([np.where(failed[:, None], np.nan, moved), failed[:, None].astype(np.float64)])


def angle_of(quaternion: Array) -> Array:
    """(...), radians in [0, pi], of unit quaternions (..., 4), wxyz."""
    return 2 * np.arctan2(np.linalg.norm(quaternion[..., 1:], axis=-1), np.abs(quaternion[..., 0]))


def rotation_of(quaternion: Array) -> Array:
    """(..., 3, 3) of unit quaternions (..., 4), wxyz."""
    w, vector = quaternion[..., :1, None], quaternion[..., 1:]
    cross = np.zeros((*vector.shape, 3))
    x, y, z = np.moveaxis(vector, -1, 0)
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -z, y, -x
    cross -= np.swapaxes(cross, -1, -2).copy()
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross
