"""PointNet encoder for training on few cores: its last layer is differentiated only at the maximal points."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PointEncoder(nn.Module):
    """Shared MLP on points and a maximum over them (Qi et al. 2017), which also returns the features of single points.

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
        layers: list[nn.Module] = []
        for n_in, n_out in zip((in_features, *widths[:-2]), widths[:-1], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(widths[-2], widths[-1])
        self.n_point_features, self.n_features = widths[-2], widths[-1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of points, (B, N, n_point_features), and of clouds, (B, n_features), of x (B, N, in_features)."""
        points = self.layers(x)
        with torch.no_grad():
            winner = self.last(points).argmax(dim=1)
        critical = points.gather(1, winner.unsqueeze(-1).expand(-1, -1, points.shape[-1]))
        return points, (critical * self.last.weight).sum(-1) + self.last.bias
