"""GraspIPDF: the published network and layout, the density and its samples."""

import math

import pytest
import torch
from scipy.stats import chi2
from torch import nn

from dexzoo.geometry.rotations import geodesic_distance
from dexzoo.models.grasp.unidexgrasp.ipdf import GraspIPDF, aligned
from dexzoo.models.grasp.unidexgrasp.rotation_grid import random_rotations, rotation_grid
from dexzoo.models.published.checkpoints import load_official
from dexzoo.models.published.unidexgrasp_ipdf import IPDFNetwork, PointNet2, SetAbstraction, ball_edges
from tests.oracles.published_layouts import container, convolution, linear, norm, weights


def ipdf_keys(prefix=""):
    """Names and shapes of the published file, from its description."""
    keys = {}
    levels = {
        "sa1_module.conv.local_nn": (4, 64, 64, 128),
        "sa2_module.conv.local_nn": (131, 128, 128, 256),
        "sa3_module.nn": (259, 256, 512, 1024),
    }
    backbone = f"{prefix}backbone.backbone."
    for name, widths in levels.items():
        for k in range(3):
            keys |= linear(f"{backbone}{name}.{k}.0", widths[k + 1], widths[k])
            keys |= norm(f"{backbone}{name}.{k}.2", widths[k + 1])
    for k, (n_in, n_out) in enumerate([(1024, 512), (512, 256), (256, 128)], start=1):
        keys |= linear(f"{backbone}lin{k}", n_out, n_in)
    keys |= norm(f"{backbone}bn1", 512) | norm(f"{backbone}bn2", 256)
    head = f"{prefix}implicit_model."
    keys |= linear(f"{head}feat_mlp", 256, 128) | convolution(f"{head}query_mlp", 256, 18)
    keys |= convolution(f"{head}mlps.0", 256, 256) | norm(f"{head}mlps.1", 256)
    keys |= convolution(f"{head}mlps.3", 256, 256) | norm(f"{head}mlps.4", 256)
    return keys | convolution(f"{head}mlps.6", 1, 256)


def small_ipdf(**options):
    """A quick one; the network's widths are fixed by the published file."""
    return GraspIPDF(**({"n_points": 32, "grid_level": 1, "n_queries": 64} | options))


@pytest.fixture
def clouds(generator):
    return 0.05 * torch.randn(3, 40, 3, generator=generator)


def exercise(network, *inputs):
    """Gives batch norm scales, shifts and running statistics that are not those of a new layer."""
    generator = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.weight.data = 0.5 + torch.rand(module.weight.shape, generator=generator)
            module.bias.data = 0.3 * torch.randn(module.bias.shape, generator=generator)
    settle(network, *inputs)
    return network.eval()


