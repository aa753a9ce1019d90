"""SAGA's WholeGraspPose and its blocks: the published numbers, strict loading, loops."""

import numpy as np
import pytest
import torch

from dexzoo.geometry.sampling import farthest_point_sampling
from dexzoo.models.blocks.set_abstraction import FeaturePropagation, SetAbstraction, coarser
from dexzoo.models.published import CheckpointError, load_official
from dexzoo.models.published.saga_grasp import WholeGraspPose, steps_down

SMALL = {"latent": 4, "width": 32, "centres": (16, 8), "neighbours": (6, 5), "dropout": 0.0}
DEAD = {f"contact_net.dec_{kind}{k}.{part}" for kind in ("fc", "bn") for k in (1, 2, 3) for part in ("weight", "bias")}


def count(network):
    return sum(p.numel() for p in network.parameters())


def stir(network, generator):
    """Gives batch norms statistics and scales that a loop cannot do without."""
    for name, value in network.state_dict().items():
        if "bn" in name and value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return network.eval()


def test_the_published_network_has_its_numbers_and_shapes():
    network = WholeGraspPose()
    tensors = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert (count(network), len(tensors)) == (7_635_065, 272)
    shapes = {
        "marker_net.enc_bn1": (430,),
        "marker_net.enc_rb1.fc1": (256, 1085),
        "marker_net.enc_rb2.fc1": (256, 1597),
        "marker_net.dec_rb1.fc1": (256, 528),
        "marker_net.dec_rb2_xyz.fc1": (256, 1041),
        "marker_net.dec_rb2_p.fc1": (256, 1040),
        "marker_net.dec_output_xyz": (429, 512),
        "marker_net.dec_output_p": (143, 512),
        "contact_net.enc_pointnet.enc_sa1.mlp_convs.0": (64, 13, 1, 1),
        "contact_net.enc_pointnet.enc_sa3.mlp_convs.1": (512, 256, 1, 1),
        "contact_net.dec_fc4": (512, 528),
        "contact_net.dec_conv1": (128, 128, 1),
        "contact_net.dec_conv_bn1": (128,),
        "contact_net.dec_conv2": (1, 128, 1),
        "pointnet.enc_sa1.mlp_convs.0": (64, 12, 1, 1),
        "pointnet.enc_sa2.mlp_convs.0": (128, 131, 1, 1),
        "pointnet.enc_sa2.mlp_bns.1": (256,),
        "enc_fusion.fc1": (256, 1024),
        "enc_fusion.fc2": (512, 256),
        "enc_fusion.fc3": (512, 1024),
        "enc_mu": (16, 512),
        "enc_var": (16, 512),
    }
    assert {key: tensors[f"{key}.weight"] for key in shapes} == shapes
    first = {tensors[f"contact_net.dec_fp{k}.mlp_convs.0.weight"] for k in (1, 2, 3)}
    assert first == {(512, 768, 1), (256, 384, 1), (128, 140, 1)}
    assert sum(p.numel() for name, p in network.named_parameters() if name in DEAD) == 168_576


def test_the_network_of_a_hand_lacks_the_height_in_four_places_and_the_rotation_in_three():
    body, hand = WholeGraspPose(), WholeGraspPose(n_features=3, height=False)
    assert count(body) - count(hand) == (2 + 3 * (256 + 512)) + 6 * (64 + 64 + 128)


def test_files_load_strictly_with_and_without_their_wrapper(tmp_path):
    torch.manual_seed(0)
    theirs, mine = (WholeGraspPose(7, 3, True, **SMALL) for _ in range(2))
    torch.save(theirs.state_dict(), tmp_path / "bare.pt")
    torch.save({"epoch": 95, "state_dict": theirs.state_dict(), "optimizer": {}}, tmp_path / "checkpoint.pt")
    for name in ("bare.pt", "checkpoint.pt"):
        mine.load_state_dict({k: torch.zeros_like(v) for k, v in mine.state_dict().items()})
        load_official(tmp_path / name, mine)
        assert all(torch.equal(value, mine.state_dict()[key]) for key, value in theirs.state_dict().items())
    torch.save({k: v for k, v in theirs.state_dict().items() if k != "enc_mu.bias"}, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match=r"1 missing: enc_mu\.bias"):
        load_official(tmp_path / "short.pt", mine)


def test_a_level_has_the_nearest_points_within_the_radius_and_weights_by_inverse_squares(generator):
    points = torch.randn(2, 30, 3, generator=generator)
    level = coarser(points, 7, 0.8, 6, start=4)
    for b in range(2):
        centres = points[b, farthest_point_sampling(points, 7, start=4)[b]]
        assert torch.equal(level.points[b], centres)
        for s, centre in enumerate(centres):
            gaps = (points[b] - centre).norm(dim=-1)
            found = [i for i in gaps.argsort().tolist() if gaps[i] <= 0.8][:6]
            assert level.near[b, s].tolist() == found + [found[0]] * (6 - len(found))
        for i, point in enumerate(points[b]):
            gaps = sorted(((point - c).square().sum().item(), s) for s, c in enumerate(centres))[:3]
            assert level.back[b, i].tolist() == [s for _, s in gaps]
            weights = np.array([1 / (gap + 1e-8) for gap, _ in gaps])
            np.testing.assert_allclose(level.share[b, i], weights / weights.sum(), rtol=1e-3)
    assert coarser(points[:, :2], 7, 0.8, 6).near.shape == (2, 2, 2)


