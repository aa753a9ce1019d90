"""The two motion networks of SAGA (Wu et al., ECCV 2022), with the names and shapes of its published weights."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .goal_mnet import ResidualBlock

_SLOPE = 0.2

OFFICIAL_TRAJECTORY = 4 * 62
"""Width of a body's trajectory: position and heading on the floor, two numbers each, of 62 frames."""
OFFICIAL_IMAGE = (4, 244, 61)
"""Channels, rows and columns of a body's motion image: positions and three velocities, of 80 points and 4 foot contacts
in 61 frames."""
OFFICIAL_CHANNELS = (32, 64, 128, 256, 256)
"""Channels after each block of the encoder."""


class TrajFill(nn.Module):
    """A cVAE that fills in a trajectory: its output is added to the condition, a straight path.

    The defaults are those of the published network: 64 tensors, 2,934,616 trainable numbers.

    Args:
        n_values: F, frames times values of a frame, flattened.
        latent: number of latent variables.
    """

    def __init__(self, n_values: int = OFFICIAL_TRAJECTORY, latent: int = 512) -> None:
        super().__init__()
        hidden = 2 * n_values
        self.enc1 = ResidualBlock(hidden, hidden, hidden)
        self.enc2 = ResidualBlock(hidden, hidden, hidden)
        self.enc_mu, self.enc_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.dec1 = ResidualBlock(latent + n_values, hidden, hidden)
        self.dec2 = ResidualBlock(hidden + n_values, n_values, n_values)

    def encode(self, truth: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of true trajectories (B, F), given conditions (B, F)."""
        hidden = self.enc2(self.enc1(torch.cat([truth, condition], dim=-1)))
        return self.enc_mu(hidden), self.enc_var(hidden)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Trajectories (B, F) from latents (B, latent) and conditions (B, F)."""
        hidden = self.dec1(torch.cat([z, condition], dim=-1))
        return condition + self.dec2(torch.cat([hidden, condition], dim=-1))


class LocalMotionFill(nn.Module):
    """A convolutional cVAE that fills in a motion image (rows: coordinates, columns: frames) from its two end columns.

    One encoder takes the image to fill in, another one the true image; there are no skips to the decoder. The defaults
    are those of the published network: 68 tensors, 19,907,435 trainable numbers. The size of the code follows from
    that of the image.

    Args:
        n_channels: channels of an image; the first one is filled in, the others are only inputs.
        n_rows: rows of an image.
        n_columns: columns of an image.
        channels: after each block of the encoders; the decoder has them in reverse.
        latent: number of latent variables.
    """

    def __init__(
        self,
        n_channels: int = OFFICIAL_IMAGE[0],
        n_rows: int = OFFICIAL_IMAGE[1],
        n_columns: int = OFFICIAL_IMAGE[2],
        channels: Sequence[int] = OFFICIAL_CHANNELS,
        latent: int = 512,
    ) -> None:
        super().__init__()
        sizes = [(n_rows, n_columns)]
        for _ in channels:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        self.code = (channels[-1], *sizes[-1])
        flat = self.code[0] * self.code[1] * self.code[2]
        self.enc_conv_input = _Encoder(n_channels, channels)
        self.enc_conv_gt = _Encoder(n_channels, channels)
        self.enc_conv_cat = nn.Sequential(_conv(2 * channels[-1], 2 * channels[-1]), nn.LeakyReLU(_SLOPE))
        self.enc_mu, self.enc_logvar = nn.Linear(2 * flat, latent), nn.Linear(2 * flat, latent)
        self.dec_dense = nn.Linear(latent, flat)
        self.dec_conv = _Decoder([2 * channels[-1], *reversed(channels[:-1]), 1], sizes[-2::-1])

    def condition(self, image: Tensor) -> Tensor:
        """Code (B, C, h, w) of images to fill in (B, n_channels, n_rows, n_columns)."""
        return self.enc_conv_input(image)

    def encode(self, truth: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of true images (B, n_channels, n_rows, n_columns), given codes."""
        hidden = self.enc_conv_cat(torch.cat([condition, self.enc_conv_gt(truth)], dim=1)).flatten(1)
        return self.enc_mu(hidden), self.enc_logvar(hidden)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """First channel (B, 1, n_rows, n_columns) of the filled images, from latents (B, latent) and codes."""
        hidden = self.dec_dense(z).unflatten(-1, self.code)
        return self.dec_conv(torch.cat([hidden, condition], dim=1))


def _halving(n_in: int, n_out: int) -> nn.Module:
    layers = (_conv(n_in, n_out), nn.LeakyReLU(_SLOPE), _conv(n_out, n_out), nn.LeakyReLU(_SLOPE))
    return nn.Sequential(OrderedDict(main=nn.Sequential(*layers, nn.MaxPool2d(3, stride=2, padding=1))))


class _Encoder(nn.Sequential):
    def __init__(self, n_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        for k, (n_in, n_out) in enumerate(pairwise([n_channels, *channels]), 1):
            self.add_module(f"enc_blc{k}", _halving(n_in, n_out))


class _Doubling(nn.Module):
    def __init__(self, n_in: int, n_out: int, size: tuple[int, int], last: bool) -> None:
        super().__init__()
        self.deconv1 = nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1)
        self.deconv2 = nn.ConvTranspose2d(n_out, n_out, 3, padding=1)
        self.size, self.last = size, last

    def forward(self, x: Tensor) -> Tensor:
        x = self.deconv2(leaky_relu(self.deconv1(x, output_size=self.size), _SLOPE))
        return x if self.last else leaky_relu(x, _SLOPE)


class _Decoder(nn.Sequential):
    def __init__(self, channels: Sequence[int], sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        for k, ((n_in, n_out), size) in enumerate(zip(pairwise(channels), sizes, strict=True), 1):
            self.add_module(f"dec_blc{k}", _Doubling(n_in, n_out, size, last=k == len(sizes)))


def _conv(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, padding_mode="replicate")