def settle(network, *inputs):
    """Running statistics anew from ten batches: a training of a few steps still has its beginning in them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for _ in range(10):
            network(*inputs)


@pytest.fixture
def trained(generator):
    torch.manual_seed(4)
    model = small_ipdf()
    exercise(model.net, 0.05 * torch.randn(16, 32, 3, generator=generator), random_rotations(64, generator)[None])
    return model.eval()


def test_names_shapes_and_size_are_those_of_the_file():
    net = IPDFNetwork()
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == ipdf_keys()
    assert sum(p.numel() for p in net.parameters()) == 1_669_121
    assert set(small_ipdf().state_dict()) == set(ipdf_keys("net."))


@pytest.mark.parametrize("part", ["net", ""])
def test_published_file_loads_strictly(part, tmp_path):
    tensors = weights(ipdf_keys("net."))
    torch.save(container(tensors), tmp_path / "model_000100.pt")
    model = small_ipdf()
    report = load_official(tmp_path / "model_000100.pt", model.get_submodule(part))
    assert len(report.loaded) == len(tensors) == 99
    for key, value in model.state_dict().items():
        assert torch.equal(value, tensors[key]), key


def test_ball_edges_are_the_first_points_of_the_ball(clouds):
    centres = clouds[:, [3, 17, 5, 30]]
    edges = ball_edges(centres, clouds, radius=0.06, k=5)
    expected, shortened = [], 0
    for b in range(3):
        for c in range(4):
            near = [p for p in range(40) if (clouds[b, p] - centres[b, c]).norm() <= 0.06]
            shortened += len(near) > 5
            expected += [(b * 40 + p, b * 4 + c) for p in near[:5]]
    assert edges.T.tolist() == [list(edge) for edge in expected]
    assert 0 < shortened < 12


def test_pointnet2_equals_a_loop_over_centres_and_neighbours():
    # So many and so wide that some balls hold more than the 64 points that count, and some fewer.
    generator = torch.Generator().manual_seed(0)
    clouds = 0.06 * torch.randn(2, 150, 3, generator=generator)
    # In float64: batch norm of a channel that is nearly dead makes rounding large.
    net, clouds = exercise(PointNet2(), clouds).double(), clouds.double()

    def batch_norm(x, layer):
        return (x - layer.running_mean) / (layer.running_var + 1e-5).sqrt() * layer.weight + layer.bias

    def pointnet(rows, layers):
        for linear_layer, _, norm_layer in layers:
            rows = batch_norm((rows @ linear_layer.weight.T + linear_layer.bias).clamp_min(0), norm_layer)
        return rows.max(0).values

    def farthest(points, n):
        picked = [0]
        while len(picked) < n:
            picked.append(int(torch.cdist(points, points[picked]).amin(1).argmax()))
        return picked

    counts = []

    def level(points, features, n, radius, layers):
        picked, rows = farthest(points, n), []
        for c in picked:
            near = [p for p in range(len(points)) if (points[p] - points[c]).norm() <= radius]
            counts.append(len(near))
            edges = [torch.cat([features[p], points[p] - points[c]]) for p in near[:64]]
            rows.append(pointnet(torch.stack(edges), layers))
        return points[picked], torch.stack(rows)

    found = net(clouds)
    for b, cloud in enumerate(clouds):
        points, features = level(cloud, torch.ones(150, 1).double(), 75, 0.1, net.sa1_module.conv.local_nn)
        points, features = level(points, features, 19, 0.2, net.sa2_module.conv.local_nn)
        x = pointnet(torch.cat([features, points], dim=1), net.sa3_module.nn)
        x = batch_norm(net.lin1.weight @ x + net.lin1.bias, net.bn1).clamp_min(0)
        x = batch_norm(net.lin2.weight @ x + net.lin2.bias, net.bn2).clamp_min(0)
        torch.testing.assert_close(found[b], net.lin3.weight @ x + net.lin3.bias)
    assert min(counts) < 64 < max(counts)


def test_a_level_gives_points_without_neighbours_only_themselves():
    level = SetAbstraction(0.1, (4, 8, 8)).eval()
    points = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0]]])
    found = level(torch.ones(1, 2, 1), points, points)
    assert level.conv.local_nn is not None
    alone = level.conv.local_nn(torch.tensor([[1.0, 0, 0, 0]]))
    torch.testing.assert_close(found, alone.expand(1, 2, -1))


def test_scores_equal_the_head_written_out_for_one_query(trained, clouds, generator):
    rotations = random_rotations(6, generator).view(3, 2, 3, 3)
    head = trained.net.implicit_model
    found = trained.scores(clouds, rotations)
    feature = trained.net.backbone(clouds[:, :32])
    for b in range(3):
        for r in range(2):
            # Row by row of the transpose, that is column by column of the rotation.
            query = torch.tensor([rotations[b, r, i, j] for j in range(3) for i in range(3)])
            x = head.query_mlp.weight[..., 0] @ torch.cat([query.sin(), query.cos()]) + head.query_mlp.bias
            x = (x + head.feat_mlp(feature[b])).clamp_min(0)
            for k in (0, 3):
                x = head.mlps[k].weight[..., 0] @ x + head.mlps[k].bias
                x = head.mlps[k + 1](x[None, :, None])[0, :, 0].clamp_min(0)
            expected = head.mlps[6].weight[0, :, 0] @ x + head.mlps[6].bias[0]
            torch.testing.assert_close(found[b, r], expected, atol=1e-4, rtol=1e-4)


def test_scores_of_shared_rotations_are_those_of_each_cloud(trained, clouds, generator):
    rotations = random_rotations(7, generator)
    shared = trained.scores(clouds, rotations)
    torch.testing.assert_close(shared, trained.scores(clouds, rotations.expand(3, 7, 3, 3)), atol=1e-5, rtol=1e-4)
    alone = torch.cat([trained.scores(cloud[None], rotations) for cloud in clouds])
    torch.testing.assert_close(shared, alone, atol=1e-5, rtol=1e-4)
    assert shared.std(dim=0).max() > 1e-3  # the cloud matters
    assert shared.std(dim=1).max() > 1e-3  # and so does the rotation


def test_only_the_first_points_are_used(trained, clouds):
    torch.testing.assert_close(trained.scores(clouds, trained.grid), trained.scores(clouds[:, :32], trained.grid))


def test_alignment_keeps_the_truth_and_the_distribution(generator):
    turns, truth = random_rotations(20_000, generator), random_rotations(2, generator)
    found = aligned(turns, truth)
    torch.testing.assert_close(found[:, -1], truth, atol=1e-5, rtol=0)
    # On the network's queries it is the published q_i q_last^T q.
    torch.testing.assert_close(found.mT, turns @ turns[-1].T @ truth.mT[:, None], atol=1e-5, rtol=0)
    assert found.mean(dim=1).abs().max() < 5 / math.sqrt(3 * 20_000)


def test_likelihood_is_the_density_of_the_truth_over_the_grid_turned_onto_it(trained, clouds, generator):
    truth = random_rotations(3, generator)
    found = trained.negative_log_likelihood(clouds, truth)
    expected = []
    for b in range(3):
        turned = truth[b] @ trained.grid[-1] @ trained.grid.mT
        mass = trained.scores(clouds[b : b + 1], turned).double().exp()[0]
        density = mass / mass.sum() / (math.pi**2 / len(turned))
        torch.testing.assert_close((density * math.pi**2 / len(turned)).sum().item(), 1.0)
        expected.append(-density[-1].log())
    torch.testing.assert_close(found.double(), torch.stack(expected).mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_flat_density_is_one_over_the_volume(training, clouds, generator):
    model = small_ipdf().train(training)
    for p in model.net.implicit_model.mlps[6].parameters():
        nn.init.zeros_(p)
    found = model.negative_log_likelihood(clouds, random_rotations(3, generator))
    assert found.item() == pytest.approx(2 * math.log(math.pi), abs=1e-5)


def test_every_parameter_gets_a_gradient_except_what_a_softmax_cannot_see(clouds, generator):
    model = small_ipdf()
    loss = model.negative_log_likelihood(clouds, random_rotations(3, generator))
    found = torch.autograd.grad(loss, list(model.parameters()))
    names = [name for name, _ in model.named_parameters()]
    gradient = {name: g.abs().max().item() for name, g in zip(names, found, strict=True)}
    # Batch norm after them removes a bias, the softmax the last one: their gradients are rounding.
    removed = ("lin1.bias", "lin2.bias", "mlps.0.bias", "mlps.3.bias", "mlps.6.bias")
    assert all(size > 1e-6 for name, size in gradient.items() if not name.endswith(removed)), gradient


def test_samples_have_the_frequencies_of_the_softmax(trained, clouds):
    n = 20_000
    generator = torch.Generator().manual_seed(1)
    for temperature in (1.0, 0.5):
        found = trained.sample(clouds, n, generator, temperature)
        cell = torch.cdist(found.flatten(2), trained.grid.flatten(1).expand(3, -1, -1)).argmin(-1)
        p = (trained.scores(clouds, trained.grid).double() / temperature).softmax(dim=1)
        for b in range(3):
            expected = n * p[b].detach()
            often = expected > 5
            counts = torch.bincount(cell[b], minlength=len(expected)).double()
            pairs = [(counts[often], expected[often]), (counts[~often].sum()[None], expected[~often].sum()[None])]
            statistic = sum(((c - e).square() / e.clamp_min(1e-9)).sum().item() for c, e in pairs if e.sum() > 5)
            assert statistic < chi2.ppf(0.9999, int(often.sum())), (temperature, b)
        assert p.amax() > 2 / p.shape[1]  # not flat, or any sampler would pass


def test_samples_repeat_and_each_cloud_has_its_own(trained, clouds):
    def draw(points, seed):
        return trained.sample(points, 5, torch.Generator().manual_seed(seed))

    assert draw(clouds, 0).shape == (3, 5, 3, 3)
    assert torch.equal(draw(clouds, 0), draw(clouds, 0))
    assert not torch.equal(draw(clouds, 0), draw(clouds, 1))
    assert torch.equal(draw(clouds, 0)[:2], draw(clouds[:2], 0))


def test_temperature_zero_is_the_best_cell(trained, clouds):
    found = trained.sample(clouds, 2, temperature=0.0)
    for b in range(3):
        scores = trained.scores(clouds[b : b + 1], trained.grid)[0].tolist()
        best = scores.index(max(scores))
        assert torch.equal(found[b], trained.grid[[best, best]])


def test_sampling_in_training_leaves_the_network_as_it_is(clouds):
    model = small_ipdf()
    model.net.backbone.eval()  # a part that is frozen stays so
    before = {key: value.clone() for key, value in model.state_dict().items()}
    draw = model.sample(clouds, 4, torch.Generator().manual_seed(0))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training
    assert model.net.implicit_model.mlps[1].training
    assert not model.net.backbone.training
    assert not draw.requires_grad
    assert torch.equal(draw, model.eval().sample(clouds, 4, torch.Generator().manual_seed(0)))


@pytest.mark.slow
def test_fits_eight_grasps_and_samples_both_of_the_cloud_that_has_two():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    sides = 0.04 + 0.1 * torch.rand(7, 1, 3, generator=generator)
    clouds = sides * (torch.rand(7, 24, 3, generator=generator) - 0.5)
    points, truth = torch.cat([clouds, clouds[:1]]), random_rotations(8, generator)
    assert geodesic_distance(truth[0], truth[7]) > 2
    model = GraspIPDF(n_points=24, n_queries=320)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, 2 - step / 30))
    for _ in range(60):
        optimizer.zero_grad()
        model.negative_log_likelihood(points, truth).backward()
        optimizer.step()
        schedule.step()
    settle(model.net, points, aligned(random_rotations(1000, generator), truth))
    draws = model.eval().sample(points[:7], 200, generator)
    near = geodesic_distance(draws.unsqueeze(1), truth.view(1, 8, 1, 3, 3).expand(7, 8, 200, 3, 3)) < 0.7
    hits = near.float().mean(dim=2)  # 2 % of uniform draws are so near
    assert hits.diagonal()[1:].min() > 0.5
    assert hits[0, [0, 7]].min() > 0.15
    assert hits[0, [0, 7]].sum() > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: GraspIPDF(n_queries=1), "n_queries: expected 2 or more, found 1"),
        (lambda m: GraspIPDF(n_points=0), "n_points: expected 1 or more, found 0"),
        (lambda m: m.scores(torch.zeros(9, 3), m.grid), r"points: expected clouds \(B, N, 3\).*found \(9, 3\)"),
        (lambda m: m.scores(torch.zeros(2, 0, 3), m.grid), r"points: .*at least one point, found \(2, 0, 3\)"),
        (
            lambda m: m.scores(torch.zeros(2, 9, 3), torch.zeros(3, 5, 3, 3)),
            r"rotations: expected \(R, 3, 3\), or \(2, R, 3, 3\) for each cloud, found \(3, 5, 3, 3\)",
        ),
        (lambda m: m.scores(torch.zeros(2, 9, 3), torch.zeros(5, 9)), r"rotations: expected .* found \(5, 9\)"),
        (
            lambda m: m.negative_log_likelihood(torch.zeros(2, 9, 3), torch.zeros(3, 3)),
            r"rotation: expected shape \(B, 3, 3\), found \(3, 3\)",
        ),
        (lambda m: m.sample(torch.zeros(2, 9, 3), 0), "n: expected 1 or more rotations per cloud, found 0"),
        (lambda m: m.sample(torch.zeros(2, 9, 3), 1, None, -1.0), "temperature: expected 0 or more, found -1"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(small_ipdf())


def test_the_grid_is_that_of_the_level():
    assert torch.equal(small_ipdf(grid_level=0).grid, rotation_grid(0).float())
    assert len(GraspIPDF().grid) == 4608
