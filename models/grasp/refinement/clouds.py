"""Distance fields of observed clouds, for a refinement with the same observation as the method."""

import torch
from torch import Tensor

from ....geometry.cloud_field import cloud_grid
from .fields import ObjectFields


def cloud_fields(points: Tensor) -> ObjectFields:
    """Distance fields of the surfaces of clouds; equal clouds share one. See `geometry.cloud_field.cloud_grid`.

    `points` (B, N, 3), metres. Raises ValueError: a cloud has too few distinct points, or points that are not finite.
    """
    clouds, owner = torch.unique(points.detach(), dim=0, return_inverse=True)
    return ObjectFields([cloud_grid(cloud) for cloud in clouds], owner, points.new_ones(len(points)))
