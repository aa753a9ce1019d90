"""Hands from URDF and MJCF with what such files really hold. Oracle: MuJoCo's own model of the same file."""

import mujoco
import numpy as np
import pytest
import torch
import trimesh

from dexzoo.hands import HandPose, HandSpecError, load_hand
from dexzoo.hands.check import findings

YAML = """
name: claw
kind: tree
source: {file}
fingertips: {{left: {{link: left, offset: [0, 0, 0.05]}}, right: {{link: right, offset: [0, 0, 0.05]}}}}
palmar: {{default: [0, 0, 1], left: [1, 0, 0], right: [-1, 0, 0]}}
contact_links: [left, right]
"""
FINGER = '<geom type="capsule" fromto="0 0 0 0 0 .05" size=".008"/>'
MJCF = """<mujoco model="claw">{top}
  <worldbody>{above}<body name="palm" pos="0 .1 0" euler="20 0 0"><geom type="box" size=".04 .015 .02"/>{palm}
    <body name="left" pos="-.03 0 .05"><joint name="lj" axis="0 1 0" range="-30 60"{joint}/>{left}{finger}</body>
    <body name="right" pos=".03 0 .05"><joint name="rj" axis="0 -1 0" range="-30 60" ref="-10"/>{right}{finger}</body>
  </body>{below}</worldbody>{bottom}
</mujoco>"""
PARTS = ("top", "above", "palm", "joint", "left", "right", "below", "bottom")


def _mjcf(folder, yaml="", **parts):
    text = MJCF.format(finger=FINGER, **{part: parts.get(part, "") for part in PARTS})
    (folder / "hand.xml").write_text(text)
    (folder / "hand.yaml").write_text(YAML.format(file="hand.xml") + yaml)
    return folder / "hand.yaml"


URDF = """<robot name="claw">
  <link name="palm"><{kind}><origin xyz="0 0 .02"/><geometry>{palm}</geometry></{kind}></link>
  <link name="left"><{kind}><origin xyz="0 0 .03"/><geometry><cylinder radius=".008" length=".06"/></geometry></{kind}></link>
  <link name="right"><{kind}><origin xyz="0 0 .03"/><geometry><box size=".016 .016 .06"/></geometry></{kind}></link>
  <joint name="0" type="revolute"><parent link="palm"/><child link="left"/><origin xyz="-.03 0 .05"/><axis xyz="0 1 0"/>
    <limit lower="-.5" upper="1" effort="1" velocity="1"/></joint>
  <joint name="1" type="revolute"><parent link="palm"/><child link="right"/><origin xyz=".03 0 .05"/><axis xyz="0 -1 0"/>
    <limit lower="-.5" upper="1" effort="1" velocity="1"/>{mimic}</joint>{more}
</robot>"""  # noqa: E501
BOX = '<box size=".08 .03 .04"/>'


def _urdf(folder, yaml="", name="hand.urdf", kind="collision", palm=BOX, mimic="", more=""):
    (folder / name).write_text(URDF.format(kind=kind, palm=palm, mimic=mimic, more=more))
    (folder / "hand.yaml").write_text(YAML.format(file=name) + yaml)
    return folder / "hand.yaml"


def _link(name, parent, mimic="", kind="revolute", joint=None):
    return (
        f'<link name="{name}"><collision><geometry>{BOX}</geometry></collision></link>'
        f'<joint name="{joint or name + "_j"}" type="{kind}"><parent link="{parent}"/><child link="{name}"/>'
        f'<origin xyz="0 .01 .06" rpy=".1 .2 .3"/><axis xyz="0 1 0"/>'
        f'<limit lower="-9" upper="9" effort="1" velocity="1"/>{mimic}</joint>'
    )


def assert_equals_mujoco(hand, model, count=100):
    """The links of `hand` at random joints, against the bodies of the model with its couplings solved naively."""
    hand, rng, data = hand.double(), np.random.default_rng(0), mujoco.MjData(model)
    lower, upper = hand.lower.numpy(), hand.upper.numpy()
    joints = rng.uniform(lower, upper, (count, len(lower)))
    eye = torch.eye(3).double().expand(count, 3, 3)
    links = hand.forward_kinematics(HandPose(torch.zeros(count, 3).double(), eye, torch.from_numpy(joints), hand.name))
    known = [model.body(i).name for i in range(model.nbody)]
    names = [(i, name) for i, name in enumerate(hand.link_names) if name in known]
    for k, q in enumerate(joints):
        data.qpos[:] = model.qpos0
        for name, value in zip(hand.joint_names, q, strict=True):
            data.joint(name).qpos[0] = value
        for _ in range(model.neq):  # each pass settles one more follower of a chain
            for e in np.flatnonzero(model.eq_active0 * (model.eq_type == mujoco.mjtEq.mjEQ_JOINT)):
                a, b = (model.jnt_qposadr[j[e]] for j in (model.eq_obj1id, model.eq_obj2id))
                step = data.qpos[b] - model.qpos0[b] if model.eq_obj2id[e] >= 0 else 0.0
                data.qpos[a] = model.qpos0[a] + np.polyval(model.eq_data[e, 4::-1], step)
        mujoco.mj_kinematics(model, data)
        root = data.body(hand.link_names[0])
        base = root.xmat.reshape(3, 3)
        for i, name in names:
            body = data.body(name)
            np.testing.assert_allclose(links.translation[k, i], base.T @ (body.xpos - root.xpos), atol=1e-9)
            np.testing.assert_allclose(links.rotation[k, i], base.T @ body.xmat.reshape(3, 3), atol=1e-9)


