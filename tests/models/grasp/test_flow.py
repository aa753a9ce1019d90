"""The flow of grasps: its loss against a loop, its integration against exact velocity fields, its samples."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from dexzoo.models.grasp.contact.model import ContactMap
from dexzoo.models.grasp.flow import GraspFlow
from tests.oracles.grasps import random_grasps

TERMS = ("flow", "flow_translation", "flow_rotation", "flow_joints")


@pytest.fixture
def grasps(hand, generator):
    return random_grasps(hand, 6, generator)


@pytest.fixture
def net(hand):
    return GraspFlow(hand, width=48, blocks=2, steps=4, contact=lambda hand: ContactMap(hand, n_hand_points=64))


class Field(torch.nn.Module):
    """A velocity known in closed form."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, x, time, feature):
        return self.of(x, time, feature)


def standardise(net, hand):
    net.translation.mean[:], net.translation.sd[:] = torch.tensor([0.01, 0.02, 0.03]), torch.tensor([0.1, 0.2, 0.3])
    net.joints.mean[:], net.joints.sd[:] = hand.rest + 0.1, torch.linspace(0.2, 0.4, hand.num_joints)


def state_of(net, grasps, i):
    """State of grasp i, one number after another."""
    pose, centre = grasps.pose[i], grasps.object_points[i].mean(0)
    moved = [(pose.translation[k] - centre[k] - net.translation.mean[k]) / net.translation.sd[k] for k in range(3)]
    turned = [pose.rotation[row, column] for column in range(2) for row in range(3)]
    bent = [(angle - m) / s for angle, m, s in zip(pose.joints, net.joints.mean, net.joints.sd, strict=True)]
    return torch.stack(moved + turned + bent)


def test_terms_equal_a_loop(hand, net, grasps):
    standardise(net, hand)
    net.n_object_points, size = 25, 9 + hand.num_joints
    torch.manual_seed(5)
    noise, time = torch.randn(24, size), torch.rand(24, 1)
    errors = []
    for row in range(24):
        cloud, end = grasps.object_points[row % 6], state_of(net, grasps, row % 6)
        _, feature = net.object_encoder((cloud[None, :25] - cloud.mean(0)) / 0.1)
        t = time[row].item()
        x = torch.stack([(1 - t) * noise[row, k] + t * end[k] for k in range(size)])
        v = net.velocity(x, time[row], feature[0])
        errors.append([(v[k] - (end[k] - noise[row, k])).item() ** 2 for k in range(size)])
    each = np.mean(errors, axis=0)
    torch.manual_seed(5)
    terms = net(grasps)
    assert tuple(terms) == TERMS
    for name, part in zip(TERMS, (each, each[:3], each[3:9], each[9:]), strict=True):
        assert terms[name].item() == pytest.approx(part.mean(), rel=1e-4), name


def test_the_exact_field_of_one_grasp_has_no_loss_and_leads_to_it(hand, net, grasps):
    standardise(net, hand)
    one = grasps.object_points[:1]
    end = state_of(net, grasps, 0)
    net.velocity = Field(lambda x, time, _: (end - x) / (1 - time))
    same = type(grasps)(grasps.pose[:1], one, torch.ones(1), ("a",), ("a",), (None,))
    assert net(same)["flow"] < 1e-6
    for net.steps in (1, 7, 16):
        pose = net.sample(one, 5, torch.Generator().manual_seed(0))
        expected = grasps.pose[:1].to_vector().expand(5, -1)
        torch.testing.assert_close(pose[0].to_vector(), expected, atol=1e-4, rtol=1e-4)


def test_the_exact_field_of_two_grasps_leads_to_both_equally_often(hand, net, grasps):
    ends = torch.stack([state_of(net, grasps, 0), state_of(net, grasps, 0)])
    ends[0, 0], ends[1, 0] = -4.0, 4.0

    def field(x, time, _):
        """The marginal velocity of a flow from N(0, I) to two points (Lipman et al., equation 8)."""
        nearness = -(x.unsqueeze(-2) - time.unsqueeze(-1) * ends).square().sum(-1) / (2 * (1 - time) ** 2)
        return (nearness.softmax(-1) @ ends - x) / (1 - time)

    net.velocity, net.steps = Field(field), 16
    points = grasps.object_points[:1]
    pose = net.sample(points, 400, torch.Generator().manual_seed(0))
    reached = (pose.translation[0] - points.mean(1))[:, 0]
    torch.testing.assert_close(reached.abs(), torch.full((400,), 4.0), atol=1e-2, rtol=0)
    assert 150 < int((reached > 0).sum()) < 250


def test_integration_is_of_second_order(net, grasps):
    turn = torch.tensor([[0.0, -2.0, 0.0], [2.0, 0.0, 0.5], [0.0, 0.3, -1.0]])

    def field(x, time, _):
        velocity = torch.zeros_like(x)
        velocity[..., :3] = x[..., :3] @ turn.T + (3 * time).sin()
        return velocity

    net.velocity = Field(field)
    points = grasps.object_points[:1] - grasps.object_points[:1].mean(1, keepdim=True)
    start = torch.randn(1, net.size, generator=torch.Generator().manual_seed(2))[0, :3]
    exact = solve_ivp(lambda t, x: turn.numpy() @ x + np.sin(3 * t), (0, 1), start.numpy(), rtol=1e-9, atol=1e-9).y
    errors = []
    for net.steps in (8, 16):
        reached = net.sample(points, 1, torch.Generator().manual_seed(2)).translation[0, 0]
        errors.append(np.linalg.norm(reached.numpy() - exact[:, -1]))
    assert errors[1] < 0.02
    assert 3.0 < errors[0] / errors[1] < 5.0


def test_temperature_scales_the_initial_noise(net, grasps):
    pose = net.sample(grasps.object_points, 3, temperature=0.0).to_vector()
    torch.testing.assert_close(pose[:, 0], pose[:, 2])
    assert (pose[0] - pose[1]).abs().max() > 1e-4
    net.velocity = Field(lambda x, *_: torch.zeros_like(x))
    points = grasps.object_points[:1]
    near, far = (net.sample(points, 4, torch.Generator().manual_seed(0), t).translation for t in (0.5, 1.0))
    centre = points.mean(1)
    torch.testing.assert_close(near - centre, 0.5 * (far - centre))


def test_counts_are_positive(hand):
    with pytest.raises(ValueError, match="draws: expected 1 or more, found 0"):
        GraspFlow(hand, draws=0)
    with pytest.raises(ValueError, match="steps: expected 1 or more, found 0"):
        GraspFlow(hand, steps=0)


@pytest.mark.slow
def test_overfits_eight_grasps(hand, generator):
    torch.manual_seed(0)
    net, grasps = GraspFlow(hand, n_object_points=64, width=128, draws=16), random_grasps(hand, 8, generator)
    net.translation.fit(grasps.pose.translation - grasps.object_points.mean(1), floor=0.01)
    net.joints.fit(grasps.pose.joints, floor=0.05)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 400)
        optimizer.zero_grad()
        net(grasps)["flow"].backward()
        optimizer.step()
    drawn = net.sample(grasps.object_points, 4, generator)
    away = drawn.translation - grasps.pose.translation[:, None]
    assert away.norm(dim=-1).mean() < 0.015
    assert (drawn.joints - grasps.pose.joints[:, None]).abs().mean() < 0.1
