"""The actuators of an MJCF, joint by joint."""

from __future__ import annotations

import mujoco

from .tree import Servo

_JOINTS = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)


def file_servos(spec: mujoco.MjSpec) -> dict[str, Servo]:
    """By the joint's name: stiffness and damping of a position actuator, and the largest force of any.

    A damping ratio is left to the simulation; a gear scales all three, kp and kv by its square. An actuator on a tendon
    has no joint of its own and is left out.
    """
    found = {}
    for actuator in spec.actuators:
        if actuator.trntype not in _JOINTS:
            continue
        gear, (kp, *_), (_, back, damping, *_) = abs(actuator.gear[0]), actuator.gainprm, actuator.biasprm
        position = actuator.biastype == mujoco.mjtBias.mjBIAS_AFFINE and kp > 0 and back == -kp
        lower, upper = actuator.forcerange
        limited = upper > lower and actuator.forcelimited != mujoco.mjtLimited.mjLIMITED_FALSE
        found[actuator.target] = Servo(
            kp=kp * gear**2 if position else None,
            kv=-damping * gear**2 if position and damping < 0 else None,
            force=max(-lower, upper) * gear if limited else None,
        )
    return found
