"""The contact-map autoencoder of GenDexGrasp (ICRA 2023), with the names and shapes of its files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..blocks.across_ranks import BatchNorm1d
from .checkpoints import load_official


class _Encoder(nn.Module):
    """4 -> 64 -> 128 -> 512, ReLU except after the last layer, then the maximum over the points."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_layers, self.bn_layers = _layers(4, 64, 128, 512)

    def forward(self, x: Tensor) -> Tensor:
        return _run(x, self.conv_layers, self.bn_layers).amax(-1)


class _Decoder(nn.Module):
    """Contact value of each point from its own features, 3 -> 64 -> 64, and global ones, 64 -> 128 -> 512."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.pointwise_conv_layers, self.pointwise_bn_layers = _layers(3, 64, 64)
        self.global_conv_layers, self.global_bn_layers = _layers(64, 128, 512)
        self.decoder_conv_layers, self.decoder_bn_layers = _layers(64 + 512 + latent, 512, 64, 64, 1)

    def forward(self, points: Tensor, z: Tensor) -> Tensor:
        each = _run(points, self.pointwise_conv_layers, self.pointwise_bn_layers)
        whole = _run(each, self.global_conv_layers, self.global_bn_layers).amax(-1)
        tiled = torch.cat([whole, z], dim=-1).unsqueeze(-1).expand(-1, -1, points.shape[-1])
        x = torch.cat([each, tiled], dim=1)
        return _run(x, self.decoder_conv_layers, self.decoder_bn_layers).sigmoid().squeeze(1)


class ContactMapVAE(nn.Module):
    """q(z | cloud with contact values) and p(contact | z, cloud): where any hand might touch an object.

    81 tensors with 691,280 numbers, including those of the batch normalisation. Clouds have 2048 points and are
    centred. The published files do not tell whether the global features end in a ReLU; here they do not.

    Contact maps of clouds (B, 2048, 3), metres, with GenDexGrasp's published weights:

        >>> network = ContactMapVAE.from_file(path)
        >>> contact = network.sample(points - points.mean(dim=1, keepdim=True))

    Args:
        latent: number of latent variables.
    """

    def __init__(self, latent: int = 128) -> None:
        super().__init__()
        self.latent = latent
        self.encoder, self.decoder = _Encoder(), _Decoder(latent)
        self.encoder_z_means, self.encoder_z_logvars = nn.Linear(512, latent), nn.Linear(512, latent)

    @classmethod
    def from_file(cls, path: str | Path) -> ContactMapVAE:
        """The network with the weights of a published file, in eval mode.

        Raises CheckpointError: see `load_official`.
        """
        network = cls()
        load_official(path, network)
        return network.eval()

    def encode(self, points: Tensor, contact: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of clouds (B, N, 3), metres, with contact values (B, N) in [0, 1]."""
        feature = self.encoder(torch.cat([points, contact.unsqueeze(-1)], dim=-1).mT)
        return self.encoder_z_means(feature), self.encoder_z_logvars(feature)

    def decode(self, z: Tensor, points: Tensor) -> Tensor:
        """Contact (B, N) in [0, 1] of the clouds (B, N, 3), metres, for latents (B, latent)."""
        return self.decoder(points.mT, z)

    def sample(self, points: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Contact (B, N) in [0, 1] of the clouds (B, N, 3), metres, for latents sampled from N(0, I)."""
        device = "cpu" if generator is None else generator.device
        z = torch.randn(len(points), self.latent, generator=generator, device=device)
        return self.decode(z.to(points), points)


def _layers(*widths: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    convolutions = [nn.Conv1d(n_in, n_out, 1) for n_in, n_out in pairwise(widths)]
    return nn.ModuleList(convolutions), nn.ModuleList(BatchNorm1d(width) for width in widths[1:])


def _run(x: Tensor, convolutions: nn.ModuleList, norms: nn.ModuleList) -> Tensor:
    """Applies convolutions with their normalisation, with ReLU in between."""
    last = len(convolutions) - 1
    for k, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        x = norm(convolution(x))
        x = x if k == last else relu(x)
    return x
