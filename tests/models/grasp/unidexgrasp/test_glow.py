"""The flow of UniDexGrasp: names and shapes of its files, exact inverses and volumes, densities in closed form."""

import math
import re
from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from dexzoo.models.grasp.unidexgrasp.glow import GraspGlow, likeliest
from dexzoo.models.published import CheckpointError, load_official
from dexzoo.models.published.unidexgrasp_glow import (
    ActNorm,
    AdditiveCoupling,
    ConditionalGlow,
    LULinear,
    UniDexGraspGlow,
)
from tests.oracles.published_layouts import container, linear, norm, pointnet, transform, weights


def flow_keys():
    """The 925 entries of the flow."""
    prefix = "flow.flow._transform."
    keys = {f"{prefix}dummy_buffer": (1,)}
    for i in range(63):
        step, kind = divmod(i, 3)
        at = f"{prefix}_transforms.{i}."
        keys |= {f"{at}dummy_buffer": (1,)}
        if kind == 0:
            keys |= {f"{at}log_scale": (25,), f"{at}shift": (25,), f"{at}initialized": ()}
        elif kind == 1:
            keys |= {f"{at}lower_entries": (300,), f"{at}upper_entries": (300,)}
            keys |= {f"{at}bias": (25,), f"{at}unconstrained_upper_diag": (25,)}
        else:
            kept, moved = (13, 12) if step % 2 == 0 else (12, 13)
            net = f"{at}transform_net."
            keys |= {f"{at}identity_features": (kept,), f"{at}transform_features": (moved,)}
            keys |= linear(f"{net}initial_layer", 64, kept + 1024) | linear(f"{net}final_layer", moved, 64)
            for block in range(2):
                for layer in range(2):
                    keys |= linear(f"{net}blocks.{block}.linear_layers.{layer}", 64, 64)
                    keys |= norm(f"{net}blocks.{block}.batch_norm_layers.{layer}", 64)
    return keys


def published(prefix="net."):
    """A file's tensors as a training would leave them."""
    keys = flow_keys() | pointnet("encoder.") | transform("encoder.stn.") | {"flow.initialized": ()}
    tensors = weights(keys)
    for key in keys:
        if key.endswith("initialized"):
            tensors[key] = torch.tensor(True)
        elif key.endswith("_features"):
            step, kind = int(key.split(".")[4]) // 3, key.rsplit(".")[-1]
            tensors[key] = torch.arange((step + (kind == "transform_features")) % 2, 25, 2)
    return {prefix + key: value for key, value in tensors.items()}


def stir(module, amount, seed=0):
    """Moves every parameter, and the statistics of batch norms, as a training would."""
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        p.data += amount * torch.randn(p.shape, generator=generator).to(p)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.3 * torch.randn(buffer.shape, generator=generator).to(buffer)


@pytest.fixture(scope="module")
def flow():
    """All 21 steps on 25 dimensions, with a condition of 7."""
    torch.manual_seed(0)
    flow = ConditionalGlow(25, 7)
    stir(flow, 0.02)
    return flow.eval()


