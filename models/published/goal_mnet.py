"""MNet, the motion network of GOAL (Taheri et al., CVPR 2022), with the names and shapes of its published weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ..blocks.across_ranks import BatchNorm1d

_SLOPE = 0.2

OFFICIAL_INPUT = 7543
"""Width of the whole-body input: rotations 5x55x6, root 5x3, shape 10, velocities 400x3, exponential distances 99,
positions 400x3, offsets to the goal 99x3, basis point set of the goal hand 1024x3."""
OFFICIAL_HEADS = {"pose": 10 * 55 * 6, "trans": 10 * 3, "xyz": 10 * 400 * 3, "dist": 10 * 99 * 3}
"""Width of each head: rotations, root translation, offsets of 400 vertices and of 99 distances to the goal, in cm."""


class ResidualBlock(nn.Module):
    """Two linear layers with batch norm and a skip connection, which is linear if the widths differ.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        n_hidden: width between the two layers.
    """

    def __init__(self, n_in: int, n_out: int, n_hidden: int = 256) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(n_in, n_hidden), BatchNorm1d(n_hidden)
        self.fc2, self.bn2 = nn.Linear(n_hidden, n_out), BatchNorm1d(n_out)
        self.fc3 = nn.Linear(n_in, n_out) if n_in != n_out else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in) -> (B, n_out)."""
        skip = x if self.fc3 is None else leaky_relu(self.fc3(x), _SLOPE)
        branch = self.bn2(self.fc2(leaky_relu(self.bn1(self.fc1(x)), _SLOPE)))
        return leaky_relu(skip + branch, _SLOPE)


class MNet(nn.Module):
    """Input batch norm, four residual blocks, one linear head per output.

    The defaults are those of the published whole-body network: 75 tensors, 71,388,266 trainable numbers. Its input and
    output need SMPL-X and the vertex lists and bases that come with the weights, so this is only the network;
    `models.motion.GoalHand` moves a hand with the same blocks.

    Args:
        n_input: width of the input.
        heads: width of each output by name.
        width: width of the first and the last block; the two in between have half of it.
        bottleneck: width within a block.
        dropout: probability after each of the first three blocks.
    """

    def __init__(
        self,
        n_input: int = OFFICIAL_INPUT,
        heads: Mapping[str, int] = OFFICIAL_HEADS,
        width: int = 2048,
        bottleneck: int = 256,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        half = width // 2
        self.dec_bn1 = BatchNorm1d(n_input)
        self.dec_rb1 = ResidualBlock(n_input, width, bottleneck)
        self.dec_rb2 = ResidualBlock(n_input + width, half, bottleneck)
        self.dec_rb3 = ResidualBlock(half, half, bottleneck)
        self.dec_rb4 = ResidualBlock(half, width, bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.heads = tuple(heads)
        for name, size in heads.items():
            self.add_module(f"dec_{name}", nn.Linear(width, size))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Runs the network. `x` (B, n_input). Returns output of each head, (B, width of the head)."""
        entry = self.dec_bn1(x)
        hidden = self.dropout(self.dec_rb1(entry))
        hidden = self.dropout(self.dec_rb2(torch.cat([entry, hidden], dim=-1)))
        hidden = self.dec_rb4(self.dropout(self.dec_rb3(hidden)))
        return {name: self.get_submodule(f"dec_{name}")(hidden) for name in self.heads}
