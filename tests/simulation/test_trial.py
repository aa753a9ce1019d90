"""Named protocols: their files, the hand's own servos, divergence, and a twin of DexGraspBench written out in XML."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import trimesh
import yaml

from dexzoo.files.errors import DataError
from dexzoo.grasps import ObjectAsset, PosedGrasps
from dexzoo.hands import HandError, HandPose, load_hand
from dexzoo.hands.mujoco_model import ARMATURE, hand_spec
from dexzoo.metrics.functional.simulation import success
from dexzoo.simulation.hold import HoldTest
from dexzoo.simulation.protocol import PROTOCOLS, load_protocol
from dexzoo.simulation.trial import try_grasps

HALF, GAP = 0.03, 0.0002

HAND = """<mujoco><compiler angle="radian"/><default><geom {geom}/></default><worldbody>
<body name="root"><inertial mass=".3" pos="0 0 0" diaginertia="1e-3 1e-3 1e-3"/>
<body name="left" pos="{x} -.1 0"><joint name="l" axis="0 0 1" range="-.5 .5" {joint}/>
<geom name="a" pos="-{pad} .1 0"/></body>
<body name="right" pos="-{x} -.1 0"><joint name="r" axis="0 0 -1" range="-.5 .5" {joint}/>
<geom name="b" pos="{pad} .1 0"/></body>
</body></worldbody><actuator>{actuators}</actuator></mujoco>"""
SERVOS = '<position joint="l" kp="24" kv="8" forcerange="-3 2"/><motor joint="r" gear="2" forcerange="-1 1"/>'
PAD, BALL = 'size=".01 .03 .03" type="box"', 'size=".01" type="sphere"'


def vice(folder: Path, joint: str = "", actuators: str = SERVOS, geom: str = PAD) -> PosedGrasps:
    """A cube between two pads on hinges that close with q > 0, as an MJCF file."""
    text = HAND.format(x=HALF + 0.02 + 2 * GAP, pad=0.01 + GAP, joint=joint, actuators=actuators, geom=geom)
    (folder / "vice.xml").write_text(text)
    tips = {name: {"link": name, "offset": [0, 0.1, 0]} for name in ("left", "right")}
    content = {"name": "vice", "kind": "tree", "source": "vice.xml", "root": "root", "fingertips": tips}
    (folder / "vice.yaml").write_text(yaml.safe_dump(content | {"contact_links": ["left", "right"]}))
    hand = load_hand(folder / "vice.yaml")
    cube = ObjectAsset.from_mesh(trimesh.creation.box([2 * HALF] * 3), "cube")
    return PosedGrasps(hand, HandPose(torch.zeros(1, 3), torch.eye(3)[None], torch.zeros(1, 2), "vice"), cube)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_reads_and_its_knobs_turn(name: str) -> None:
    protocol = load_protocol(name)
    for knob in protocol.knobs:
        assert protocol.varied(knob, 0.5) != protocol
    finer = protocol.varied("timestep", 0.5)
    for steps in ("steps", "level") if protocol.closing else ():
        long = np.array(getattr(protocol.closing, steps)) * protocol.timestep
        assert np.abs(np.array(getattr(finer.closing, steps)) * finer.timestep - long).max() <= finer.timestep
    assert "[" in (Path(load_protocol.__code__.co_filename).parent / f"protocols/{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestep": "fast"}, r"mine.yaml, timestep: expected float, found 'fast'"),
        ({"load": {"directions": "up"}}, r"mine.yaml, load, directions: expected .*'down'.*found 'up'"),
        ({"pased": 1}, r"mine.yaml: no key 'pased'; did you mean 'passed'"),
        ({"mass": None}, r"mine.yaml: expected either mass or density"),
        ({"closing": None}, r"mine.yaml: expected both drive and closing"),
        ({"hand": {"condim": 3}}, r"mine.yaml, hand: .*missing .*'friction'"),
        ({"damping": [1.0]}, r"mine.yaml, damping: expected tuple\[float, float\], found \[1.0\]"),
    ],
)
def test_a_wrong_protocol_is_named(tmp_path: Path, change: dict, message: str) -> None:
    good = yaml.safe_load((Path(load_protocol.__code__.co_filename).parent / "protocols/squeeze.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(good | change))
    with pytest.raises(DataError, match=message):
        load_protocol(tmp_path / "mine.yaml")


def test_servos_come_from_the_file_where_asked(tmp_path: Path) -> None:
    """Oracle: what MuJoCo compiles of the file itself."""
    hand = vice(tmp_path).hand
    own = mujoco.MjModel.from_xml_path(str(tmp_path / "vice.xml"))
    model = hand_spec(hand, servos=True, kp=5, force=3, of_file=("kp", "kv", "force")).compile()
    np.testing.assert_allclose(model.actuator_gainprm[0], own.actuator_gainprm[0])
    np.testing.assert_allclose(model.actuator_biasprm[0], own.actuator_biasprm[0])
    assert model.actuator_gainprm[1, 0] == 5  # a motor has no stiffness
    assert model.actuator_forcerange.tolist() == [[-3, 3], [-2, 2]]  # the larger side; a gear multiplies it
    plain = hand_spec(hand, servos=True, kp=5, force=None).compile()
    assert plain.actuator_gainprm[:, 0].tolist() == [5, 5]
    assert not plain.actuator_forcelimited.any()


@pytest.mark.parametrize(("joint", "ratio"), [("", 1.0), ('damping=".2"', None)])
def test_a_joint_without_damping_is_damped_critically(tmp_path: Path, joint: str, ratio: float | None) -> None:
    """kv = 2 sqrt(kp M), with the inertia that MuJoCo finds about the joint; a joint's own damping stays alone."""
    model = hand_spec(vice(tmp_path, joint).hand, servos=True, kp=5.0).compile()
    expected = np.zeros(2) if ratio is None else 2 * ratio * np.sqrt(5.0 * model.dof_M0)
    np.testing.assert_allclose(-model.actuator_biasprm[:, 2], expected, rtol=1e-6)
    assert (model.dof_armature == ARMATURE).all()


