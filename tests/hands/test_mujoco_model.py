"""Simulation models. Oracle: the package's own model file compiled by MuJoCo, and a drop under gravity."""

from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from dexzoo.hands import HandError, load_hand
from dexzoo.hands.mujoco_model import hand_spec


@pytest.fixture(scope="module")
def original():
    package = find_spec("gymnasium_robotics").submodule_search_locations[0]
    return mujoco.MjModel.from_xml_path(str(Path(package) / "envs/assets/hand/reach.xml"))


def test_bodies_and_joints_equal_the_original(original):
    hand = load_hand("shadow")
    model = hand_spec(hand).compile()
    assert [model.joint(i).name for i in range(model.njnt)] == list(hand.joint_names)
    for name in hand.link_names:
        ours, theirs = model.body(name), original.body(f"robot0:{name}")
        for key in ("mass", "ipos", "inertia"):
            np.testing.assert_allclose(getattr(ours, key), getattr(theirs, key), rtol=1e-12, err_msg=f"{name} {key}")
    for name in hand.joint_names:
        ours, theirs = model.joint(name), original.joint(f"robot0:{name}")
        for key in ("range", "axis", "damping", "armature", "frictionloss"):
            np.testing.assert_allclose(getattr(ours, key), getattr(theirs, key), atol=1e-12, err_msg=f"{name} {key}")


def test_explicit_pairs_survive_without_those_of_the_wrist(original):
    def pairs(model, prefix=""):
        names = (
            (model.geom(a).name, model.geom(b).name) for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)
        )
        return sorted(tuple(sorted(name.removeprefix(prefix) for name in pair)) for pair in names)

    assert pairs(hand_spec(load_hand("shadow")).compile()) == pairs(original, "robot0:")


def test_options_and_servos():
    hand = load_hand("shadow")
    model = hand_spec(hand, servos=True, kp=3.0, force=0.6, timestep=0.001).compile()
    assert (model.opt.timestep, model.opt.impratio) == (0.001, 10)
    assert model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert [model.actuator(i).name for i in range(model.nu)] == list(hand.joint_names)
    assert np.all(model.actuator_gainprm[:, 0] == 3.0)
    assert np.all(model.actuator_forcerange == [-0.6, 0.6])
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    data.ctrl[:] = hand.rest
    mujoco.mj_step(model, data, 1000)
    np.testing.assert_allclose(data.qpos, hand.rest, atol=2e-3)


def test_object_has_its_mass_and_rests_on_the_palm():
    hand = load_hand("shadow")
    halves = [trimesh.creation.box((0.04, 0.03, 0.02)).apply_translation([0, 0, z]) for z in (0.01, 0.03)]
    model = hand_spec(hand, [half.vertices for half in halves], object_mass=0.25, servos=True).compile()
    assert model.body("object").mass[0] == pytest.approx(0.25)
    assert model.jnt_type[model.joint("object").id] == mujoco.mjtJoint.mjJNT_FREE
    np.testing.assert_allclose(model.body("object").ipos, [0, 0, 0.02], atol=1e-9)
    model.opt.gravity[:] = [0, 9.81, 0]  # the palm faces -y: gravity presses the box onto it
    data = mujoco.MjData(model)
    data.ctrl[:] = 0
    start = [-0.005, -0.0111 - 0.0151, 0.03]
    data.joint("object").qpos[:3] = start
    mujoco.mj_step(model, data, 500)
    assert np.linalg.norm(data.joint("object").qpos[:3] - start) < 2e-3
    model.opt.gravity[:] = [0, -9.81, 0]  # upside down it falls freely
    mujoco.mj_resetData(model, data)
    data.joint("object").qpos[:3] = start
    mujoco.mj_step(model, data, 50)
    assert data.joint("object").qpos[1] - start[1] == pytest.approx(-9.81 * 0.1**2 / 2, rel=0.05)


def test_a_hand_without_pairs_gets_those_that_are_apart():
    hand = load_hand("shadow_e3m5")
    model = hand_spec(hand).compile()
    assert model.npair > 50
    data = mujoco.MjData(model)
    data.qpos[:] = hand.rest
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True):
        i, j = model.geom_bodyid[a], model.geom_bodyid[b]
        assert model.body_parentid[i] != j
        assert model.body_parentid[j] != i


def test_written_xml_is_the_same_model(tmp_path):
    hand = load_hand("shadow")
    spec = hand_spec(hand, servos=True)
    model = spec.compile()
    again = mujoco.MjModel.from_xml_string(spec.to_xml())
    assert (again.nq, again.nu, again.npair) == (model.nq, model.nu, model.npair)
    np.testing.assert_allclose(again.body_pos, model.body_pos, atol=1e-5)


@pytest.mark.parametrize("height", [0.0, 1e-12])
def test_pieces_without_a_volume(height):
    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, height]]
    for pieces in ([], [np.array(corners)]):
        with pytest.raises(HandError, match="object_pieces: expected convex pieces with a volume"):
            hand_spec(load_hand("shadow"), pieces)
