"""Published networks: names, shapes, and what they compute."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as exact_kl

from dexzoo.hands.pose import HandPose
from dexzoo.models.grasp import OfficialContactMap, OfficialGraspCVAE
from dexzoo.models.published import AffordanceNetwork, ContactMapNet, ContactMapVAE, halving
from dexzoo.models.published.pointnet import PublishedPointNet
from tests.oracles.grasps import distance_to_hand, random_grasps
from tests.oracles.published_layouts import (
    OFFICIAL_WEIGHTS,
    contact_keys,
    cvae_keys,
    gendexgrasp_keys,
    pointnet,
    transform,
    weights,
)


@pytest.mark.parametrize(
    ("network", "keys", "parameters"),
    [
        (ContactMapNet, contact_keys, 3_111_306),
        (AffordanceNetwork, cvae_keys, 4_490_414),
        (ContactMapVAE, gendexgrasp_keys, None),
    ],
)
def test_names_shapes_and_size_are_those_of_the_files(network, keys, parameters):
    net = network()
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == keys()
    assert parameters in (None, sum(p.numel() for p in net.parameters()))


def test_dead_layers_of_the_contact_network_are_two_of_its_three_million(generator):
    net = ContactMapNet().eval()
    dead = [p for name, p in net.named_parameters() if name.startswith(("convfuse", "bnfuse"))]
    assert sum(p.numel() for p in dead) == 2_100_224
    clouds = torch.randn(2, 2, 30, 3, generator=generator)
    net(*clouds).sum().backward()
    assert {name for name, p in net.named_parameters() if p.grad is None} == {
        "convfuse.weight",
        "convfuse.bias",
        "bnfuse.weight",
        "bnfuse.bias",
    }


def test_the_file_of_gendexgrasp_has_81_tensors_with_691280_numbers():
    state = ContactMapVAE().state_dict()
    assert (len(state), sum(value.numel() for value in state.values())) == (81, 691_280)


def test_pointnet_equals_a_loop_over_points(generator):
    net = PublishedPointNet(transform=True)
    net.load_state_dict(weights(pointnet("") | transform("stn."), seed=3))
    net.eval()
    points = torch.randn(2, 6, 3, generator=generator)

    def layer(x, linear, norm, active=True):
        x = linear.weight.flatten(1) @ x + linear.bias
        x = (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
        return x.clamp_min(0) if active else x

    for b in range(2):
        s = net.stn
        rows = [layer(layer(layer(p, s.conv1, s.bn1), s.conv2, s.bn2), s.conv3, s.bn3) for p in points[b]]
        x = torch.stack(rows).max(0).values
        x = layer(layer(x, s.fc1, s.bn4), s.fc2, s.bn5)
        matrix = (s.fc3.weight @ x + s.fc3.bias).reshape(3, 3) + torch.eye(3)
        turned = [p @ matrix for p in points[b]]
        each = [layer(p, net.conv1, net.bn1) for p in turned]
        last = [layer(layer(p, net.conv2, net.bn2), net.conv3, net.bn3, active=False) for p in each]
        whole, found = net(points)
        torch.testing.assert_close(found[b], torch.stack(each, dim=1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(whole[b], torch.stack(last).max(0).values, atol=1e-5, rtol=1e-4)


def test_contact_network_sums_the_two_global_features(generator):
    net = ContactMapNet()
    net.load_state_dict(weights(contact_keys(), seed=1))
    net.eval()
    obj, hand = torch.randn(2, 2, 20, 3, generator=generator)
    (of_thing, each), (of_hand, _) = net.feat_o(obj), net.feat_h(hand)
    x = torch.cat([each, (of_thing + of_hand)[:, :, None].expand(-1, -1, 20)], dim=1)
    head = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), net.conv2, net.bn2, nn.ReLU(), net.conv3, net.bn3, nn.ReLU())
    torch.testing.assert_close(net(obj, hand), net.conv4(head(x)).transpose(1, 2))


def test_official_predictor_gives_log_probabilities_or_a_sigmoid(hand, generator):
    grasps = random_grasps(hand, 2, generator)
    net = OfficialContactMap(hand, n_hand_points=40).eval()
    seen = net.hand_points(grasps.pose)
    log_probabilities = net(grasps.object_points, seen)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(2, 300))
    centres = torch.arange(10) / 10 + 0.05
    torch.testing.assert_close(net.expected(log_probabilities), (log_probabilities.exp() * centres).sum(-1))
    target = net.target(grasps.pose, grasps.object_points)
    assert net.loss(log_probabilities, target) > 0
    regression = OfficialContactMap(hand, n_hand_points=40, head="regression").eval()
    logits = regression(grasps.object_points, seen)
    torch.testing.assert_close(regression.expected(logits), torch.sigmoid(logits[..., 0]))


def test_contact_autoencoder_of_gendexgrasp_makes_a_map_of_each_cloud(generator):
    net = ContactMapVAE().eval()
    points, contact = torch.randn(3, 50, 3, generator=generator), torch.rand(3, 50, generator=generator)
    mean, log_variance = net.encode(points, contact)
    assert mean.shape == log_variance.shape == (3, 128)
    assert (net.encode(points, 1 - contact)[0] - mean).abs().max() > 1e-4
    decoded = net.decode(mean, points)
    assert decoded.shape == (3, 50)
    assert (decoded > 0).all()
    assert (decoded < 1).all()
    draws = [net.sample(points, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("first", "end"), [(5e-4, 24_000), (1e-3, 28_000)])
def test_learning_rate_halves_as_the_published_loop_over_epochs_of_100_steps(first, end):
    (weight,) = nn.Linear(1, 1, bias=False).parameters()
    optimiser = torch.optim.Adam([weight], lr=first)
    schedule = halving(optimiser, total_steps=282, lowest=1e-5)  # counts epochs, not steps: quicker
    rate, found, expected = first, [], []
    for epoch in range(1, 400):
        optimiser.step()
        schedule.step()
        if epoch % 40 == 0 and rate > 1e-5:
            rate *= 0.5
        found.append(optimiser.param_groups[0]["lr"])
        expected.append(rate)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[-1] == pytest.approx(7.8125e-6)
    assert next(k for k, value in enumerate(found, start=1) if value <= 1e-5) * 100 == end
    with pytest.raises(ValueError, match=r"every, lowest: expected a share .* and a positive rate, found 40 and 1e-05"):
        halving(optimiser, total_steps=282, every=40)


def test_initialisation_is_xavier_with_gain_root_two(hand):
    first = OfficialGraspCVAE(hand).net.cvae.decoder.MLP.L0
    assert first.weight.std().item() == pytest.approx(math.sqrt(2) * math.sqrt(2 / (1088 + 1024)), rel=0.01)
    assert not first.bias.any()


def test_official_terms_equal_a_loop(hand, generator):
    net = OfficialGraspCVAE(
        hand, n_object_points=25, n_hand_points=50, contact=lambda hand: OfficialContactMap(hand, n_hand_points=50)
    ).eval()
    grasps = random_grasps(hand, 3, generator)
    vector = torch.cat([torch.tensor([0.0, 0.0, 0.0, 0.3, -0.2, 0.1]), hand.rest])
    last = net.net.cvae.decoder.MLP.L2
    nn.init.zeros_(last.weight)
    last.bias.data = vector
    terms = net(grasps)
    assert terms.keys() == OFFICIAL_WEIGHTS.keys()
    links = hand.forward_kinematics(HandPose.from_vector(vector.expand(3, -1), hand.name))
    true_surface = hand.place(hand.forward_kinematics(grasps.pose), net.surface())
    points = grasps.object_points[:, :25]
    error = (vector - grasps.pose.to_vector()) ** 2
    table = torch.cdist(hand.place(links, net.surface()), true_surface) ** 2
    mean, log_variance = net.net.encode(true_surface, net.net.condition(points))
    posterior = Normal(mean, (log_variance / 2).exp())
    gap = distance_to_hand(hand, links, points).abs()
    predicted = net.contact.expected(net.contact(points, true_surface))
    expected = {
        "translation": error[:, :3].sum() / 9,
        "rotation": error[:, 3:6].sum() / 9,
        "joints": error[:, 6:].sum() / (3 * 22),
        "points": (table.amin(2).sum() + table.amin(1).sum()) / 3 / 3,
        "kl": exact_kl(posterior, Normal(torch.zeros(64), torch.ones(64))).sum(),
        "contact": ((2 - 2 * torch.sigmoid(60 * gap) - predicted) ** 2).mean(),
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=2e-3), name


def test_official_penetration_counts_squared_depth_once_per_batch(hand, generator):
    net = OfficialGraspCVAE(hand, n_hand_points=8).eval()
    grasps = random_grasps(hand, 2, generator)
    last = net.net.cvae.decoder.MLP.L2
    nn.init.zeros_(last.weight)
    last.bias.data = torch.cat([torch.zeros(6), hand.rest])
    assert "contact" not in net(grasps)
    half, box = hand.boxes.half[0], hand.boxes.centre[0]  # of the palm, whose field is that of its surface
    inside = box + torch.tensor([0.0, float(half[1]) - 0.002, 0.0])
    far = torch.tensor([1.0, 1.0, 1.0])
    cloud = torch.stack([torch.stack([inside, inside, far]), torch.stack([far, far, far])])
    batch = type(grasps)(grasps.pose, cloud, grasps.scale, grasps.names, grasps.objects, grasps.meshes)
    assert net(batch)["penetration"].item() == pytest.approx(2 * 0.002**2 / 2, rel=1e-3)
    assert "penetration" not in net(batch, frozenset({"points"}))


def test_official_samples_are_seeded_and_within_the_limits(hand, generator):
    net = OfficialGraspCVAE(hand, n_hand_points=8).eval()
    points = random_grasps(hand, 2, generator).object_points
    draws = [net.sample(points, 4, torch.Generator().manual_seed(seed)).to_vector() for seed in (0, 0, 1)]
    assert draws[0].shape == (2, 4, 28)
    assert torch.equal(draws[0], draws[1])
    assert (draws[0] - draws[2]).abs().max() > 1e-3
    hand.check_limits(draws[0][..., 6:])
    released = net.sample(points, 2, temperature=0.0).to_vector()
    torch.testing.assert_close(released[:, 0], released[:, 1])
    with pytest.raises(ValueError, match="n: expected 1 or more grasps per object, found 0"):
        net.sample(points, 0)
