"""GOAL's GNet: the published numbers, what it computes, and that its file loads strictly."""

import pytest
import torch
from torch.distributions import Normal

from dexzoo.models.published import CheckpointError, load_official
from dexzoo.models.published.goal_gnet import GNet
from tests.oracles.residual_blocks import WrittenOut


@pytest.fixture(scope="module")
def official():
    return GNet()


@pytest.fixture
def small():
    """A small one whose batch norms have seen data, in double precision."""
    torch.manual_seed(1)
    net = GNet(7, 5, {"pose": 6, "gaze": 3}, width=8, latent=2).double()
    for _ in range(3):
        mean, sd = net.encode(torch.randn(16, 7).double() * 2 + 1)
        net.decode(mean + sd, torch.randn(16, 5).double() - 1)
    return net.eval()


def test_it_has_the_published_numbers(official):
    assert sum(p.numel() for p in official.parameters()) == 5_915_975
    tensors = official.state_dict()
    assert len(tensors) == 114
    shapes = {
        "enc_bn1.weight": (3770,),
        "enc_rb1.fc1.weight": (256, 3770),
        "enc_rb2.fc1.weight": (256, 4026),
        "enc_mu.weight": (16, 256),
        "enc_var.weight": (16, 256),
        "dec_bn1.running_var": (1053,),
        "dec_rb1.fc1.weight": (256, 1053),
        "dec_rb2.fc1.weight": (256, 1309),
        "dec_pose.weight": (330, 256),
        "dec_trans.weight": (3, 256),
        "dec_dist.weight": (297, 256),
        "dec_gaze.weight": (3, 256),
    }
    assert {key: tuple(tensors[key].shape) for key in shapes} == shapes
    assert {key for key in tensors if "rb3" in key and "fc3" in key} == set()


def test_it_gives_the_published_shapes(official):
    with torch.no_grad():
        mean, sd = official.encode(torch.randn(2, 3770))
        out = official.decode(mean, torch.randn(2, 1037))
    assert mean.shape == sd.shape == (2, 16)
    assert (sd > 0).all()
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "pose": (2, 330),
        "trans": (2, 3),
        "dist": (2, 297),
        "gaze": (2, 3),
    }


def test_it_computes_its_definition(small):
    """Written out in plain matrix products."""
    plain = WrittenOut(small.state_dict())
    linear, norm, block = plain.linear, plain.norm, plain.block

    def trunk(x, side):
        entry = norm(x, f"{side}_bn1")
        return block(block(torch.cat([entry, block(entry, f"{side}_rb1")], dim=1), f"{side}_rb2"), f"{side}_rb3")

    x, condition = torch.randn(4, 7).double(), torch.randn(4, 5).double()
    hidden = trunk(x, "enc")
    mean, sd = small.encode(x)
    torch.testing.assert_close(mean, linear(hidden, "enc_mu"))
    torch.testing.assert_close(sd, (1 + linear(hidden, "enc_var").exp()).log())
    hidden = trunk(torch.cat([condition, mean], dim=1), "dec")
    out = small.decode(mean, condition)
    torch.testing.assert_close(out["pose"], linear(hidden, "dec_pose"))
    torch.testing.assert_close(out["gaze"], linear(hidden, "dec_gaze"))


def test_dropout_is_where_it_was(official):
    """After the first block of the encoder, after the first two of the decoder: three masks in a training step."""
    seen = []
    hook = official.dropout.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    mean, _ = official.encode(torch.randn(3, 3770))
    assert len(seen) == 1
    official.decode(mean, torch.randn(3, 1037))
    hook.remove()
    assert len(seen) == 3
    assert official.dropout.p == 0.3


def test_samples_decode_a_normal_latent(small):
    drawn = []
    small.decode = lambda z, condition: drawn.append(z) or {}
    small.sample(torch.zeros(4000, 5).double(), torch.Generator().manual_seed(0))
    small.sample(torch.zeros(4000, 5).double(), torch.Generator().manual_seed(0))
    assert torch.equal(drawn[0], drawn[1])
    grid = torch.linspace(-2, 2, 9).double()
    share = (drawn[0].flatten()[:, None] < grid).double().mean(0)
    torch.testing.assert_close(share, Normal(0.0, 1.0).cdf(grid), atol=0.02, rtol=0)


def test_a_bare_file_of_weights_loads_strictly(small, tmp_path):
    other = GNet(7, 5, {"pose": 6, "gaze": 3}, width=8, latent=2).double().eval()
    torch.save(small.state_dict(), tmp_path / "GNet_model.pt")
    assert len(load_official(tmp_path / "GNet_model.pt", other).loaded) == 110  # four heads less two
    x = torch.randn(3, 7).double()
    assert torch.equal(small.encode(x)[0], other.encode(x)[0])
    tensors = {key: value for key, value in small.state_dict().items() if key != "enc_mu.bias"}
    torch.save(tensors, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match=r"the 110 tensors of GNet, found 109, .*1 missing: enc_mu\.bias"):
        load_official(tmp_path / "short.pt", other)
