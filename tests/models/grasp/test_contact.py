"""The contact predictor and its encoder against naive twins."""

import math

import pytest
import torch
from torch import nn

from dexzoo.hands.pose import HandPose
from dexzoo.models.blocks.pointnet import PointEncoder
from dexzoo.models.grasp.contact.model import ContactMap
from tests.oracles.grasps import distance_to_hand, random_grasps


@pytest.fixture
def grasps(hand, generator):
    return random_grasps(hand, 4, generator)


@pytest.fixture
def net(hand):
    return ContactMap(hand, n_hand_points=64)


def moved(grasps, generator, std=0.02):
    noise = std * torch.randn(grasps.pose.translation.shape, generator=generator)
    return HandPose(grasps.pose.translation + noise, grasps.pose.rotation, grasps.pose.joints, grasps.pose.hand)


def test_encoder_has_values_and_gradients_of_a_plain_maximum(generator):
    encoder = PointEncoder(5, (7, 8, 9))
    plain = nn.Sequential(*encoder.layers, encoder.last)
    x = torch.randn(3, 40, 5, generator=generator, requires_grad=True)
    each, whole = encoder(x)
    torch.testing.assert_close(each, encoder.layers(x))
    torch.testing.assert_close(whole, plain(x).amax(1))
    weights = torch.randn(3, 9, generator=generator)
    inputs = [x, *encoder.parameters()]
    found = torch.autograd.grad((whole * weights).sum(), inputs)
    expected = torch.autograd.grad((plain(x).amax(1) * weights).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_encoder_needs_two_layers():
    with pytest.raises(ValueError, match=r"widths: expected two layers or more, found \(32,\)"):
        PointEncoder(3, (32,))


def test_point_features_are_those_of_a_loop(net, grasps):
    hand_points = net.hand_points(grasps.pose)
    centre = grasps.object_points.mean(1, keepdim=True)
    found = net._point_features(grasps.object_points[:, :20], hand_points, centre)
    assert found.shape == (4, 20, 8)
    for b in range(4):
        for i in range(20):
            point = grasps.object_points[b, i]
            nearest = min(hand_points[b], key=lambda h, p=point: float((h - p).norm()))
            distance = (nearest - point).norm()
            contact = 2 - 2 / (1 + math.exp(-60 * float(distance)))
            expected = torch.cat([(point - centre[b, 0]) / 0.1, (nearest - point) / 0.1, distance[None] / 0.1])
            torch.testing.assert_close(found[b, i, :7], expected, atol=1e-5, rtol=1e-5)
            assert float(found[b, i, 7]) == pytest.approx(contact, abs=1e-5)


def test_join_is_one_linear_layer_on_point_object_and_hand(net, grasps):
    hand_points = net.hand_points(grasps.pose)
    centre = grasps.object_points.mean(1, keepdim=True)
    each, obj = net.object_encoder(net._point_features(grasps.object_points, hand_points, centre))
    _, hand = net.hand_encoder((hand_points - centre) / 0.1)
    tiled = torch.cat([obj, hand], dim=-1)[:, None].expand(-1, each.shape[1], -1)
    weight = torch.cat([net.join_point.weight, net.join_global.weight], dim=1)
    hidden = torch.cat([each, tiled], dim=-1) @ weight.T + net.join_point.bias
    torch.testing.assert_close(net(grasps.object_points, hand_points), net.output(hidden.clamp_min(0)))


@pytest.mark.parametrize("local", [True, False])
def test_the_frame_does_not_matter_but_the_hand_does(hand, grasps, local):
    net = ContactMap(hand, n_hand_points=64, local=local)
    points, hand_points = grasps.object_points, net.hand_points(grasps.pose)
    logits, shift = net(points, hand_points), torch.tensor([0.5, -0.3, 0.9])
    torch.testing.assert_close(net(points + shift, hand_points + shift), logits, atol=1e-4, rtol=1e-4)
    assert (net(points, hand_points + shift) - logits).abs().max() > 1e-2


def test_order_of_points_does_not_matter(net, grasps, generator):
    points, hand_points = grasps.object_points, net.hand_points(grasps.pose)
    p, h = (torch.randperm(x.shape[1], generator=generator) for x in (points, hand_points))
    torch.testing.assert_close(net(points[:, p], hand_points[:, h]), net(points, hand_points)[:, p])


def test_decoding_and_loss_equal_a_loop(net, generator):
    logits, target = torch.randn(2, 5, 10, generator=generator), torch.rand(2, 5, generator=generator)
    target[0, 0], target[0, 1] = 1.0, 0.0
    loss = 0.0
    for b in range(2):
        for i in range(5):
            p = [math.exp(x) for x in logits[b, i].tolist()]
            p = [x / sum(p) for x in p]
            centres = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]
            mean = sum(x * c for x, c in zip(p, centres, strict=True))
            assert float(net.expected(logits)[b, i]) == pytest.approx(mean, abs=1e-6)
            assert float(net.mode(logits)[b, i]) == pytest.approx(centres[p.index(max(p))], abs=1e-6)
            loss -= math.log(p[min(9, int(float(target[b, i]) * 10))]) / 10
    assert float(net.loss(logits, target)) == pytest.approx(loss, abs=1e-5)


