"""Points on the hand that are part of a model."""

from dataclasses import fields

from torch import nn

from ...hands.points import LinkPoints


class MaterialPoints(nn.Module):
    """Keeps points with the weights, so that a checkpoint keeps its points even if the sampling of a hand changes."""

    def __init__(self, points: LinkPoints) -> None:
        super().__init__()
        self.kind = type(points)
        for field in fields(points):
            self.register_buffer(field.name, getattr(points, field.name))

    def forward(self) -> LinkPoints:
        """The points, on the device of the model."""
        return self.kind(**{field.name: getattr(self, field.name) for field in fields(self.kind)})
