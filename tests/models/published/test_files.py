"""Files of published networks: what loads, what is refused, and what the loader reports."""

import doctest
import re

import pytest
import torch

from dexzoo.models.grasp import OfficialContactMap, OfficialGraspCVAE
from dexzoo.models.published import CheckpointError, ContactMapNet, ContactMapVAE, load_official
from tests.oracles.published_layouts import (
    contact_keys,
    container,
    cvae_keys,
    gendexgrasp_keys,
    weights,
)


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
    assert "alone or under one of model, network, state_dict, model_dict, found args, epoch" in message("other.pt")
