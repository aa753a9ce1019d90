"""Oracles: MuJoCo on the model file itself, finite differences, a chain computed by hand."""

from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import jacrev, vmap

from dexzoo.hands import HandError, HandPose, load_hand
from dexzoo.hands.kinematics import Kinematics
from dexzoo.hands.model_file import read_model

HANDS = ("shadow", "shadow_e3m5")

ODD_MJCF = """
<mujoco><compiler angle="radian"/><default><geom type="sphere" size=".01"/></default>
<worldbody><body name="base" pos="1 2 3"><geom type="box" size=".03 .02 .04"/>
  <body name="a" pos=".01 .02 .03" euler=".3 -.2 .5">
    <joint name="ja" axis="1 2 2" pos=".02 -.01 .03" range="-1 1"/><geom type="capsule" size=".01 .02"/>
    <body name="a1" pos="0 0 .05"><joint name="ja1" type="slide" axis="0 1 1" range="0 .1"/><geom/>
      <body name="a11" pos=".01 0 .04"><joint name="ja11" axis="0 1 0" range="-1 1"/><geom/></body>
    </body>
    <body name="a2" pos="0 .03 .05" quat="1 .2 0 0"><geom type="cylinder" size=".01 .03"/>
      <body name="a21" pos=".02 0 .01"><joint name="ja21" axis="0 0 1" range="-2 2"/><geom/></body>
      <body name="a22" pos="0 0 .02"><joint name="ja22" axis="1 0 0" range="-2 2"/><geom/></body>
    </body>
  </body>
  <body name="b" pos="-.03 0 .02"><joint name="jb" axis="0 -1 0" range="-1 1"/><geom/></body>
</body></worldbody></mujoco>
"""  # branches, a fixed link, a slide, an anchor off the origin, tilted frames


def _shadow_file() -> Path:
    package = find_spec("gymnasium_robotics").submodule_search_locations[0]
    return Path(package) / "envs/assets/hand/reach.xml"


def _random_pose(hand, batch, generator, dtype=torch.float64):
    q = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64)).Q
    rotation = q * torch.linalg.det(q).sign()[:, None, None]
    joints = torch.rand(batch, hand.num_joints, generator=generator, dtype=torch.float64)
    joints = hand.lower.double() + (hand.upper - hand.lower).double() * joints
    translation = torch.randn(batch, 3, generator=generator, dtype=torch.float64)
    return HandPose(translation, rotation, joints, hand.name).to(dtype)


def _worst_errors(links, rotations, translations):
    """Metres and radians against MuJoCo's (B, L, 9) and (B, L, 3)."""
    R = links.rotation.double().numpy()
    relative = np.swapaxes(R, -1, -2) @ rotations.reshape(R.shape)
    sine = np.stack([relative[..., i, j] - relative[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1) / 2
    return np.abs(links.translation.double().numpy() - translations).max(), np.linalg.norm(sine, axis=-1).max()


def _mujoco(model, bodies, joints, values):
    """World transforms of bodies for rows of joint values, in the frame of the first body."""
    data = mujoco.MjData(model)
    addresses = [int(model.joint(name).qposadr[0]) for name in joints]
    rotations, translations = [], []
    for q in values:
        data.qpos[addresses] = q
        mujoco.mj_kinematics(model, data)
        ids = [model.body(name).id for name in bodies]
        R, t = data.xmat[ids].reshape(-1, 3, 3), data.xpos[ids]
        rotations.append(R[0].T @ R)
        translations.append((t - t[0]) @ R[0])
    return np.array(rotations), np.array(translations)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_shadow_equals_mujoco_on_the_package_file(dtype, tolerance):
    hand = load_hand("shadow").to(dtype)
    model = mujoco.MjModel.from_xml_path(str(_shadow_file()))
    pose = _random_pose(hand, 50, torch.Generator().manual_seed(0), dtype)
    links = hand.forward_kinematics(pose)
    names = [f"robot0:{name}" for name in hand.link_names]
    joints = [f"robot0:{name}" for name in hand.joint_names]
    R, t = _mujoco(model, names, joints, pose.joints.double().numpy())
    world = pose.rotation.double().numpy()[:, None]
    t = (world @ t[..., None])[..., 0] + pose.translation.double().numpy()[:, None]
    metres, radians = _worst_errors(links, world @ R, t)
    assert metres <= tolerance
    assert radians <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tree_with_every_feature_equals_mujoco(tmp_path, dtype):
    file = tmp_path / "odd.xml"
    file.write_text(ODD_MJCF)
    tree = read_model(file)
    assert tree.names == ("base", "a", "a1", "a11", "a2", "a21", "a22", "b")
    kinematics = Kinematics(tree).to(dtype)
    values = torch.rand(20, 6, generator=torch.Generator().manual_seed(1), dtype=dtype) - 0.5
    links = kinematics(torch.eye(3, dtype=dtype).expand(20, 3, 3), torch.zeros(20, 3, dtype=dtype), values)
    joints = [joint.name for joint in tree.joints]
    R, t = _mujoco(mujoco.MjModel.from_xml_path(str(file)), tree.names, joints, values.double().numpy())
    metres, radians = _worst_errors(links, R, t)
    assert max(metres, radians) <= (1e-12 if dtype == torch.float64 else 1e-6)


@pytest.mark.parametrize("source", [*HANDS, "odd"])
def test_gradients_against_finite_differences(tmp_path, source):
    if source == "odd":
        (tmp_path / "odd.xml").write_text(ODD_MJCF)
        kinematics = Kinematics(read_model(tmp_path / "odd.xml")).double()
    else:
        kinematics = load_hand(source).double().kinematics
    generator = torch.Generator().manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)).Q.requires_grad_()
    translation = torch.randn(2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    joints = torch.rand(2, kinematics.num_joints, generator=generator, dtype=torch.float64).requires_grad_()

    def both(*x):
        links = kinematics(*x)
        return links.rotation, links.translation

    assert gradcheck(both, (rotation, translation, joints), fast_mode=True)
    assert gradcheck(lambda q: kinematics(rotation.detach(), translation.detach(), q).translation, (joints,))
    assert gradcheck(lambda q: kinematics(rotation.detach(), translation.detach(), q).rotation, (joints,))
    assert gradgradcheck(lambda q: both(rotation.detach(), translation.detach(), q), (joints,), fast_mode=True)


def test_torch_func():
    """vmap of jacrev equals the Jacobian one by one."""
    kinematics = load_hand("shadow").double().kinematics
    joints = torch.rand(3, 22, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    root = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)

    def tips(q):
        return kinematics(*root, q).translation

    expected = torch.stack([torch.autograd.functional.jacobian(tips, q) for q in joints])
    torch.testing.assert_close(vmap(jacrev(tips))(joints), expected)


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (0,), (2, 0)])
def test_batch_shapes(batch):
    hand = load_hand("shadow")
    links = hand.forward_kinematics(hand.rest_pose(*batch))
    assert links.rotation.shape == (*batch, 23, 3, 3)
    assert links.translation.shape == (*batch, 23, 3)
    assert hand.keypoints(links).shape == (*batch, 28, 3)


