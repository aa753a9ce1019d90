"""Which published network a file is: by the command, for every network that is known."""

import re

import pytest
import torch

from dexzoo.models.published import CheckpointError, ContactMapNet, load_official
from dexzoo.models.published.goal_gnet import GNet
from dexzoo.models.published.identify import NETWORKS, identify
from tests.oracles.published_layouts import contact_keys, container, cvae_keys, gendexgrasp_keys, weights
from tests.verbs import status_of

LAYOUTS = {
    "AffordanceNetwork, the cVAE of RealDex": cvae_keys("net."),
    "AffordanceNetwork with its ContactMapNet, as the training of RealDex writes them": cvae_keys("net.")
    | contact_keys("contact_net."),
    "ContactMapNet, ContactNet of RealDex and UniDexGrasp": contact_keys("net.backbone."),
    "ContactMapVAE, the contact maps of GenDexGrasp": gendexgrasp_keys(),
}
"""Written out from the descriptions of the files, apart from our networks."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_in_the_published_layout_are_recognised(name, tmp_path, capsys):
    torch.save(container(weights(LAYOUTS[name])), tmp_path / "w.pt")
    assert identify(tmp_path / "w.pt").name == name
    assert status_of("identify", str(tmp_path / "w.pt")) == 0
    out = capsys.readouterr().out.splitlines()
    assert f"w.pt, iteration 1200: {len(LAYOUTS[name])} tensors" in out[0]
    assert out[-1] == f"  network: {name}"


def test_every_network_is_told_from_every_other(tmp_path, monkeypatch):
    """Each against all, without memory for their weights."""
    with torch.device("meta"):
        states = {name: make().state_dict() for name, make in NETWORKS.items()}
    assert len(states) >= 12
    for name, state in states.items():
        monkeypatch.setattr("dexzoo.models.published.identify.read_tensors", lambda path, state=state: (state, state))
        match = identify(tmp_path / "w.pt")
        assert (match.name, match.differences, match.agreeing) == (name, (), len(state))


def test_files_of_goal_and_the_list_of_networks(tmp_path, capsys):
    torch.save({"model_dict": GNet().state_dict(), "optimizer": {}}, tmp_path / "GNet_model.pt")
    assert status_of("identify", str(tmp_path / "GNet_model.pt")) == 0
    out = capsys.readouterr().out
    assert "114 tensors" in out
    assert out.endswith("network: GNet, the grasp network of GOAL\n")
    assert status_of("identify") == 0
    assert capsys.readouterr().out.splitlines() == [*NETWORKS]


def test_another_number_of_outputs_is_the_nearest_with_what_differs(tmp_path, capsys):
    torch.save(ContactMapNet(outputs=7).state_dict(), tmp_path / "w.pt")
    assert status_of("identify", str(tmp_path / "w.pt")) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'w.pt'}: none of the published networks; the nearest is ContactMapNet, ContactNet of RealDex and "
        "UniDexGrasp",
        "  70 of its 72 tensors agree, the file has 72",
        "  2 of another shape: conv4.bias expected (10,), found (7,), "
        "conv4.weight expected (10, 128, 1), found (7, 128, 1)",
    ]


def test_a_torn_file_is_the_nearest_with_what_is_missing(tmp_path):
    tensors = weights(gendexgrasp_keys())
    del tensors["encoder_z_means.bias"]
    torch.save(tensors | {"extra": torch.zeros(1)}, tmp_path / "w.pt")
    match = identify(tmp_path / "w.pt")
    assert (match.name, match.agreeing, match.found, match.expected) == (
        "ContactMapVAE, the contact maps of GenDexGrasp",
        80,
        81,
        81,
    )
    assert match.differences == ("1 missing: encoder_z_means.bias", "1 unexpected: extra")


def test_a_file_of_no_known_network_lists_them(tmp_path):
    torch.save({"alpha": torch.zeros(3)}, tmp_path / "w.pt")
    message = (
        f"expected a file of one of {len(NETWORKS)} published networks, found 1 tensors of other names or shapes, "
    )
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        identify(tmp_path / "w.pt")
    assert all(name in str(error.value) for name in NETWORKS)


def test_one_bad_file_among_good_ones_is_told_and_counts(tmp_path, capsys):
    torch.save(weights(contact_keys()), tmp_path / "good.pt")
    assert status_of("identify", str(tmp_path / "none.pt"), str(tmp_path / "good.pt")) == 1
    said = capsys.readouterr()
    assert said.err == f"{tmp_path / 'none.pt'}: expected a file of weights, found no file\n"
    assert "network: ContactMapNet, ContactNet" in said.out


@pytest.mark.parametrize(
    ("wrap", "spelling"),
    [
        (lambda tensors: {"model_dict": tensors, "optimizer": {}}, "as they are"),
        (lambda tensors: {f"module.{key}": value for key, value in tensors.items()}, "without the leading 'module.'"),
    ],
)
def test_files_of_sagas_and_of_parallel_trainings_load(wrap, spelling, tmp_path):
    tensors = weights(contact_keys())
    torch.save(wrap(tensors), tmp_path / "w.pkl")
    net = ContactMapNet()
    assert load_official(tmp_path / "w.pkl", net).spelling == spelling
    assert torch.equal(net.conv4.weight, tensors["conv4.weight"])
