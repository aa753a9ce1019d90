"""The generator of grasps: its terms against loops and torch.distributions, its samples, its statistics."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as exact_kl

from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.hands.pose import HandPose
from dexzoo.models.blocks.latent import draw_posterior, draw_prior, kl_divergence
from dexzoo.models.grasp import OfficialContactMap
from dexzoo.models.grasp.contact.model import ContactMap
from dexzoo.models.grasp.cvae import GraspCVAE
from tests.oracles.grasps import distance_to_hand, random_grasps

CHEAP = {"translation", "rotation", "joints", "points", "kl", "limits"}


@pytest.fixture
def grasps(hand, generator):
    return random_grasps(hand, 6, generator)


@pytest.fixture
def net(hand):
    return GraspCVAE(hand, latent=8, contact=lambda hand: ContactMap(hand, n_hand_points=64))


def constant(net, *bias):
    """Makes every grasp the same but for the centroid: the decoder gives `bias` whatever it sees."""
    torch.nn.init.zeros_(net.decoder[-1].weight)
    net.decoder[-1].bias.data = torch.tensor(bias) if bias else torch.zeros(9 + net.hand.num_joints)


def test_kl_is_that_of_torch_distributions(generator):
    mean, log_variance = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    expected = exact_kl(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(3), torch.ones(3))).sum(1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_free_bits_lift_weak_latents_and_give_them_no_gradient():
    mean = torch.tensor([[0.1, 2.0], [-0.1, 1.0]], requires_grad=True)
    kl = kl_divergence(mean, torch.zeros(2, 2), free_bits=0.5)
    assert kl.item() == pytest.approx(0.5 + (4 / 2 + 1 / 2) / 2)
    kl.backward()
    torch.testing.assert_close(mean.grad, torch.tensor([[0.0, 1.0], [0.0, 0.5]]))


def test_free_bits_are_of_the_batch_not_of_each_sample():
    """One sample carries 2 nats and the others none: 0.5 on average, so 0.5 is free and 0.4 is passed."""
    mean = torch.tensor([[2.0], [0.0], [0.0], [0.0]])
    for free, expected in ((0.4, 0.5), (0.5, 0.5), (0.6, 0.6)):
        assert kl_divergence(mean, torch.zeros(4, 1), free_bits=free).item() == pytest.approx(expected)


def test_posterior_samples_have_its_mean_and_deviation():
    draws = draw_posterior(torch.full((40000, 1), 2.0), torch.full((40000, 1), math.log(0.25)))
    assert float(draws.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(draws.std()) == pytest.approx(0.5, abs=0.02)


def test_prior_does_not_depend_on_how_objects_are_dealt_into_batches():
    def draw(*sizes):
        generator = torch.Generator().manual_seed(4)
        return torch.cat([draw_prior(size, 3, 5, generator, 2.0) for size in sizes])

    torch.testing.assert_close(draw(4), draw(1, 3), atol=0, rtol=0)
    assert draw(4).std() == pytest.approx(2.0, abs=0.5)


def test_statistics_are_relative_to_the_centroid_of_each_cloud(hand, net, generator):
    grasps = random_grasps(hand, 30, generator)
    objs = [GraspObject(f"thing{k}") for k in range(5)]
    store = GraspStore.of(grasps.pose, np.repeat(np.arange(5), 6), objs, grasps.object_points[:5])
    store = store.take(np.arange(3, 30, 2))
    net.fit_statistics(store)
    batch = store.batch(range(len(store)))
    pairs = zip(batch.pose.translation, batch.object_points, strict=True)
    relative = np.stack([(t - c.mean(0)).numpy() for t, c in pairs])
    np.testing.assert_allclose(net.translation.mean, relative.mean(0), atol=1e-6)
    np.testing.assert_allclose(net.translation.sd, relative.std(0, ddof=1), atol=1e-6)
    np.testing.assert_allclose(net.joints.mean, batch.pose.joints.numpy().mean(0), atol=1e-6)
    np.testing.assert_allclose(net.joints.sd, batch.pose.joints.numpy().std(0, ddof=1).clip(0.05), atol=1e-6)


def test_output_is_standardised_and_relative_to_the_centroid(hand, net, grasps):
    net.translation.mean[:], net.translation.sd[:] = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.01, 0.02, 0.03])
    net.joints.mean[:], net.joints.sd[:] = hand.rest, 0.1
    constant(net, 1.0, 2.0, 3.0, -1.0, 1.0, 0.0, -1.0, -1.0, 0.0, *([0.5] * 22))  # columns e_y and -e_x
    pose = net.sample(grasps.object_points, 2)
    centre = grasps.object_points.mean(1)
    expected = centre[:, None] + torch.tensor([0.1 + 0.01, 0.2 + 0.04, 0.3 + 0.09])
    torch.testing.assert_close(pose.translation, expected.expand(-1, 2, -1))
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(pose.rotation, turn.expand(6, 2, 3, 3))
    torch.testing.assert_close(pose.joints, hand.clamp(hand.rest + 0.05).expand(6, 2, -1))


def test_terms_equal_a_loop(hand, net, grasps):
    net.joints.mean[:] = hand.upper + 0.03
    net.n_object_points = 25
    constant(net)
    terms = net(grasps)
    centre = grasps.object_points.mean(1)
    guess = HandPose(centre, torch.eye(3).expand(6, 3, 3), (hand.upper + 0.03).expand(6, -1), hand.name)
    links, truth = hand.forward_kinematics(guess), grasps.pose
    points, surface = grasps.object_points[:, :25], net.surface()
    gap = hand.place(links, surface) - hand.place(hand.forward_kinematics(truth), surface)
    distance = distance_to_hand(hand, links, points)
    assert (distance < 0).any()
    seen = net.contact.hand_points(truth)
    expected_contact = net.contact.expected(net.contact(points, seen))
    contact = 2 - 2 / (1 + (-60 * distance.clamp_min(0)).exp())
    expected = {
        "translation": (centre - truth.translation).norm(dim=-1).mean(),
        "rotation": torch.stack([((torch.eye(3) - r) ** 2).sum().sqrt() / 2**0.5 for r in truth.rotation]).mean(),
        "joints": (hand.upper + 0.03 - truth.joints).abs().mean(),
        "points": gap.norm(dim=-1).mean(),
        "limits": torch.tensor(0.03),
        "penetration": (-distance).clamp_min(0).mean(),
        "contact": ((contact - expected_contact) ** 2).mean(),
    }
    assert terms.keys() == {*expected, "kl"}
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), abs=2e-5), name


def test_kl_term_is_that_of_the_posterior_of_surface_points_and_cloud(net, grasps):
    surface = net.hand.place(net.hand.forward_kinematics(grasps.pose), net.surface())
    centre = grasps.object_points.mean(1, keepdim=True)
    _, obj = net.object_encoder((grasps.object_points - centre)[:, :256] / 0.1)
    _, hand = net.hand_encoder((surface - centre) / 0.1)
    mean, log_variance = net.posterior(torch.cat([hand, obj], dim=-1)).split(8, dim=-1)
    expected = exact_kl(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(8), torch.ones(8)))
    torch.testing.assert_close(net(grasps)["kl"], expected.mean(0).clamp_min(0.05).sum())


def test_costly_terms_are_computed_only_if_wanted(hand, net, grasps, monkeypatch):
    def fail(*_):
        raise AssertionError("computed")

    assert net(grasps).keys() == CHEAP | {"penetration", "contact"}
    net.contact.forward = fail
    assert net(grasps, frozenset({"points", "penetration"})).keys() == CHEAP | {"penetration"}
    assert "contact" not in GraspCVAE(hand)(grasps)
    monkeypatch.setattr(net.hand, "signed_distance", fail)
    assert net(grasps, frozenset({"points"})).keys() == CHEAP


@pytest.mark.parametrize("term", ["contact", "penetration"])
def test_contact_and_penetration_pull_on_the_decoder(hand, net, grasps, term):
    constant(net)
    net.joints.mean[:] = hand.rest
    net(grasps)[term].backward()
    assert net.decoder[-1].bias.grad[:3].norm() > 1e-4


def test_predictor_with_batch_normalisation_does_not_change_in_training(hand, grasps):
    net = GraspCVAE(hand, contact=lambda hand: OfficialContactMap(hand, n_hand_points=64)).train()
    before = {name: value.clone() for name, value in net.contact.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 1e-3)
    sum(net(grasps).values()).backward()
    optimizer.step()
    for name, value in net.contact.state_dict().items():
        assert torch.equal(value, before[name]), name