def test_a_simulation_that_diverges_names_hand_and_joint_and_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    wild = load_protocol("squeeze")
    wild = replace(wild, drive=replace(wild.drive, kp=1e15, kv=0.0, force=None))
    with caplog.at_level(logging.WARNING):
        out = success(vice(tmp_path), wild)
    assert out.failed.all()
    assert out.displacement.isnan().all()
    assert not out.success().any()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith("vice: the simulation of 1 of 1 grasps diverged, first at joint ")
    assert lines[0].split("joint ")[1][0] in "lr"
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def test_the_hold_test_stops_at_a_divergence(tmp_path: Path) -> None:
    grasps = vice(tmp_path)
    test = HoldTest(grasps.hand, [grasps.object.pieces[0]], stiffness=1e15, torque=1e18)
    with pytest.raises(HandError, match=r"vice: the simulation diverged at joint \w+; give it damping or armature"):
        test.hold(np.eye(3), np.zeros(3), np.zeros(2), np.full(2, 0.1))


TWIN = """<mujoco><compiler angle="radian" boundinertia="1e-6"/>
<option timestep=".004" integrator="implicitfast" cone="elliptic" impratio="10" noslip_iterations="2"
gravity="0 0 0"/><default><geom friction=".6 .02 .0001" condim="4"/></default>
<worldbody><body name="mocap" mocap="true"/>
<body name="root"><freejoint/><inertial mass=".3" pos="0 0 0" diaginertia="1e-3 1e-3 1e-3"/>
<body pos="{x} -.1 0"><joint name="l" axis="0 0 1" range="-.5 .5" limited="true" damping=".05" armature=".0002"/>
<geom size=".01" pos="-{pad} .1 0" solref=".005 1" solimp=".5 .99 .0001" conaffinity="0"/></body>
<body pos="-{x} -.1 0"><joint name="r" axis="0 0 -1" range="-.5 .5" limited="true" damping=".05" armature=".0002"/>
<geom size=".01" pos="{pad} .1 0" solref=".005 1" solimp=".5 .99 .0001" conaffinity="0"/></body>
</body>
<body name="object"><freejoint/><geom type="mesh" mesh="cube" mass=".1" contype="0"/></body></worldbody>
<asset><mesh name="cube" inertia="convex" vertex="{corners}"/></asset>
<equality><weld body1="mocap" body2="root" solimp=".9 .95 .001 .5 2"/></equality>
<actuator><position joint="l" kp="5" forcerange="-3 3" ctrlrange="-.5 .5"/>
<position joint="r" kp="5" forcerange="-3 3" ctrlrange="-.5 .5"/></actuator></mujoco>"""


