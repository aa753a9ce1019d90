"""Blocks against naive twins."""

import math

import pytest
import torch

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.models.blocks.attention import JointAttention
from dexzoo.models.blocks.encoding import SinusoidalEncoding
from dexzoo.models.blocks.gating import BlendedLinear, Gate
from dexzoo.models.blocks.material_points import MaterialPoints
from dexzoo.models.blocks.pointnet import PointNet
from dexzoo.models.blocks.standardise import Standardise
from dexzoo.models.motion.features import motion_features, offsets_to_pose, pose_to_offsets


def test_encoding_is_sine_and_cosine_of_every_wavelength():
    encoding = SinusoidalEncoding(n_frequencies=3, longest=1.0, shortest=0.25)
    code = encoding(torch.tensor([0.1, -0.2, 0.3]))
    wavelengths = [1.0, 0.5, 0.25]
    expected = [f(2 * math.pi * x / w) for x in (0.1, -0.2, 0.3) for f in (math.sin, math.cos) for w in wavelengths]
    torch.testing.assert_close(code, torch.tensor(expected), atol=1e-6, rtol=0)


def test_attention_equals_a_loop_over_frames_heads_and_joints(generator):
    block = JointAttention(n_joints=5, width=8, heads=2, out_features=7)
    joints = torch.randn(2, 3, 5, 3, generator=generator)
    query, key, value = block.project(block.encoding(joints)).split(8, dim=-1)
    expected = torch.zeros(2, 3, 5, 8)
    for b in range(2):
        for t in range(3):
            for part in (slice(0, 4), slice(4, 8)):
                for i in range(5):
                    scores = torch.stack([query[b, t, i, part] @ key[b, t, j, part] / 2.0 for j in range(5)])
                    weights = scores.exp() / scores.exp().sum()
                    expected[b, t, i, part] = sum(weights[j] * value[b, t, j, part] for j in range(5))
    torch.testing.assert_close(block(joints), block.summary(expected.flatten(-2)), atol=1e-5, rtol=0)


def test_attention_off_sees_every_joint_alone(generator):
    block = JointAttention(n_joints=2, width=4, heads=2, out_features=3, attend=False)
    joints = torch.randn(1, 1, 2, 3, generator=generator)
    alone = [block.project(block.encoding(joints[:, :, j])) for j in range(2)]
    torch.testing.assert_close(block(joints), block.summary(torch.cat(alone, dim=-1)))


def test_blended_linear_equals_a_matrix_per_sample(generator):
    layer = BlendedLinear(4, 3, num_experts=2)
    torch.nn.init.normal_(layer.bias)
    x, blend = torch.randn(5, 4, generator=generator), torch.rand(5, 2, generator=generator)
    weights, biases = layer.weight.view(2, 3, 4), layer.bias.view(2, 3)
    for i in range(5):
        weight = blend[i, 0] * weights[0] + blend[i, 1] * weights[1]
        bias = blend[i, 0] * biases[0] + blend[i, 1] * biases[1]
        torch.testing.assert_close(layer(x, blend)[i], weight @ x[i] + bias)


def test_gate_is_a_distribution_over_experts(generator):
    blend = Gate(6, num_experts=4)(torch.randn(9, 6, generator=generator))
    assert (blend > 0).all()
    torch.testing.assert_close(blend.sum(-1), torch.ones(9))


def test_pointnet_does_not_depend_on_order_or_repetition(generator):
    net, points = PointNet(), torch.randn(2, 30, 3, generator=generator)
    shuffled = points[:, torch.randperm(30, generator=generator)]
    torch.testing.assert_close(net(points), net(torch.cat([shuffled, shuffled[:, :7]], dim=1)))


def test_standardise_gives_zero_mean_unit_sd_and_survives_constants(generator):
    layer, samples = Standardise(3), torch.randn(500, 3, generator=generator) * 4 + 2
    samples[:, 2] = 1.0
    layer.fit(samples, floor=1e-3)
    out = layer(samples)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.inverse(out), samples)


def test_offsets_round_trip(batch):
    back = offsets_to_pose(pose_to_offsets(batch.future, batch.past[:, -1]), batch.past[:, -1])
    for part in ("translation", "rotation", "joints"):
        torch.testing.assert_close(getattr(back, part), getattr(batch.future, part), atol=2e-6, rtol=0)


def test_zero_offset_is_the_current_pose(batch):
    current = batch.past[:, -1]
    offsets = torch.zeros(len(batch.clip), 1, 9 + current.joints.shape[-1])
    offsets[..., 3] = offsets[..., 7] = 1.0  # the first two columns of the identity
    torch.testing.assert_close(offsets_to_pose(offsets, current)[:, 0].to_vector(), current.to_vector())


def test_features_are_those_of_the_definition(hand, batch):
    """Each feature recomputed in the world frame and carried into the palm's frame by hand."""
    surface = hand.surface(20)
    features = motion_features(hand, surface, batch)
    current = batch.past[:, -1]

    def to_palm(points):
        return (points - current.translation[:, None]) @ current.rotation

    now, before, goal = (
        hand.place(hand.forward_kinematics(p), surface) for p in (current, batch.past[:, -2], batch.goal)
    )
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(features.points, to_palm(now), **close)
    torch.testing.assert_close(features.target_points, to_palm(goal), **close)
    torch.testing.assert_close(features.velocity, (now - before) @ current.rotation * 30, atol=1e-3, rtol=0)
    torch.testing.assert_close(features.displacement.norm(dim=-1), (goal - now).norm(dim=-1), **close)
    torch.testing.assert_close(features.object_points, to_palm(batch.object_points), **close)
    torch.testing.assert_close(
        features.goal_distance[:, 0], (batch.goal.translation - current.translation).norm(dim=-1)
    )
    torch.testing.assert_close(features.time_to_go[:, 0] * 30, batch.time_to_go)
    torch.testing.assert_close(current.rotation @ features.up[..., None], torch.eye(3)[2].expand(8, 3)[..., None])


@pytest.mark.parametrize("gravity", [False, True])
def test_features_do_not_depend_on_where_the_world_is(hand, batch, gravity):
    from dataclasses import replace

    axis = torch.tensor([0.0, 0.0, 1.3]) if gravity else torch.tensor([0.4, -1.0, 1.3])
    rotation, translation = rotvec_to_rotmat(axis), torch.tensor([0.3, -0.2, 0.5])
    moved = replace(
        batch,
        past=batch.past.moved_by(rotation, translation),
        goal=batch.goal.moved_by(rotation, translation),
        object_points=batch.object_points @ rotation.mT + translation,
    )
    surface = hand.surface(20)
    one, two = (vars(motion_features(hand, surface, b)) for b in (batch, moved))
    for name in one.keys() - (set() if gravity else {"up"}):
        torch.testing.assert_close(one[name], two[name], atol=1e-4, rtol=1e-4)


def test_material_points_come_back_from_a_state_dict(hand):
    block, other = MaterialPoints(hand.surface(9)), MaterialPoints(hand.surface(9, seed=1))
    assert not torch.equal(block().position, other().position)
    other.load_state_dict(block.state_dict())
    assert torch.equal(block().position, other().position)
    assert torch.equal(block().link, other().link)
