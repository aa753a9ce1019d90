"""TrajFill and LocalMotionFill: the published numbers, their definition in plain functions, strict loading."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear, max_pool2d, pad

from dexzoo.models.published.checkpoints import CheckpointError, load_official
from dexzoo.models.published.saga_motion import LocalMotionFill, TrajFill


def count(network):
    return sum(p.numel() for p in network.parameters()), len(network.state_dict())


def shapes(network, keys):
    tensors = network.state_dict()
    return {key: tuple(tensors[f"{key}.weight"].shape) for key in keys}


def test_traj_fill_has_the_published_numbers():
    assert count(TrajFill()) == (2_934_616, 64)
    expected = {
        "enc1.fc1": (496, 496),
        "enc2.fc2": (496, 496),
        "enc_mu": (512, 496),
        "enc_var": (512, 496),
        "dec1.fc1": (496, 760),
        "dec1.fc3": (496, 760),
        "dec2.fc1": (248, 744),
        "dec2.fc3": (248, 744),
    }
    assert shapes(TrajFill(), expected) == expected
    assert count(TrajFill(62 * 9))[0] == 11_963_986


def test_local_motion_fill_has_the_published_numbers():
    network = LocalMotionFill()
    assert count(network) == (19_907_435, 68)
    expected = {
        "enc_conv_input.enc_blc1.main.0": (32, 4, 3, 3),
        "enc_conv_gt.enc_blc1.main.0": (32, 4, 3, 3),
        "enc_conv_gt.enc_blc5.main.2": (256, 256, 3, 3),
        "enc_conv_cat.0": (512, 512, 3, 3),
        "enc_mu": (512, 8192),
        "enc_logvar": (512, 8192),
        "dec_dense": (4096, 512),
        "dec_conv.dec_blc1.deconv1": (512, 256, 3, 3),
        "dec_conv.dec_blc5.deconv2": (1, 1, 3, 3),
    }
    assert shapes(network, expected) == expected


@pytest.mark.parametrize(("channels", "rows", "numbers"), [(4, 244, 19_907_435), (7, 245, 19_909_163)])
def test_an_image_comes_back_in_its_size(channels, rows, numbers):
    """The image of a body and that of a hand have the same code, 8 x 2."""
    network = LocalMotionFill(channels, rows)
    assert count(network)[0] == numbers
    with torch.no_grad():
        code = network.condition(torch.zeros(1, channels, rows, 61))
        assert code.shape == (1, 256, 8, 2)
        assert network.decode(torch.zeros(1, 512), code).shape == (1, 1, rows, 61)
        assert [x.shape for x in network.encode(torch.zeros(1, channels, rows, 61), code)] == [(1, 512)] * 2


def test_traj_fill_computes_its_definition():
    torch.manual_seed(1)
    network = TrajFill(6, latent=4).double()
    for _ in range(3):
        network.decode(torch.randn(16, 4).double(), torch.randn(16, 6).double())
        network.encode(torch.randn(16, 6).double(), torch.randn(16, 6).double())
    network.eval()
    w = network.state_dict()

    def dense(x, key):
        return linear(x, w[f"{key}.weight"], w[f"{key}.bias"])

    def norm(x, key):
        centred = (x - w[f"{key}.running_mean"]) / (w[f"{key}.running_var"] + 1e-5).sqrt()
        return centred * w[f"{key}.weight"] + w[f"{key}.bias"]

    def block(x, key):
        inner = leaky_relu(norm(dense(x, f"{key}.fc1"), f"{key}.bn1"), 0.2)
        skip = leaky_relu(dense(x, f"{key}.fc3"), 0.2) if f"{key}.fc3.weight" in w else x
        return leaky_relu(skip + norm(dense(inner, f"{key}.fc2"), f"{key}.bn2"), 0.2)

    z, truth, condition = (torch.randn(5, n).double() for n in (4, 6, 6))
    hidden = block(torch.cat([z, condition], 1), "dec1")
    expected = condition + block(torch.cat([hidden, condition], 1), "dec2")
    torch.testing.assert_close(network.decode(z, condition), expected)
    hidden = block(block(torch.cat([truth, condition], 1), "enc1"), "enc2")
    mean, log_variance = network.encode(truth, condition)
    torch.testing.assert_close(mean, dense(hidden, "enc_mu"))
    torch.testing.assert_close(log_variance, dense(hidden, "enc_var"))


def test_local_motion_fill_computes_its_definition():
    torch.manual_seed(2)
    network = LocalMotionFill(2, 13, 9, channels=(3, 4), latent=5).double()
    w = network.state_dict()

    def conv(x, key):
        return leaky_relu(conv2d(pad(x, (1, 1, 1, 1), "replicate"), w[f"{key}.weight"], w[f"{key}.bias"]), 0.2)

    def encoded(x, name):
        for k in (1, 2):
            x = conv(conv(x, f"{name}.enc_blc{k}.main.0"), f"{name}.enc_blc{k}.main.2")
            x = max_pool2d(pad(x, (1, 1, 1, 1), value=-torch.inf), 3, 2)
        return x

    image, truth, z = (torch.randn(2, *s).double() for s in ((2, 13, 9), (2, 13, 9), (5,)))
    code = encoded(image, "enc_conv_input")
    assert code.shape == (2, 4, 4, 3)
    torch.testing.assert_close(network.condition(image), code)
    hidden = conv(torch.cat([code, encoded(truth, "enc_conv_gt")], 1), "enc_conv_cat.0").flatten(1)
    torch.testing.assert_close(
        network.encode(truth, code)[1], linear(hidden, w["enc_logvar.weight"], w["enc_logvar.bias"])
    )
    x = linear(z, w["dec_dense.weight"], w["dec_dense.bias"]).view(2, 4, 4, 3)
    x = torch.cat([x, code], 1)
    for k, grow in ((1, (0, 0)), (2, (0, 0))):  # 4 x 3 -> 7 x 5 -> 13 x 9, twice less one each
        up, out = (f"dec_conv.dec_blc{k}.deconv{i}" for i in (1, 2))
        x = leaky_relu(conv_transpose2d(x, w[f"{up}.weight"], w[f"{up}.bias"], 2, 1, grow), 0.2)
        x = conv_transpose2d(x, w[f"{out}.weight"], w[f"{out}.bias"], 1, 1)
        x = leaky_relu(x, 0.2) if k == 1 else x
    torch.testing.assert_close(network.decode(z, code), x)


def test_a_file_of_weights_loads_strictly(tmp_path):
    theirs, mine = (LocalMotionFill(2, 13, 9, channels=(3, 4), latent=5) for _ in range(2))
    torch.save({"model_dict": theirs.state_dict(), "optimizer": {}}, tmp_path / "local.pkl")
    load_official(tmp_path / "local.pkl", mine)
    image = torch.randn(2, 2, 13, 9)
    assert torch.equal(theirs.condition(image), mine.condition(image))
    torch.save(LocalMotionFill(2, 21, 9, channels=(3, 4), latent=5).state_dict(), tmp_path / "other.pkl")
    with pytest.raises(CheckpointError, match=r"of another shape: dec_dense\.bias expected \(48,\), found \(72,\)"):
        load_official(tmp_path / "other.pkl", mine)
