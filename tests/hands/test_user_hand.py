"""A hand from a URDF and a YAML alone. Oracles: pytorch_kinematics, closed forms, MuJoCo's own URDF reader."""

import mujoco
import numpy as np
import pytest
import torch

from dexzoo.hands import HandError, HandPose, load_hand
from dexzoo.hands.check import findings
from dexzoo.hands.mujoco_model import hand_spec
from tests.verbs import status_of


def _pose(hand, batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64)).Q
    rotation = q * torch.linalg.det(q).sign()[:, None, None]
    joints = torch.rand(batch, hand.num_joints, generator=generator, dtype=torch.float64)
    joints = hand.lower + (hand.upper - hand.lower) * joints
    return HandPose(torch.randn(batch, 3, generator=generator, dtype=torch.float64), rotation, joints, hand.name)


def test_names_limits_and_shapes(pincer):
    hand = load_hand(pincer).double()
    assert hand.joint_names == ("left_joint", "right_joint", "slider_joint")
    assert hand.link_names == ("palm", "left", "left_tip", "pad", "right", "slider")
    assert hand.keypoint_names == ("palm", "left", "left_tip", "right", "slider", "left_tip", "right_tip")
    assert hand.lower.tolist() == [-0.2, -1.5, 0.0]
    assert hand.rest.tolist() == [0.3, 0.0, 0.01]
    tree = hand.spec.tree
    (cylinder,), (sphere,) = tree["left"].capsules, tree["left_tip"].capsules
    np.testing.assert_allclose([cylinder.start, cylinder.end], [[0, 0, 0.008], [0, 0, 0.042]])
    np.testing.assert_allclose([sphere.start, sphere.end], [[0, 0, 0.01]] * 2)
    np.testing.assert_allclose(tree["right"].boxes[0].centre, [0, 0, 0.025], atol=1e-9)
    np.testing.assert_allclose(tree["right"].boxes[0].half, [0.005, 0.006, 0.025], atol=1e-9)
    np.testing.assert_allclose(tree["pad"].boxes[0].half, [0.01, 0.01, 0.002])
    assert len(hand.contact_candidates) == 20
    assert len(hand.surface(100)) == 100


def test_kinematics_equal_pytorch_kinematics(pincer):
    """Its chain keeps float32 constants and knows no `<mimic>`: the backend passes it the driven values."""
    hand = load_hand(pincer).double()
    text = pincer.read_text()
    other_file = pincer.with_name("other.yaml")
    other_file.write_text(text + "backend: pytorch_kinematics\n")
    other = load_hand(other_file).double()
    pose = _pose(hand, 30)
    ours, theirs = hand.forward_kinematics(pose), other.forward_kinematics(pose)
    torch.testing.assert_close(ours.rotation, theirs.rotation, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.translation, theirs.translation, atol=1e-6, rtol=0)


