"""Published networks: names, shapes, what they compute, and the loader of their files."""

import doctest
import math
import re

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as exact_kl

from dexzoo.hands.pose import HandPose
from dexzoo.models.reference import (
    OFFICIAL_WEIGHTS,
    AffordanceNetwork,
    CheckpointError,
    ContactMapNet,
    ContactMapVAE,
    OfficialContactMap,
    OfficialGraspCVAE,
    halving,
    load_official,
)
from dexzoo.models.reference.pointnet import ReferencePointNet
from tests.oracles.grasps import distance_to_hand, random_grasps


def convolution(name, n_out, n_in):
    return {f"{name}.weight": (n_out, n_in, 1), f"{name}.bias": (n_out,)}


def linear(name, n_out, n_in):
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def norm(name, width):
    fields = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{field}": (width,) for field in fields} | {f"{name}.num_batches_tracked": ()}


def pointnet(prefix):
    keys = {}
    for k, (n_in, n_out) in enumerate([(3, 64), (64, 128), (128, 1024)], start=1):
        keys |= convolution(f"{prefix}conv{k}", n_out, n_in) | norm(f"{prefix}bn{k}", n_out)
    return keys


def transform(prefix):
    keys = pointnet(prefix) | norm(f"{prefix}bn4", 512) | norm(f"{prefix}bn5", 256)
    for k, (n_in, n_out) in enumerate([(1024, 512), (512, 256), (256, 9)], start=1):
        keys |= linear(f"{prefix}fc{k}", n_out, n_in)
    return keys


def contact_keys(prefix=""):
    keys = pointnet(f"{prefix}feat_o.") | pointnet(f"{prefix}feat_h.")
    for k, (n_in, n_out) in enumerate([(1088, 512), (512, 256), (256, 128), (128, 10)], start=1):
        keys |= convolution(f"{prefix}conv{k}", n_out, n_in)
    for k, width in enumerate([512, 256, 128], start=1):
        keys |= norm(f"{prefix}bn{k}", width)
    return keys | convolution(f"{prefix}convfuse", 1024, 2048) | norm(f"{prefix}bnfuse", 1024)


def cvae_keys(prefix=""):
    keys = {}
    for encoder in ("obj_encoder", "hand_encoder"):
        keys |= pointnet(f"{prefix}{encoder}.") | transform(f"{prefix}{encoder}.stn.")
    encoder, decoder = f"{prefix}cvae.encoder.", f"{prefix}cvae.decoder."
    keys |= linear(f"{encoder}MLP.L0", 512, 2048) | linear(f"{encoder}MLP.L1", 256, 512)
    keys |= linear(f"{encoder}linear_means", 64, 256) | linear(f"{encoder}linear_log_var", 64, 256)
    keys |= linear(f"{decoder}MLP.L0", 1024, 1088) | linear(f"{decoder}MLP.L1", 256, 1024)
    return keys | linear(f"{decoder}MLP.L2", 28, 256)


def gendexgrasp_keys():
    keys = linear("encoder_z_means", 128, 512) | linear("encoder_z_logvars", 128, 512)
    for part, widths in {
        "encoder.": (4, 64, 128, 512),
        "decoder.pointwise_": (3, 64, 64),
        "decoder.global_": (64, 128, 512),
        "decoder.decoder_": (704, 512, 64, 64, 1),
    }.items():
        for k in range(len(widths) - 1):
            keys |= convolution(f"{part}conv_layers.{k}", widths[k + 1], widths[k])
            keys |= norm(f"{part}bn_layers.{k}", widths[k + 1])
    return keys


def weights(keys, seed=0):
    """Tensors of these shapes as a training would leave them."""
    generator = torch.Generator().manual_seed(seed)
    make = {"num_batches_tracked": lambda shape: torch.tensor(7), "running_var": lambda shape: torch.ones(shape)}
    draw = {key: make.get(key.rsplit(".")[-1]) for key in keys}
    return {k: draw[k](s) if draw[k] else 0.05 * torch.randn(s, generator=generator) for k, s in keys.items()}


def container(tensors):
    """The file of a published training: optimiser and counters beside the weights."""
    state = {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}
    optimizer = {"state": state, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}
    return {"epoch": 12, "iteration": 1200, "model": tensors, "optimizer": optimizer}


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
    net = ReferencePointNet(transform=True)
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
    thing, hand = torch.randn(2, 2, 20, 3, generator=generator)
    (of_thing, each), (of_hand, _) = net.feat_o(thing), net.feat_h(hand)
    x = torch.cat([each, (of_thing + of_hand)[:, :, None].expand(-1, -1, 20)], dim=1)
    head = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), net.conv2, net.bn2, nn.ReLU(), net.conv3, net.bn3, nn.ReLU())
    torch.testing.assert_close(net(thing, hand), net.conv4(head(x)).transpose(1, 2))


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
    schedule = halving(optimiser, total_steps=7, every=40, lowest=1e-5)  # counts epochs, not steps: quicker
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
    with pytest.raises(ValueError, match="every, lowest: expected at least 1 and a positive rate, found 0 and 1e-05"):
        halving(optimiser, total_steps=1, every=0)


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
    net.active = frozenset({"points"})
    assert "penetration" not in net(batch)


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
    with pytest.raises(ValueError, match="n: expected 1 or more grasps of each object, found 0"):
        net.sample(points, 0)