ARM = '<body name="arm"><joint name="x" type="slide" axis="1 0 0"/><joint name="b" type="ball"/>'
CASES = {
    "reference and couplings": {
        "joint": ' ref="20"',
        "left": '<joint name="l2" axis="1 0 0" pos="0 .01 .02" range="-40 40"/>'
        '<joint name="l3" type="slide" range="0 .01"/>',
        "bottom": '<equality><joint joint1="rj" joint2="l2" polycoef=".1 .5 .2 -.1 .05"/></equality>',
    },
    "chain of couplings": {
        "right": '<joint name="r2" range="-170 170"/>',
        "bottom": '<equality><joint joint1="r2" joint2="rj" polycoef="0 .5"/>'
        '<joint joint1="rj" joint2="lj"/></equality>',
    },
    "held joint": {"bottom": '<equality><joint joint1="rj" polycoef=".2 0"/></equality>'},
    "joints above the root": {"above": ARM, "below": "</body>", "yaml": "root: palm\n"},
    "floating base": {"palm": '<freejoint name="float"/>'},
    "what kinematics does not need": {
        "top": '<asset><material name="m"/><texture name="t" type="2d" builtin="flat" width="8" height="8"/></asset>',
        "left": '<site name="tip" pos="0 0 .05" material="m"/><camera name="eye"/>',
        "bottom": '<actuator><position joint="lj" kp="3"/></actuator><sensor><touch site="tip"/></sensor>'
        '<keyframe><key name="home" qpos="0 0"/></keyframe>',
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_mjcf_equals_mujoco(tmp_path, case):
    hand = load_hand(_mjcf(tmp_path, **CASES[case]))
    assert_equals_mujoco(hand, mujoco.MjModel.from_xml_path(str(tmp_path / "hand.xml")))


def test_gradients_through_polynomials(tmp_path):
    kinematics = load_hand(_mjcf(tmp_path, **CASES["reference and couplings"])).double().kinematics
    joints = torch.tensor([[0.3, -0.4, 0.002], [-0.1, 0.2, 0.005]], dtype=torch.float64, requires_grad=True)
    root = torch.eye(3).double().expand(2, 3, 3), torch.zeros(2, 3).double()
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda q: kinematics(*root, q).translation, (joints,))


def test_tendons_that_tie_two_joints(tmp_path):
    """1 lj + 2 rj is constant, seen from the references 0 and -10 degrees; the oracle is that sum."""
    tendon = '<tendon><fixed name="t"><joint joint="lj" coef="1"/><joint joint="rj" coef="2"/></fixed></tendon>'
    yaml = _mjcf(tmp_path, bottom=f'{tendon}<equality><tendon tendon1="t" polycoef=".1"/></equality>')
    hand = load_hand(yaml)
    assert hand.joint_names == ("lj",)
    tree = hand.spec.tree
    _, value = tree.drive(tree["right"].joint)
    ref = np.deg2rad(-10)
    assert 0.3 + 2 * (value(0.3) - ref) == pytest.approx(0.1)
    model = mujoco.MjModel.from_xml_path(str(tmp_path / "hand.xml"))
    data = mujoco.MjData(model)
    data.qpos[:] = 0.3, value(0.3)
    mujoco.mj_fwdPosition(model, data)
    assert data.efc_pos[0] == pytest.approx(0, abs=1e-9)


def test_urdf_mimics_in_a_chain_and_below_the_root(tmp_path):
    more = _link("tip", "right", '<mimic joint="1" multiplier="-2" offset=".1"/>', joint="2")
    more += _link("pad", "tip", '<mimic joint="wrist"/>') + '<link name="world"/>'
    more += _link("mount", "world", kind="floating") + _link("arm", "mount", joint="wrist")
    more += '<joint name="flange" type="fixed"><parent link="arm"/><child link="palm"/></joint>'
    file = _urdf(tmp_path, "root: palm\nrest: {0: 0.2}\n", mimic='<mimic joint="0" multiplier=".5"/>', more=more)
    hand = load_hand(file)
    assert hand.joint_names == ("0",)
    assert float(hand.rest[0]) == pytest.approx(0.2)
    assert any("pad_j is fixed at 0: it follows wrist, which is above the root" in note for note in findings(hand))
    tree = hand.spec.tree
    _, value = tree.drive(tree["tip"].joint)
    np.testing.assert_allclose(value([0.4, -0.2]), [-2 * 0.5 * 0.4 + 0.1, 2 * 0.5 * 0.2 + 0.1])
    text = (tmp_path / "hand.urdf").read_text().replace('type="floating"', 'type="fixed"')
    text = text.replace('"claw">', '"claw"><mujoco><compiler fusestatic="false"/></mujoco>')
    assert_equals_mujoco(hand, mujoco.MjModel.from_xml_string(text))


def test_a_follower_limits_its_driver(tmp_path):
    """Right = 3 left within [-.5, 1] leaves left [-1/6, 1/3]."""
    hand = load_hand(_urdf(tmp_path, mimic='<mimic joint="0" multiplier="3"/>'))
    np.testing.assert_allclose([float(hand.lower[0]), float(hand.upper[0])], [-1 / 6, 1 / 3], rtol=1e-6)
    assert any("0 is limited to -0.1667 to 0.3333, where 1 reaches its own limit" in note for note in findings(hand))
    hand = load_hand(_urdf(tmp_path, mimic='<mimic joint="0" offset="7"/>'))
    assert hand.lower.tolist() == [-0.5]
    assert any("1 follows 0 beyond its own limits" in note for note in findings(hand))


@pytest.mark.parametrize("kind", ["visual", "collision"])
def test_a_hand_that_has_only_visuals_collides_as_it_is_drawn(tmp_path, kind):
    hand = load_hand(_urdf(tmp_path, kind=kind))
    assert len(hand.boxes.link) + len(hand.capsules.link) == 3
    said = [note for note in findings(hand) if "collides as it is drawn" in note]
    assert len(said) == (3 if kind == "visual" else 0)


MESH = '<mesh name="m" vertex="0 0 0 .02 0 0 0 .03 0 0 0 .04" {more}/>'


@pytest.mark.parametrize("more", ["", 'scale="1 2 -1"', 'refpos=".01 0 .02" refquat="1 1 0 0" scale="1 2 1"'])
def test_inline_meshes_are_where_mujoco_has_them(tmp_path, more):
    parts = {"top": f"<asset>{MESH.format(more=more)}</asset>", "palm": '<geom type="mesh" mesh="m" pos="0 0 .1"/>'}
    hand = load_hand(_mjcf(tmp_path, **parts))
    model = mujoco.MjModel.from_xml_path(str(tmp_path / "hand.xml"))
    R = np.empty(9)
    mujoco.mju_quat2Mat(R, model.geom_quat[1])
    corners = model.mesh_vert @ R.reshape(3, 3).T + model.geom_pos[1]
    box = hand.spec.tree["palm"].boxes[1]
    np.testing.assert_allclose(box.centre - box.half, corners.min(0), atol=1e-6)
    np.testing.assert_allclose(box.centre + box.half, corners.max(0), atol=1e-6)


def test_shapes_fitted_to_a_mesh(tmp_path):
    trimesh.creation.box((0.08, 0.03, 0.04)).export(tmp_path / "palm.obj")
    parts = {"top": '<asset><mesh name="m" file="palm.obj"/></asset>', "palm": '<geom type="box" mesh="m"/>'}
    half = load_hand(_mjcf(tmp_path, **parts)).spec.tree["palm"].boxes[1].half
    np.testing.assert_allclose(np.sort(half), [0.015, 0.02, 0.04], atol=1e-6)


def test_suffixes_and_mesh_paths(tmp_path):
    """The same file name in two folders, package:// and upper case; .dae needs a reader, but only where it collides."""
    for folder, size in (("a", 0.02), ("b", 0.04)):
        (tmp_path / folder).mkdir()
        trimesh.creation.box((size,) * 3).export(tmp_path / folder / "part.stl")
    palm = '<mesh filename="package://claw/a/part.stl"/></geometry></collision><visual><geometry>'
    palm += '<mesh filename="b/part.dae"/></geometry></visual><collision><geometry><mesh filename="b/part.stl"/>'
    hand = load_hand(_urdf(tmp_path, name="claw.URDF", palm=palm, more="<!-- made by <xacro:macro> -->"))
    np.testing.assert_allclose([box.half[0] for box in hand.spec.tree["palm"].boxes], [0.01, 0.02], atol=1e-6)
    assert any("no visual mesh at" in note and "part.dae" in note for note in findings(hand))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mimic": '<mimic joint="2"/>', "more": _link("a", "left", '<mimic joint="1"/>', joint="2")},
         r"in a circle, found 2 -> 1 -> 2"),
        ({"more": _link("a", "b") + _link("b", "a")}, r"found a loop: a -> b -> a"),
        ({"more": "<xacro:include/>", "name": "hand.urdf.xacro"}, r"xacro hand.urdf.xacro > hand_expanded.urdf"),
        ({"yaml": "rest: {0: '0.2'}\n"}, r"rest: 0: expected a number, found '0.2'"),
        ({"yaml": "rest: [0.2]\n"}, r"rest: expected a mapping of names, found \[0.2\]"),
    ],
)  # fmt: skip
def test_errors(tmp_path, change, message):
    with pytest.raises(HandSpecError, match=message):
        load_hand(_urdf(tmp_path, **change))


def test_empty_keys_count_as_absent(tmp_path):
    assert load_hand(_urdf(tmp_path, "rest:\nlimits:\n")).rest.tolist() == [0, 0]