def test_dexgraspbench_equals_a_twin_written_from_its_description(tmp_path: Path) -> None:
    """Reset, ten levels of ten steps to the grasp and to the squeeze, the weight, ten looks of fifty steps."""
    grasps = vice(tmp_path, 'damping=".05" armature=".0002"', geom=BALL)  # touches in one point, whatever the mesh
    pregrasp, squeeze = torch.tensor([[-0.05, -0.05]]), torch.tensor([[0.06, 0.04]])
    found = success(grasps, "dexgraspbench", pregrasp=pregrasp, squeeze=squeeze)
    corners = " ".join(map(str, grasps.object.pieces[0].ravel()))
    model = mujoco.MjModel.from_xml_string(TWIN.format(x=HALF + 0.02 + 2 * GAP, pad=0.01 + GAP, corners=corners))
    data, ends = mujoco.MjData(model), []
    for axis in np.concatenate([sign * np.eye(3)[i : i + 1] for i in range(3) for sign in (1, -1)]):
        mujoco.mj_resetData(model, data)
        data.qpos[7:9] = pregrasp[0]
        for start, end in ((pregrasp[0].numpy(), np.zeros(2)), (np.zeros(2), squeeze[0].numpy())):
            for target in np.linspace(start, end, 11)[1:]:
                data.ctrl[:] = target
                mujoco.mj_step(model, data, 10)
        data.xfrc_applied[-1, :3] = 0.1 * 10 * axis
        for _ in range(10):
            mujoco.mj_step(model, data, 50)
            turned = np.degrees(2 * np.arccos(min(1, abs(data.qpos[-4]))))
            if np.linalg.norm(data.qpos[-7:-4]) >= 0.05 or turned >= 15:
                break
        ends.append((np.linalg.norm(data.qpos[-7:-4]), np.radians(turned)))
    np.testing.assert_allclose(found.displacement[0], np.array(ends)[:, 0], rtol=1e-3, atol=2e-6)
    np.testing.assert_allclose(found.rotation[0], np.array(ends)[:, 1], rtol=1e-2, atol=1e-4)
    assert found.held[0].tolist() == [moved < 0.05 and turned < np.radians(15) for moved, turned in ends]


def test_stopping_early_and_threads_change_no_verdict(tmp_path: Path) -> None:
    """Grasps from firm to loose, shifted off the pads."""
    one = vice(tmp_path, 'damping=".05"')
    shift = torch.tensor([[0.0, 0.02 * k, 0.015 * k] for k in range(4)])
    pose = HandPose(shift, torch.eye(3).expand(4, 3, 3), torch.zeros(4, 2), "vice")
    many, weak = PosedGrasps(one.hand, pose, one.object), torch.linspace(0.01, 0.1, 4)[:, None].expand(4, 2)
    whole = success(many, "squeeze", squeeze=weak)
    assert whole.held.any()
    assert not whole.held.all()
    for stop, threads in (("pull", 1), ("pull", 3), ("grasp", 2)):
        early = success(many, "squeeze", squeeze=weak, stop=stop, threads=threads)
        assert torch.equal(early.success(), whole.success())
        assert stop == "grasp" or torch.equal(early.held, whole.held)


def test_a_ladder_stops_at_the_size_that_moves_the_object(tmp_path: Path) -> None:
    """Coulomb: two pads hold 2 mu N along them, so N of the servos decides; three times the force, a higher rung."""
    grasps, wrench = vice(tmp_path, 'damping=".05"', ""), load_protocol("wrench")
    ladder = replace(wrench, load=replace(wrench.load, directions="six", lever=0.0, sizes=(0.25, 0.5, 1, 2, 4, 8, 16)))
    sizes = []
    for kp in (5.0, 15.0):
        found = try_grasps(grasps, replace(ladder, drive=replace(ladder.drive, kp=kp, force=None)))
        most = 2 * 0.6 * kp * 0.1 / 0.1  # kp x squeeze / lever of a pad
        sizes.append(found.size[0])
        assert most / 4 < found.size[0] <= most * 1.05
    assert sizes[1] > sizes[0]
