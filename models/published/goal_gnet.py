"""GNet, the grasp network of GOAL (Taheri et al., CVPR 2022), with the names and shapes of its published weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..blocks.across_ranks import BatchNorm1d
from .goal_mnet import ResidualBlock

GNET_INPUT = 3770
"""Width of the encoder's input: rotations 55x6, root 3, shape 10, object position 3, offsets of 400 vertices to their
nearest object points 400x3, the vertices 400x3, norms of the object's basis point set 1024."""
GNET_CONDITION = 1037
"""Width of the condition: shape 10, object position 3, norms of the object's basis point set 1024."""
GNET_HEADS = {"pose": 55 * 6, "trans": 3, "dist": 99 * 3, "gaze": 3}
"""Width of each output: rotations, root, offsets of 99 hand vertices to the object, direction of gaze."""


class GNet(nn.Module):
    """q(z | body with object) and p(body | z, object), made of MNet's residual blocks.

    The defaults are those of the published network: 114 tensors, 5,915,975 trainable numbers. Its input and output need
    SMPL-X and the vertex lists and bases that come with the weights, so this is only the network; the published
    pipeline fits a body to the output of `sample`.

    Args:
        n_input: width of the encoder's input.
        n_condition: width of the condition.
        heads: width of each output by name.
        width: width of all blocks.
        latent: number of latent variables.
        dropout: probability after the first block of the encoder and the first two of the decoder.
    """

    def __init__(
        self,
        n_input: int = GNET_INPUT,
        n_condition: int = GNET_CONDITION,
        heads: Mapping[str, int] = GNET_HEADS,
        width: int = 256,
        latent: int = 16,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.latent, n_decoded = latent, n_condition + latent
        self.enc_bn1 = BatchNorm1d(n_input)
        self.enc_rb1 = ResidualBlock(n_input, width, width)
        self.enc_rb2 = ResidualBlock(n_input + width, width, width)
        self.enc_rb3 = ResidualBlock(width, width, width)
        self.enc_mu, self.enc_var = nn.Linear(width, latent), nn.Linear(width, latent)
        self.dec_bn1 = BatchNorm1d(n_decoded)
        self.dec_rb1 = ResidualBlock(n_decoded, width, width)
        self.dec_rb2 = ResidualBlock(n_decoded + width, width, width)
        self.dec_rb3 = ResidualBlock(width, width, width)
        self.dropout = nn.Dropout(dropout)
        self.heads = tuple(heads)
        for name, size in heads.items():
            self.add_module(f"dec_{name}", nn.Linear(width, size))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, latent) of z for inputs (B, n_input)."""
        entry = self.enc_bn1(x)
        hidden = self.dropout(self.enc_rb1(entry))
        hidden = self.enc_rb3(self.enc_rb2(torch.cat([entry, hidden], dim=-1)))
        return self.enc_mu(hidden), softplus(self.enc_var(hidden))

    def decode(self, z: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """Output of each head (B, width of the head), from latents (B, latent) and conditions (B, n_condition)."""
        entry = self.dec_bn1(torch.cat([condition, z], dim=-1))
        hidden = self.dropout(self.dec_rb1(entry))
        hidden = self.dec_rb3(self.dropout(self.dec_rb2(torch.cat([entry, hidden], dim=-1))))
        return {name: self.get_submodule(f"dec_{name}")(hidden) for name in self.heads}

    def sample(self, condition: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Decodes one latent sampled from N(0, I) for each condition (B, n_condition); see `decode`."""
        device = "cpu" if generator is None else generator.device
        z = torch.randn(len(condition), self.latent, generator=generator, device=device)
        return self.decode(z.to(condition), condition)