def test_mimic_joint_in_closed_form(pincer):
    hand = load_hand(pincer).double()
    pose = HandPose(torch.zeros(3), torch.eye(3), torch.tensor([0.6, 0, 0]), "pincer").to(torch.float64)
    links = hand.forward_kinematics(pose)
    relative = links.rotation[1].T @ links.rotation[2]
    angle = 0.5 * 0.6 + 0.1
    expected = torch.tensor([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    torch.testing.assert_close(relative, expected.double())


def test_gradient_through_a_mimic_joint(pincer):
    hand = load_hand(pincer).double()
    joints = torch.tensor([0.4, -0.3, 0.01], dtype=torch.float64, requires_grad=True)

    def tips(q):
        return hand.keypoints(hand.kinematics(torch.eye(3).double(), torch.zeros(3).double(), q))

    assert torch.autograd.gradcheck(tips, (joints,))


def test_simulation_model_follows_the_same_kinematics(pincer):
    hand = load_hand(pincer).double()
    model = hand_spec(hand, servos=True).compile()
    assert [model.actuator(i).name for i in range(model.nu)] == list(hand.joint_names)
    data = mujoco.MjData(model)
    pose = _pose(hand, 5)
    links = hand.forward_kinematics(
        HandPose(torch.zeros(5, 3).double(), torch.eye(3).double().expand(5, 3, 3), pose.joints, "pincer")
    )
    for k, q in enumerate(pose.joints.numpy()):
        for name, value in zip(hand.joint_names, q, strict=True):
            data.joint(name).qpos[0] = value
        data.joint("left_tip_joint").qpos[0] = 0.5 * q[0] + 0.1
        mujoco.mj_kinematics(model, data)
        for i, name in enumerate(hand.link_names):
            np.testing.assert_allclose(data.body(name).xpos, links.translation[k, i], atol=1e-12)
    data.ctrl[:] = hand.rest
    model.opt.gravity[:] = 0
    mujoco.mj_step(model, data, 1000)
    assert data.joint("left_tip_joint").qpos[0] == pytest.approx(0.5 * data.joint("left_joint").qpos[0] + 0.1, abs=0.02)


def test_check_prints_and_draws(pincer, tmp_path, capsys):
    assert status_of("hand", str(pincer), "--out", str(tmp_path / "out" / "pincer.png")) == 0
    printed = capsys.readouterr().out
    for expected in ("left_joint", "-0.200", "left_tip_joint (mimic)", "finger.stl collides as its bounding box"):
        assert expected in printed
    assert (tmp_path / "out" / "pincer.png").stat().st_size > 10_000


def test_check_reports_what_is_missing(pincer):
    (pincer.parent / "meshes/palm.stl").unlink()
    notes = findings(load_hand(pincer))
    assert any("palm: no visual mesh at" in note for note in notes)
    assert any("flat cylinder" in note for note in notes)


def test_check_of_an_unknown_hand(capsys):
    assert status_of("hand", "shadow_e3m6") == 1
    assert "did you mean 'shadow_e3m5'?" in capsys.readouterr().err


def _spoil(yaml, old, new):
    text = yaml.read_text()
    assert old in text
    yaml.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: pincer\n", "", "missing key 'name'"),
        ("fingertips:", "fingertip:", "unknown key 'fingertip'; did you mean 'fingertips'?"),
        ("kind: tree", "kind: urdf", "kind: no 'urdf'; available: tree, mano"),
        ("contact_links: [left_tip, [slider]]\n", "", "missing key 'contact_links'"),
        ("source: pincer.urdf", "source: pincr.urdf", "source: expected a URDF or MJCF file, found nothing at "),
        ("source: pincer.urdf", "source: {package: no_such, file: a.xml}", "package 'no_such' is not installed"),
        ("source: pincer.urdf", "", r"expected either `source` .* or `links` .*, found neither"),
        ("root: palm", "root: plam", "no link 'plam'; did you mean 'palm'?"),
        ("link: left_tip,", "link: left_tpi,", "fingertips: left: no 'left_tpi'; did you mean 'left_tip'?"),
        ("offset: [0, 0, 0.02]", "offset: [0, 0.02]", r"fingertips: left: expected 3 numbers, found \[0, 0.02\]"),
        ("contact_links: [left_tip", "contact_links: [left_tup", "no 'left_tup'; did you mean 'left_tip'?"),
        ("rest: {left_joint", "rest: {left_jiont", "rest: no 'left_jiont'; did you mean 'left_joint'?"),
        ("left_joint: 0.3", "left_joint: 3", "rest: left_joint: expected -0.2 to 1.5, found 3"),
        ("limits: {right_joint: [-1.5, 0.5]}", "", "joint 'right_joint': expected a finite range "),
        ("{right_joint: [-1.5", "{rigth_joint: [-1.5", "unknown joint 'rigth_joint'; did you mean 'right_joint'?"),
        ("slider: [-1, 0, 0]", "slider: [0, 0, 0]", r"palmar: slider: expected a direction"),
        ("name: pincer\n", "name: [pincer\n", "expected YAML, found"),
        ("rest:", "backend: pinocchio\nrest:", "backend: no 'pinocchio'"),
        ("rest:", "maps: {shadow: {left_joint: FFJ2}}\nrest:", r"maps: shadow: left_joint: expected \[joint of shadow"),
    ],
)  # fmt: skip
def test_errors_of_the_yaml(pincer, old, new, message):
    _spoil(pincer, old, new)
    with pytest.raises(HandError, match=message) as error:
        load_hand(pincer)
    assert "pincer" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</robot>", "", "expected a URDF file that MuJoCo can read, found: no element found: line 33"),
        ('robot name="pincer"', 'model name="pincer"', "expected a URDF file with a <robot> or .* found <model>"),
        ('<parent link="p_palm"/><child link="p_left"/>', '<parent link="p_plam"/><child link="p_left"/>',
         "joint 'p_left_joint': no parent 'p_plam'; did you mean 'p_palm'?"),
        ('name="p_left_joint" type="revolute"', 'name="p_left_joint" type="ball"',
         "joint 'p_left_joint': expected a type among revolute, continuous, prismatic, fixed, .*; found 'ball'"),
        ('<axis xyz="0 3 4"/>', '<axis xyz="0 3"/>', "'xyz' does not have enough data Element 'axis', line 21"),
        ('<axis xyz="0 3 4"/>', '<axis xyz="0 0 0"/>', "axis too small in joint Element name 'p_left_joint'"),
        ('mimic joint="p_left_joint"', 'mimic joint="p_left_jiont"', "mimics 'left_jiont'|mimics 'p_left_jiont'"),
        ('<sphere radius=".01"/>', "<cone/>", "geometry specification not found Element 'geometry', line 13"),
        ('<sphere radius=".01"/>', '<sphere radius="big"/>', "in attribute 'radius' Element 'sphere', line 13"),
        ("meshes/finger.stl", "meshes/fingr.stl", "link 'right': collision: expected a mesh file, found nothing"),
    ],
)  # fmt: skip
def test_errors_of_the_urdf(pincer, old, new, message):
    urdf = pincer.with_name("pincer.urdf")
    _spoil(urdf, old, new)
    with pytest.raises(HandError, match=message) as error:
        load_hand(pincer)
    assert "pincer.urdf" in str(error.value)


def test_backend_needs_a_urdf(tmp_path):
    text = (load_hand("shadow").spec.file).read_text() + "\nbackend: pytorch_kinematics\n"
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(HandError, match=r"expected a hand whose source is a URDF, found .*reach"):
        load_hand(tmp_path / "mine.yaml")


def test_a_changed_yaml_is_read_again(pincer):
    assert load_hand(pincer).joint_names[1] == "right_joint"
    before = pincer.stat().st_mtime_ns
    _spoil(pincer, "left_joint: 0.3", "left_joint: 0.5")
    assert pincer.stat().st_mtime_ns != before
    assert float(load_hand(pincer).rest[0]) == 0.5