def test_batches_do_not_mix():
    hand = load_hand("shadow")
    pose = _random_pose(hand, 6, torch.Generator().manual_seed(4), torch.float32)
    together = hand.keypoints(hand.forward_kinematics(pose.reshape(2, 3)))
    alone = torch.stack([hand.keypoints(hand.forward_kinematics(pose[i])) for i in range(6)])
    torch.testing.assert_close(together.reshape(6, 28, 3), alone, rtol=0, atol=1e-7)


def test_a_float32_hand_follows_a_float64_pose_and_autocast_leaves_it_alone():
    hand, exact = load_hand("shadow"), load_hand("shadow").double()
    pose = _random_pose(exact, 5, torch.Generator().manual_seed(5))
    links = hand.forward_kinematics(pose)
    assert links.translation.dtype == torch.float64
    expected = exact.forward_kinematics(pose)
    torch.testing.assert_close(links.translation, expected.translation, rtol=0, atol=1e-7)
    single = pose.to(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        points = hand.keypoints(hand.forward_kinematics(single))
        distance = hand.signed_distance(hand.forward_kinematics(single), single.translation[:, None] + 0.1)
        relative = single.relative_to(single[:1])
    for found in (points, distance, relative.rotation, relative.translation):
        assert found.dtype == torch.float32
    torch.testing.assert_close(points.double(), exact.keypoints(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("move", [True, False])
def test_everything_follows_the_device_of_the_pose(move):
    """The meta device stands for a GPU: an operation that mixes devices fails on it alike."""
    hand = load_hand("shadow").to("meta") if move else load_hand("shadow")
    pose = load_hand("shadow").rest_pose(4).to("meta")
    joints = pose.joints.clone().requires_grad_()
    links = hand.kinematics(pose.rotation, pose.translation, joints)
    found = (
        hand.keypoints(links),
        hand.place(links, hand.surface(20)),
        hand.place(links, hand.contact_candidates),
        hand.signed_distance(links, torch.empty(4, 7, 3, device="meta")),
        hand.clamp(joints),
    )
    assert {x.device.type for x in found} == {"meta"}
    (gradient,) = torch.autograd.grad(sum(x.sum() for x in found), joints)
    assert gradient.shape == (4, 22)


def test_double_is_exact_again_after_float():
    hand = load_hand("shadow").float().double()
    assert float(hand.upper[0]) == 0.349


def test_wrong_hand_and_wrong_shapes():
    hand = load_hand("shadow")
    with pytest.raises(HandError, match="expected a pose of 'shadow', found one of 'mano'"):
        hand.forward_kinematics(HandPose(torch.zeros(3), torch.eye(3), torch.zeros(22), "mano"))
    with pytest.raises(ValueError, match=r"joints \(\.\.\., 22\).*found \(3, 3\), \(3,\) and \(20,\)"):
        hand.forward_kinematics(HandPose(torch.zeros(3), torch.eye(3), torch.zeros(20), "shadow"))
