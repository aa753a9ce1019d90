"""Identifies the published network of a weights file."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from .affordance_cvae import AffordanceNetwork
from .checkpoints import CheckpointError, differences, load_official, read_tensors, respell
from .contact_map_net import ContactMapNet
from .gendexgrasp import ContactMapVAE
from .goal_gnet import GNet
from .goal_mnet import MNet
from .saga_grasp import WholeGraspPose
from .saga_motion import LocalMotionFill, TrajFill
from .unidexgrasp_glow import UniDexGraspGlow
from .unidexgrasp_ipdf import IPDFNetwork


def _cvae_with_contact() -> nn.Module:
    return nn.ModuleDict({"contact_net": ContactMapNet(), "net": AffordanceNetwork()})


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "MNet, the motion network of GOAL": MNet,
    "GNet, the grasp network of GOAL": GNet,
    "TrajFill, the trajectories of SAGA": TrajFill,
    "LocalMotionFill, the local motions of SAGA": LocalMotionFill,
    "WholeGraspPose, the grasps of SAGA": WholeGraspPose,
    "AffordanceNetwork, the cVAE of RealDex": AffordanceNetwork,
    "AffordanceNetwork with its ContactMapNet, as the training of RealDex writes them": _cvae_with_contact,
    "ContactMapNet, ContactNet of RealDex and UniDexGrasp": ContactMapNet,
    "ContactMapNet with one output, its regression": lambda: ContactMapNet(outputs=1),
    "IPDFNetwork, the rotations of UniDexGrasp": IPDFNetwork,
    "UniDexGraspGlow, the translations and joints of UniDexGrasp": UniDexGraspGlow,
    "ContactMapVAE, the contact maps of GenDexGrasp": ContactMapVAE,
}
"""Constructors of all known published networks, by name."""


@dataclass(frozen=True)
class Match:
    """The published network that a file resembles most.

    Attributes:
        path: the file.
        name: key in `NETWORKS`.
        agreeing: number of tensors that file and network share by name and shape.
        found, expected: numbers of tensors in the file and in the network.
        differences: missing tensors, unexpected ones and those of the wrong shape, a phrase each; empty if all match.
    """

    path: Path
    name: str
    agreeing: int
    found: int
    expected: int
    differences: tuple[str, ...]

    def __str__(self) -> str:
        if not self.differences:
            return f"{self.path}: {self.name}"
        return "\n  ".join(
            [
                f"{self.path}: none of the published networks; the nearest is {self.name}",
                f"{self.agreeing} of its {self.expected} tensors agree, the file has {self.found}",
                *self.differences,
            ]
        )


def identify(path: str | Path) -> Match:
    """Finds the published network whose tensors match those of a file, or the one with most of them.

    Names and shapes decide: only networks of the published sizes are recognised.
    `path`: the file. Only tensors and plain values are read, so untrusted files cannot run code.
    Raises CheckpointError: the file cannot be read, has no tensors, or has no tensor of any of these networks.
    """
    path = Path(path)
    _, tensors = read_tensors(path)
    matches = [_compare(path, tensors, name) for name in NETWORKS]
    best = max(matches, key=lambda match: match.agreeing / (match.found + match.expected - match.agreeing))
    if not best.agreeing:
        raise CheckpointError(
            f"{path}: expected a file of one of {len(NETWORKS)} published networks, found {len(tensors)} tensors of "
            f"other names or shapes, {', '.join(list(tensors)[:3])} ...; known are:\n  " + "\n  ".join(NETWORKS)
        )
    return best


def show(path: Path) -> bool:
    """Prints the network of a file and what was loaded, or what is wrong; returns whether it matched."""
    try:
        match = identify(path)
        if match.differences:
            print(match)
            return False
        print(f"{load_official(path, NETWORKS[match.name](), name=match.name)}\n  network: {match.name}")
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _compare(path: Path, tensors: Mapping[str, Tensor], name: str) -> Match:
    expected = _tensors_of(name)
    _, found = respell(tensors, expected)
    agreeing = sum(found[key].shape == value.shape for key, value in expected.items() if key in found)
    return Match(path, name, agreeing, len(tensors), len(expected), tuple(differences(found, expected)))


@cache
def _tensors_of(name: str) -> Mapping[str, Tensor]:
    """Names and shapes of a network's tensors, without allocating them."""
    with torch.device("meta"):
        return NETWORKS[name]().state_dict()
