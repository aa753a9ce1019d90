"""Network of the flow matching models (Lipman et al., ICLR 2023)."""

import torch
from torch import Tensor, nn

from .encoding import SinusoidalEncoding


class VelocityField(nn.Module):
    """Residual MLP v(x, t, feature); time and feature are added before every block.

    Args:
        size: dimensions D of the state.
        feature: number of features F of the condition.
        width: channels of a block.
        blocks: residual blocks.
        dropout: share of a block's output that is dropped in training.
    """

    def __init__(self, size: int, feature: int, width: int, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        # Time runs from 0 to 1: a quarter of the longest wave does not repeat, the shortest resolves a step of 16.
        self.time = SinusoidalEncoding(6, longest=4.0, shortest=0.12)
        n_time = self.time.n_features // 3  # for one number instead of three coordinates
        self.condition = nn.Sequential(nn.Linear(n_time + feature, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Linear(size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.Dropout(dropout)
            )
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, size))

    def forward(self, x: Tensor, time: Tensor, feature: Tensor) -> Tensor:
        """Velocity (..., D) of states (..., D) at times (..., 1) in [0, 1], with condition (..., F)."""
        condition = self.condition(torch.cat([self.time(time), feature], dim=-1))
        hidden = self.enter(x)
        for block in self.blocks:
            hidden = hidden + block(hidden + condition)
        return self.leave(hidden)