def test_regression_decodes_by_sigmoid_and_learns_squared_error(hand, generator):
    net = ContactMap(hand, n_hand_points=8, head="regression")
    assert net(torch.zeros(1, 3, 3), torch.ones(1, 8, 3)).shape == (1, 3, 1)
    logits, target = torch.randn(2, 5, 1, generator=generator), torch.rand(2, 5, generator=generator)
    expected = 1 / (1 + (-logits[..., 0]).exp())
    torch.testing.assert_close(net.expected(logits), expected)
    torch.testing.assert_close(net.mode(logits), expected)
    assert float(net.loss(logits, target)) == pytest.approx(float(((expected - target) ** 2).mean()), abs=1e-6)


def test_target_is_the_contact_of_the_true_hand(net, hand, grasps):
    points = grasps.object_points[:2, :25].clone()
    links = hand.forward_kinematics(grasps.pose[:2])
    points[:, 0] = links.translation[:, hand.capsules.link[0]]  # on the axis of a finger: inside
    distance = distance_to_hand(hand, links, points)
    assert (distance[:, 0] < -0.005).all()
    expected = 2 - 2 / (1 + (-60 * distance.clamp_min(0)).exp())
    torch.testing.assert_close(net.target(grasps.pose[:2], points), expected, atol=1e-4, rtol=0)


def test_hand_points_move_with_the_hand_and_stay_in_a_checkpoint(net, hand, grasps):
    points = net.hand_points(grasps.pose)
    assert points.shape == (4, 64, 3)
    distance = hand.signed_distance(hand.forward_kinematics(grasps.pose), points)
    assert distance.max() < 1e-4  # on the surface, or inside another link where this posture bends it in
    other = ContactMap(hand, n_hand_points=64)
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(grasps.object_points, points), net(grasps.object_points, points))
    assert "surface.position" in net.state_dict()


@pytest.mark.parametrize("head", ["bins", "regression"])
def test_gradient_reaches_every_parameter(hand, grasps, head):
    net = ContactMap(hand, n_hand_points=64, head=head)
    logits = net(grasps.object_points, net.hand_points(grasps.pose))
    net.loss(logits, net.target(grasps.pose, grasps.object_points)).backward()
    assert {name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0} == set()


def test_a_frozen_predictor_stays_in_eval_mode_inside_a_model_in_training(net):
    model = nn.ModuleList([net]).train()
    assert net.output.training
    net.freeze()
    model.train()
    assert model.training
    assert not any(module.training for module in net.modules())
    assert not any(p.requires_grad for p in net.parameters())


@pytest.mark.slow
def test_learns_where_the_hand_was_meant_to_be(hand, generator):
    net, grasps = ContactMap(hand, n_hand_points=128), random_grasps(hand, 8, generator, points=128)
    target, optimizer = net.target(grasps.pose, grasps.object_points), torch.optim.Adam(net.parameters(), 3e-3)
    seen = net.hand_points(moved(grasps, generator))
    for _ in range(120):
        optimizer.zero_grad()
        net.loss(net(grasps.object_points, seen), target).backward()
        optimizer.step()
    error = (net.expected(net(grasps.object_points, seen)) - target).abs().mean()
    own = 2 - 2 * torch.sigmoid(60 * torch.cdist(grasps.object_points, seen).amin(-1))
    assert error < 0.5 * (own - target).abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "classes"}, "head: expected 'bins' or 'regression', found 'classes'"),
        ({"bins": 1}, "bins: expected 2 or more classes of contact, found 1"),
    ],
)
def test_wrong_options_are_named(hand, options, message):
    with pytest.raises(ValueError, match=message):
        ContactMap(hand, **options)


def test_probability_of_contact_spreads_a_class_evenly(hand):
    """Two classes of 0.25 and 0.75: above 0.6 lies 0.8 of the upper one."""
    net = ContactMap(hand, bins=2, n_hand_points=16)
    logits = torch.tensor([0.25, 0.75]).log().expand(1, 3, 2)
    torch.testing.assert_close(net.probability(logits, 0.6), torch.full((1, 3), 0.75 * 0.8))
    torch.testing.assert_close(net.probability(logits, 0.0), torch.ones(1, 3))
