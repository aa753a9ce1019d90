"""PointNets (Qi et al. 2017): encoders of sets of points."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(*widths: int) -> nn.Sequential:
    """A linear layer between each two widths, followed by a ReLU."""
    return nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())))


class PointNet(nn.Module):
    """Shared MLP on points, then the maximum over them: a feature that is independent of their order and number.

    Args:
        widths: output width of each layer; the last one is the size of the feature.
        scale: coordinates are divided by it, metres, so that hands and objects have size about 1.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 64), scale: float = 0.1) -> None:
        super().__init__()
        self.scale = scale
        self.n_features = widths[-1]
        self.layers = mlp(3, *widths)[:-1]

    def forward(self, points: Tensor) -> Tensor:
        """Encodes (B, N, 3), metres, as (B, n_features)."""
        # `amax` gives the same values, but splits gradients among ties, for which its backward compares all points.
        return self.layers(points / self.scale).max(-2).values


class PointEncoder(nn.Module):
    """Shared MLP on points and a maximum over them, which also returns the features of single points; for few cores.

    The maximum over N points of a linear layer depends on at most one point per channel, its critical points. They are
    found without gradient, and the layer is applied again to them alone: the same values and, except for ties, the same
    gradients in half the time per training step.

    Args:
        in_features: number of features of a point.
        widths: output width of each layer, at least two; the last one is the size of the global feature.
    """

    def __init__(self, in_features: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths: expected two layers or more, found {tuple(widths)}")
        self.layers = mlp(in_features, *widths[:-1])
        self.last = nn.Linear(widths[-2], widths[-1])
        self.n_point_features, self.n_features = widths[-2], widths[-1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of points, (B, N, n_point_features), and of clouds, (B, n_features), of x (B, N, in_features)."""
        points = self.layers(x)
        with torch.no_grad():
            winner = self.last(points).argmax(dim=1)
        critical = points.gather(1, winner.unsqueeze(-1).expand(-1, -1, points.shape[-1]))
        return points, (critical * self.last.weight).sum(-1) + self.last.bias