def layer(x, conv, norm):
    x = conv.weight.flatten(1) @ x + conv.bias
    x = (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
    return x.clamp_min(0)


def test_set_abstraction_equals_a_loop_over_neighbours(generator):
    block = stir(SetAbstraction(4, (6, 8)), generator)
    points, features = (torch.randn(2, 20, n, generator=generator) for n in (3, 4))
    level = coarser(points, 5, 1.0, 4)
    found, whole = block(points, features, level), block(points, features)
    assert (found.shape, whole.shape) == ((2, 5, 8), (2, 1, 8))

    def run(place, feature):
        x = torch.cat([place, feature])
        for conv, norm in zip(block.mlp_convs, block.mlp_bns, strict=True):
            x = layer(x, conv, norm)
        return x

    for b in range(2):
        for s, centre in enumerate(level.points[b]):
            rows = [run(points[b, i] - centre, features[b, i]) for i in level.near[b, s]]
            torch.testing.assert_close(found[b, s], torch.stack(rows).amax(0), atol=1e-5, rtol=1e-4)
        rows = [run(p, f) for p, f in zip(points[b], features[b], strict=True)]
        torch.testing.assert_close(whole[b, 0], torch.stack(rows).amax(0), atol=1e-5, rtol=1e-4)


def test_feature_propagation_equals_a_loop_over_points(generator):
    block = stir(FeaturePropagation(7, (6, 8)), generator)
    points, skip = (torch.randn(2, 20, n, generator=generator) for n in (3, 2))
    level = coarser(points, 5, 1.0, 4)
    coarse = torch.randn(2, 5, 5, generator=generator)
    found, whole = block(skip, coarse, level), block(skip, coarse[:, :1])
    for b in range(2):
        for i in range(20):
            mixed = torch.stack(
                [w * coarse[b, s] for w, s in zip(level.share[b, i], level.back[b, i], strict=True)]
            ).sum(0)
            for out, spread in ((found, mixed), (whole, coarse[b, 0])):
                x = torch.cat([skip[b, i], spread])
                for conv, norm in zip(block.mlp_convs, block.mlp_bns, strict=True):
                    x = layer(x, conv, norm)
                torch.testing.assert_close(out[b, i], x, atol=1e-5, rtol=1e-4)


def test_the_marker_net_computes_its_definition(generator):
    net = stir(WholeGraspPose(5, 3, True, **SMALL), generator).marker_net.double()
    weights = net.state_dict()
    draws = (torch.randn(4, n, generator=generator).double() for n in (16, 5, 32, 4, 1))
    places, contact, condition, z, height = draws

    def linear(x, key):
        return x @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]

    def norm(x, key):
        x = (x - weights[f"{key}.running_mean"]) / (weights[f"{key}.running_var"] + 1e-5).sqrt()
        return x * weights[f"{key}.weight"] + weights[f"{key}.bias"]

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    def block(x, key):
        branch = norm(linear(leaky(norm(linear(x, f"{key}.fc1"), f"{key}.bn1")), f"{key}.fc2"), f"{key}.bn2")
        return leaky(leaky(linear(x, f"{key}.fc3")) + branch)

    entry = torch.cat([norm(places, "enc_bn1"), contact, condition], dim=1)
    expected = block(torch.cat([entry, block(entry, "enc_rb1")], dim=1), "enc_rb2")
    torch.testing.assert_close(net.encode(places, contact, condition), expected)
    given = torch.cat([z, condition], dim=1)
    both = torch.cat([given, block(given, "dec_rb1")], dim=1)
    points, touch = net.decode(z, condition, height)
    expected = linear(block(torch.cat([both, height], dim=1), "dec_rb2_xyz"), "dec_output_xyz")
    torch.testing.assert_close(points.flatten(1), expected)
    torch.testing.assert_close(touch, linear(block(both, "dec_rb2_p"), "dec_output_p"))


def test_sampling_of_the_cloud_is_random_in_training_only(generator):
    net = WholeGraspPose(5, 3, False, **SMALL)
    cloud = torch.randn(3, 40, 3, generator=generator)
    starts = {tuple(net.train().encode_object(cloud, cloud).levels[0].points[0, 0].tolist()) for _ in range(8)}
    assert len(starts) > 1
    assert torch.equal(net.eval().encode_object(cloud, cloud).levels[0].points[:, 0], cloud[:, 0])


def test_a_height_belongs_to_a_network_that_takes_it(generator):
    cloud = torch.randn(2, 40, 3, generator=generator)
    tall, flat = (WholeGraspPose(5, 3, height, **SMALL).eval() for height in (True, False))
    with pytest.raises(ValueError, match="height: expected one for a network with height=True, found none"):
        tall.decode(torch.zeros(2, 4), tall.encode_object(cloud, cloud))
    with pytest.raises(ValueError, match="height: expected none for a network with height=False, found one"):
        flat.decode(torch.zeros(2, 4), flat.encode_object(cloud, cloud), torch.ones(2, 1))


def test_the_rate_falls_after_shares_of_the_training():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, rates = steps_down(optimizer, 101, at=(20 / 101, 40 / 101, 60 / 101), factor=0.5), []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [1.0] * 20 + [0.5] * 20 + [0.25] * 20 + [0.125] * 41
    with pytest.raises(ValueError, match=r"at: expected shares of the training between 0 and 1, found \[20, 40\]"):
        steps_down(optimizer, 101, at=(20, 40), factor=0.5)
