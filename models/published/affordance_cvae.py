"""The cVAE of RealDex (IJCAI-24, section 4.2; after GraspTTA, ICCV 2021) with the names and shapes of its files."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from .pointnet import PublishedPointNet


class _Encoder(nn.Module):
    def __init__(self, feature: int, latent: int) -> None:
        super().__init__()
        self.MLP = _mlp(feature, 512, 256)
        self.linear_means = nn.Linear(256, latent)
        self.linear_log_var = nn.Linear(256, latent)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.MLP(feature)
        return self.linear_means(hidden), self.linear_log_var(hidden)


class AffordanceNetwork(nn.Module):
    """q(z | points of the hand, cloud) and p(pose vector | z, cloud); 4.49 million parameters with 28 outputs.

    Args:
        outputs: size of a pose vector, translation 3 | axis-angle 3 | joints.
        latent: number of latent variables.
    """

    def __init__(self, outputs: int = 28, latent: int = 64) -> None:
        super().__init__()
        self.obj_encoder = PublishedPointNet(transform=True)
        self.hand_encoder = PublishedPointNet(transform=True)
        encoder, layers = _Encoder(2 * 1024, latent), _mlp(latent + 1024, 1024, 256)
        layers.add_module("L2", nn.Linear(256, outputs))
        self.cvae = nn.ModuleDict({"encoder": encoder, "decoder": nn.Sequential(OrderedDict(MLP=layers))})

    def condition(self, points: Tensor) -> Tensor:
        """Feature (B, 1024) of clouds (B, N, 3), metres."""
        return self.obj_encoder(points)[0]

    def encode(self, hand_points: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of hands (B, H, 3), metres, same frame as the cloud."""
        return self.cvae["encoder"](torch.cat([self.hand_encoder(hand_points)[0], condition], dim=-1))

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Pose vectors (..., outputs), metres and radians, from latents (..., latent) and features (..., 1024)."""
        return self.cvae["decoder"](torch.cat([z, condition], dim=-1))


def _mlp(*widths: int) -> nn.Sequential:
    layers = OrderedDict()
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        layers[f"L{k}"], layers[f"A{k}"] = nn.Linear(n_in, n_out), nn.ReLU()
    return nn.Sequential(layers)