def states(rows, seed=1):
    """States with the size of grasps, and conditions."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 25, generator=generator)
    x[:, :3] = 0.05 * x[:, :3]
    return x, torch.randn(rows, 7, generator=generator)


def test_names_shapes_and_size_are_those_of_the_file():
    net = UniDexGraspGlow()
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert len(flow_keys()) == 925
    assert shapes == flow_keys() | pointnet("encoder.") | transform("encoder.stn.") | {"flow.initialized": ()}
    couplings = 11 * (1037 * 64 + 64 + 65 * 12) + 10 * (1036 * 64 + 64 + 65 * 13) + 21 * 4 * (64 * 65 + 128)
    assert sum(p.numel() for p in net.flow.parameters()) == 21 * (50 + 650) + couplings == 1_786_354
    assert net.state_dict()["flow.flow._transform._transforms.2.identity_features"].tolist() == [*range(0, 25, 2)]
    assert net.state_dict()["flow.flow._transform._transforms.5.identity_features"].tolist() == [*range(1, 25, 2)]


def test_a_published_file_loads(tmp_path):
    tensors = published()
    joint = {f"rotation_net.{k}": torch.zeros(2) for k in range(3)} | {"contact_net.conv4.bias": torch.zeros(10)}
    torch.save(container(tensors | joint), tmp_path / "model_002000.pt")
    glow = GraspGlow(22)
    report = load_official(tmp_path / "model_002000.pt", glow, ignore=["rotation_net.", "contact_net."])
    assert (len(report.loaded), len(report.ignored), report.spelling) == (len(tensors), 4, "as they are")
    for key, value in glow.state_dict().items():
        assert torch.equal(value, tensors[key]), key
    respelled = {key.replace("net.", "net.backbone.", 1): value for key, value in tensors.items()}
    torch.save(container(respelled), tmp_path / "older.pt")
    assert len(load_official(tmp_path / "older.pt", glow.net).loaded) == len(tensors)
    del tensors["net.flow.flow._transform._transforms.61.upper_entries"]
    torch.save(container(tensors), tmp_path / "cut.pt")
    missing = "1 missing: net.flow.flow._transform._transforms.61.upper_entries"
    with pytest.raises(CheckpointError, match=re.escape(missing)):
        load_official(tmp_path / "cut.pt", glow)


def test_actnorm_standardises_its_first_training_batch_and_no_other(generator):
    norm, feature = ActNorm(3), torch.zeros(50, 0)
    x = 5 + torch.tensor([0.1, 2.0, 0.0]) * torch.randn(50, 3, generator=generator)
    assert torch.equal(norm.eval()(x, feature), x)
    assert not norm.initialized
    y = norm.train()(x, feature)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(y.std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)
    assert norm.log_scale[2].item() == pytest.approx(math.log(1000), rel=1e-5)  # of a constant dimension
    again = ActNorm(3)
    again.load_state_dict(norm.state_dict())
    assert torch.equal(again.train()(2 * x, feature), norm(2 * x, feature))
    torch.testing.assert_close(norm.inverse(y, feature), x)


def test_the_linear_map_is_that_of_its_triangles_row_by_row(generator):
    layer, x = LULinear(4), torch.randn(6, 4, generator=generator)
    torch.testing.assert_close(layer(x, x), x)
    stir(layer, 0.5)
    lower, upper = torch.eye(4), torch.zeros(4, 4)
    below, above = iter(layer.lower_entries), iter(layer.upper_entries)
    for row in range(4):
        for column in range(4):
            if column < row:
                lower[row, column] = next(below)
            elif column > row:
                upper[row, column] = next(above)
        upper[row, row] = math.log1p(math.exp(layer.unconstrained_upper_diag[row].item())) + 1e-3
    expected = torch.stack([lower @ (upper @ row) + layer.bias for row in x])
    torch.testing.assert_close(layer(x, x), expected)
    torch.testing.assert_close(layer.inverse(expected, x), x)
    torch.testing.assert_close(layer.log_volume(), torch.linalg.slogdet(lower @ upper).logabsdet)


@pytest.mark.parametrize("first", [0, 1])
def test_a_coupling_shifts_every_other_dimension_by_its_network(generator, first):
    coupling = AdditiveCoupling(5, first, 3, 8, 0.0).eval()
    stir(coupling, 0.3)
    x, feature = torch.randn(6, 5, generator=generator), torch.randn(6, 3, generator=generator)
    y = coupling(x, feature)
    net, keep = coupling.transform_net, [*range(first, 5, 2)]
    for row in range(6):
        hidden = net.initial_layer(torch.cat([x[row, keep], feature[row]]))
        for block in net.blocks:
            inner = hidden
            for bn, layer in zip(block.batch_norm_layers, block.linear_layers, strict=True):
                inner = (inner - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
                inner = layer(inner.clamp_min(0))
            hidden = hidden + inner
        shift = iter(net.final_layer(hidden))
        expected = torch.stack([x[row, k] if k in keep else x[row, k] + next(shift) for k in range(5)])
        torch.testing.assert_close(y[row], expected)
    torch.testing.assert_close(coupling.inverse(y, feature), x)


def test_inverse_undoes_all_63_transforms(flow):
    x, feature = states(32)
    noise = flow.flow.transform(x, feature)
    assert (noise - x).abs().max() > 0.5
    torch.testing.assert_close(flow(noise, feature), x, atol=1e-5, rtol=0)


def one_state(flow, condition, x):
    """Noise (25,) of one state."""
    return flow.flow.transform(x[None], condition)[0]


def test_volume_is_that_of_the_jacobian_and_the_same_everywhere(flow):
    x, feature = states(3)
    log_density = flow.log_density(x, feature)
    for row in range(3):
        condition = feature[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(partial(one_state, flow, condition), x[row])
        noise = flow.flow.transform(x, feature)[row]
        expected = Normal(0.0, 1.0).log_prob(noise).sum() + torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_density[row], expected, atol=1e-3, rtol=1e-5)


def test_density_of_two_dimensions_integrates_to_one():
    torch.manual_seed(0)
    flow = ConditionalGlow(2, 1, steps=4, width=16)
    stir(flow, 0.15)
    flow.eval()
    axis = torch.linspace(-12, 12, 301)
    x = torch.cartesian_prod(axis, axis)
    for condition in (-1.0, 2.0):
        density = flow.log_density(x, torch.full((len(x), 1), condition)).exp()
        assert density.sum().item() * 0.08**2 == pytest.approx(1, abs=1e-3)
        assert (density.max() * 2 * math.pi - 1).abs() > 0.01  # it isn't the noise's own


def test_density_after_the_first_batch_is_the_normal_of_its_moments(generator):
    flow = ConditionalGlow(25, 7)
    for module in flow.modules():
        if isinstance(module, AdditiveCoupling):
            torch.nn.init.zeros_(module.transform_net.final_layer.weight)
    x, feature = states(40)
    x = 3 + 0.2 * x
    expected = Normal(x.mean(0), x.std(0)).log_prob(x).sum(-1)
    torch.testing.assert_close(flow.log_density(x, feature), expected, atol=2e-3, rtol=1e-4)
    assert flow.initialized
    other = 1 + 0.7 * x
    torch.testing.assert_close(
        flow.log_density(other, feature), Normal(x.mean(0), x.std(0)).log_prob(other).sum(-1), atol=2e-2, rtol=1e-4
    )


@pytest.mark.slow
def test_samples_of_a_trained_flow_have_the_moments_of_the_mixture():
    """Two normals, whose place depends on the condition."""
    torch.manual_seed(0)
    flow, optimizer = ConditionalGlow(2, 1, steps=6, width=32, drop=0.0), None
    centres = torch.tensor([[-1.5, 0.5], [1.5, -0.5]])
    part = MultivariateNormal(torch.zeros(2), torch.tensor([[0.2, 0.1], [0.1, 0.3]]))

    def draw(n):
        feature = torch.randint(0, 2, (n, 1)).float()
        return centres[torch.randint(0, 2, (n,))] + 2 * feature * torch.tensor([1.0, -1.0]) + part.sample((n,)), feature

    optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
    for step in range(160):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 160)
        optimizer.zero_grad()
        (-flow.log_density(*draw(256)).mean()).backward()
        optimizer.step()
    flow.eval()
    spread = torch.tensor([[0.2 + 1.5**2, 0.1 - 0.75], [0.1 - 0.75, 0.3 + 0.25]])
    for condition in (0.0, 1.0):
        x = flow(torch.randn(4000, 2), torch.full((4000, 1), condition))
        torch.testing.assert_close(x.mean(0), 2 * condition * torch.tensor([1.0, -1.0]), atol=0.2, rtol=0)
        torch.testing.assert_close(x.T.cov(), spread, atol=0.35, rtol=0)
        inner = (x[:, 0] - 2 * condition).abs() < 0.5  # between the two
        assert inner.float().mean() < 0.12


def test_the_likeliest_of_several_draws_is_the_one_with_least_noise(flow):
    noise = torch.randn(6, 8, 25, generator=torch.Generator().manual_seed(5))
    _, feature = states(6)
    for row in range(6):
        each = flow(noise[row], feature[row].expand(8, -1))
        best = flow.log_density(each, feature[row].expand(8, -1)).argmax()
        assert torch.equal(likeliest(noise)[row], noise[row, best])


def test_decoding_is_in_eval_mode_and_has_a_gradient(generator):
    glow = GraspGlow(4, n_points=20, steps=2, width=8)
    points, noise = torch.randn(3, 30, 3, generator=generator), torch.randn(3, 5, 7, generator=generator)
    before = {key: value.clone() for key, value in glow.state_dict().items()}
    translation, joints = glow.train().decode(points, noise)
    assert glow.training
    assert glow.net.encoder.training
    assert (translation.shape, joints.shape) == ((3, 5, 3), (3, 5, 4))
    assert all(torch.equal(value, before[key]) for key, value in glow.state_dict().items())
    for row in range(3):
        feature = glow.eval().net.condition(points[row : row + 1, :20])
        expected = glow.net.flow(noise[row], feature.expand(5, -1))
        torch.testing.assert_close(torch.cat([translation, joints], -1)[row], expected, atol=1e-5, rtol=1e-4)
    (translation.sum() + joints.sum()).backward()
    gradient = glow.net.encoder.stn.conv1.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_blur_keeps_the_density_of_joints_at_a_limit_bounded(generator):
    points, shut = 0.05 * torch.randn(64, 16, 3, generator=generator), torch.zeros(64, 4)
    scales = {}
    for blur in ((0.0, 0.0), (0.002, 0.05)):
        glow = GraspGlow(4, n_points=16, steps=1, width=8, blur=blur)
        glow.negative_log_likelihood(points, torch.zeros(64, 3), shut)
        scales[blur] = next(iter(glow.net.flow.flow.transform)).log_scale.exp()
        glow.eval()
        values = [glow.negative_log_likelihood(points, torch.zeros(64, 3), shut) for _ in range(2)]
        assert torch.equal(*values)
    torch.testing.assert_close(scales[0.0, 0.0], torch.full((7,), 1000.0))
    torch.testing.assert_close(scales[0.002, 0.05], torch.tensor([500.0] * 3 + [20.0] * 4), atol=0, rtol=0.4)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="size, steps: expected at least 2 dimensions and 1 step, found 1 and 21"):
        ConditionalGlow(1, 4)
    with pytest.raises(ValueError, match="n_points: expected 1 or more, found 0"):
        GraspGlow(22, n_points=0)
    with pytest.raises(ValueError, match=r"blur: expected standard deviations of translation and joints, 0 or more"):
        GraspGlow(22, blur=(0.1, -0.1))
