"""PointNet (Qi et al. 2017), an encoder of sets."""

from collections.abc import Sequence

from torch import Tensor, nn


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
        layers: list[nn.Module] = []
        for n_in, n_out in zip((3, *widths[:-1]), widths, strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, points: Tensor) -> Tensor:
        """Encodes (B, N, 3), metres, as (B, n_features)."""
        # `amax` gives the same values, but splits gradients among ties, for which its backward compares all points.
        return self.layers(points / self.scale).max(-2).values