def test_a_published_file_of_the_cvae_loads(hand, tmp_path):
    tensors = weights(cvae_keys("net.") | contact_keys("contact_net."))
    torch.save(container(tensors), tmp_path / "model_001200.pt")
    with_contact = OfficialGraspCVAE(hand, contact=OfficialContactMap)
    report = with_contact.load(tmp_path / "model_001200.pt")
    assert (report.epoch, report.iteration, report.ignored) == (12, 1200, ())
    assert set(report.loaded) == set(tensors)
    torch.testing.assert_close(
        with_contact.net.state_dict()["cvae.decoder.MLP.L2.weight"], tensors["net.cvae.decoder.MLP.L2.weight"]
    )
    torch.testing.assert_close(with_contact.contact.net.conv4.weight, tensors["contact_net.conv4.weight"])
    alone = OfficialGraspCVAE(hand)
    report = alone.load(tmp_path / "model_001200.pt")
    assert report.ignored == tuple(sorted(contact_keys("contact_net.")))
    assert set(report.loaded) == set(cvae_keys("net."))
    assert str(report).splitlines() == [
        f"{tmp_path / 'model_001200.pt'}, iteration 1200: 130 tensors, {report.numbers} numbers, keys as they are",
        "  loaded: obj_encoder (58), hand_encoder (58), cvae (14)",
        "  left out: contact_net (72)",
    ]
    assert with_contact.load(tmp_path / "model_001200.pt", with_contact=False) == report


@pytest.mark.parametrize(
    ("spell", "wrap", "spelling"),
    [
        (lambda key: key, dict, "as they are"),
        (lambda key: f"net.{key}", container, "without the leading 'net.'"),
        (lambda key: f"net.backbone.{key}", container, "without the leading 'net.' and 'backbone.'"),
        (lambda key: f"backbone.{key}", lambda x: {"network": x}, "without 'backbone.' (an older layout)"),
    ],
)
def test_spellings_of_keys(tmp_path, spell, wrap, spelling):
    tensors = weights(contact_keys())
    torch.save(wrap({spell(key): value for key, value in tensors.items()}), tmp_path / "w.pt")
    net = ContactMapNet()
    report = load_official(tmp_path / "w.pt", net)
    assert (report.spelling, report.numbers) == (spelling, sum(value.numel() for value in tensors.values()))
    for key, value in net.state_dict().items():
        assert torch.equal(value, tensors[key]), key


def test_a_file_of_gendexgrasp_loads_and_decides_the_outputs(tmp_path, generator):
    torch.save(weights(gendexgrasp_keys()), tmp_path / "w.pth")
    points, z = torch.randn(2, 40, 3, generator=generator), torch.randn(2, 128, generator=generator)
    outputs = []
    for _ in range(2):
        net = ContactMapVAE()
        assert len(load_official(tmp_path / "w.pth", net).loaded) == 81
        outputs.append(net.eval().decode(z, points))
    assert torch.equal(*outputs)


def test_the_example_of_gendexgrasp_makes_contact_maps_of_a_file(tmp_path, generator):
    torch.save(weights(gendexgrasp_keys()), tmp_path / "w.pth")
    points = 0.05 * torch.randn(2, 2048, 3, generator=generator) + 0.3
    names = {"ContactMapVAE": ContactMapVAE, "path": tmp_path / "w.pth", "points": points}
    (example,) = doctest.DocTestFinder().find(ContactMapVAE, "example", globs=names)[:1]
    assert len(example.examples) == 2
    torch.manual_seed(5)
    for line in example.examples:
        exec(line.source, names)
    network = ContactMapVAE()
    network.load_state_dict(weights(gendexgrasp_keys()))
    z = torch.randn(2, 128, generator=torch.Generator().manual_seed(5))
    expected = network.eval().decode(z, points - points.mean(1, keepdim=True))
    torch.testing.assert_close(names["contact"], expected)
    assert names["contact"].shape == (2, 2048)


def break_off(tensors):
    del tensors["conv4.bias"], tensors["bn1.weight"]


def widen(tensors):
    tensors["conv4.weight"] = torch.zeros(1, 128, 1)


def add(tensors):
    tensors |= {f"extra.{k}": torch.zeros(1) for k in range(7)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_off, "2 missing: conv4.bias, bn1.weight"),
        (widen, "1 of another shape: conv4.weight expected (10, 128, 1), found (1, 128, 1)"),
        (add, "7 unexpected: extra.0, extra.1, extra.2, extra.3, extra.4 and 2 more"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(tmp_path, change, message):
    tensors = weights(contact_keys())
    change(tensors)
    torch.save(tensors, tmp_path / "w.pt")
    net = ContactMapNet()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_official(tmp_path / "w.pt", net)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


class NotPlain:
    """Stands for code in a file."""


def test_damaged_and_other_files_are_named(tmp_path):
    def message(name):
        with pytest.raises(CheckpointError) as error:
            load_official(tmp_path / name, ContactMapNet())
        return str(error.value)

    torch.save(weights(contact_keys()), tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"model": NotPlain()}, tmp_path / "code.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    torch.save({"epoch": 3, "args": {"lr": 0.1}}, tmp_path / "other.pt")
    assert message("none.pt") == f"{tmp_path / 'none.pt'}: expected a file of weights, found no file"
    assert "cut.pt: expected a file written by torch.save, found a damaged one" in message("cut.pt")
    assert "empty.pt: expected a file written by torch.save, found a damaged one" in message("empty.pt")
    assert "code.pt: expected a checkpoint of tensors and plain values, found something else" in message("code.pt")
    assert message("tensor.pt").endswith("tensor.pt: expected a dict of tensors, found Tensor")
    assert "alone or under one of model, network, state_dict, found args, epoch" in message("other.pt")
