"""Does a grasp hold? The fingers squeeze, gravity pulls for a second, the object must not slip (MuJoCo).

The palm is fixed at the origin and the object is free; gravity is turned into the palm frame instead of turning the
hand, so that one compiled model serves all grasps of an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..hands.errors import HandError
from ..hands.hand import Hand
from ..hands.mujoco_model import Array, diverged, hand_spec, joint_values, quaternion
from .arena import HALF_AXES

GRAVITY = 9.81
SLIP = 0.02
"""metres; an object that moves further has slipped."""

_MASS = 0.1
_SQUEEZE_DAMPING = 20.0  # N s/m on the object while the fingers close, so that the first touch doesn't knock it away
_FROZEN_STIFFNESS, _FROZEN_DAMPING = 200.0, 2.0  # N m/rad, N m s/rad: 5 N at a fingertip bend it by 0.2 mm
_CONTACT_TIME = 0.008  # s, of MuJoCo's contacts; the default of 0.02 lets a squeezed object sink in by millimetres


@dataclass(frozen=True)
class Held:
    """A grasp after the test, palm frame.

    Attributes:
        slip: metres, movement of the object's centre of mass during a second of gravity, fingers squeezing.
        frozen_slip: the same with the hand stiff at `joints`; NaN where the first test failed.
        joints: (J,), radians, after the second.
        rotation: (3, 3), hand_from_object after the second.
        translation: (3,), metres, likewise.
    """

    slip: float
    frozen_slip: float
    joints: Array
    rotation: Array
    translation: Array

    @property
    def stable(self) -> bool:
        """Held with squeezing fingers and with a stiff hand."""
        return self.slip < SLIP and self.frozen_slip < SLIP


class HoldTest:
    """Tests grasps of one object by one hand.

    Args:
        hand: the hand.
        pieces: corners of convex pieces of the object, for collision.
        stiffness: N m/rad, of the position servo of each joint.
        torque: N m, largest torque of a servo.
    """

    def __init__(self, hand: Hand, pieces: Sequence[Array], stiffness: float = 2.5, torque: float = 0.7) -> None:
        self.model = _compile(hand, pieces, stiffness, torque)
        self.data = mujoco.MjData(self.model)
        self._hand, self._hand_qpos = hand, [self.model.joint(name).qposadr[0] for name in hand.joint_names]
        self._servos = self.model.actuator_gainprm.copy(), self.model.actuator_biasprm.copy()
        self._lower, self._upper = hand.lower.double().numpy(), hand.upper.double().numpy()

    def hold(self, rotation: Array, translation: Array, joints: Array, target: Array) -> Held:
        """Squeezes from `joints` towards `target` and lets gravity pull.

        Args:
            rotation: (3, 3), world_from_hand, world z up, object at the origin of the world.
            translation: (3,), metres.
            joints: (J,), radians.
            target: (J,), radians, where the servos pull to.

        Raises:
            HandError: the simulation diverged; names hand and joint.
        """
        self._place(rotation.T, -rotation.T @ translation, joints, target)
        self._squeeze()
        slip = self._fall(rotation.T @ (0, 0, -GRAVITY))
        joints = np.clip(self.data.qpos[self._hand_qpos], self._lower, self._upper)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, self.data.qpos[-4:])
        state = turn.reshape(3, 3), self.data.qpos[-7:-4].copy()
        frozen = self.frozen_slip(joints, *state, rotation.T @ (0, 0, -1)) if slip < SLIP else float("nan")
        return Held(slip, frozen, joints, *state)

    def frozen_slip(self, joints: Array, rotation: Array, translation: Array, direction: Array) -> float:
        """Movement of the object in a second of gravity along `direction`, the hand stiff; metres.

        Args:
            joints: (J,), radians.
            rotation: (3, 3), hand_from_object.
            translation: (3,), metres.
            direction: (3,), unit, hand frame.
        """
        self._place(rotation, translation, joints, joints)
        self.model.actuator_gainprm[:, 0] = _FROZEN_STIFFNESS
        self.model.actuator_biasprm[:, 1:3] = -_FROZEN_STIFFNESS, -_FROZEN_DAMPING
        self.model.actuator_forcelimited[:] = False
        slip = self._fall(GRAVITY * np.asarray(direction))
        self.model.actuator_gainprm[:], self.model.actuator_biasprm[:] = self._servos
        self.model.actuator_forcelimited[:] = True
        return slip

    def six_directions(self, held: Held) -> NDArray[np.bool_]:
        """(6,): does the stiff hand hold against gravity along +x, -x, +y, -y, +z, -z of the object?"""
        axes = HALF_AXES @ held.rotation.T
        slips = [self.frozen_slip(held.joints, held.rotation, held.translation, axis) for axis in axes]
        return np.array(slips) < SLIP

    def _place(self, rotation: Array, translation: Array, joints: Array, target: Array) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = np.concatenate([joint_values(self._hand, joints), translation, quaternion(rotation)])
        self.data.ctrl[:] = target

    def _squeeze(self, seconds: float = 0.4) -> None:
        self.model.opt.gravity[:] = 0
        self.model.dof_damping[-6:] = [_SQUEEZE_DAMPING] * 3 + [_SQUEEZE_DAMPING * 1e-3] * 3
        self._step(seconds)
        self.model.dof_damping[-6:] = 0

    def _fall(self, gravity: Array, seconds: float = 1.0) -> float:
        self.model.opt.gravity[:] = gravity
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        before = self.data.xipos[-1].copy()
        self._step(seconds)
        return float(np.linalg.norm(self.data.xipos[-1] - before))

    def _step(self, seconds: float) -> None:
        mujoco.mj_step(self.model, self.data, round(seconds / self.model.opt.timestep))
        if joint := diverged(self.model, self.data):
            raise HandError(
                f"{self._hand.name}: the simulation diverged at joint {joint}; give it damping or armature in the "
                f"hand's file (damping 0.1 N m s / rad, armature 0.001 kg m^2 suit a finger)"
            )


def _compile(hand: Hand, pieces: Sequence[Array], stiffness: float, torque: float) -> mujoco.MjModel:
    model = hand_spec(hand, pieces, _MASS, servos=True, kp=stiffness, force=torque).compile()
    own = model.geom_bodyid == model.nbody - 1
    model.geom_solref[own] = _CONTACT_TIME, 1.0
    model.geom_priority[own] = 1
    return model
