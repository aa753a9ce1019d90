"""PointNet++ (Qi et al., NeurIPS 2017): a hierarchy of clouds with set abstraction and feature propagation.

Layers keep the names and shapes of the common layout (`mlp_convs`, `mlp_bns`; kernels of size 1). Features are channels
last, (B, N, C), when neighbours are gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from ...geometry.neighbours import ball_query, gather_points, knn
from ...geometry.sampling import farthest_point_sampling
from .across_ranks import BatchNorm1d


@dataclass(frozen=True)
class Level:
    """A cloud and its links to the next finer one.

    Attributes:
        points: (B, S, 3), metres.
        near: (B, S, K), int64, points of the finer cloud around each of these.
        back: (B, N, 3), int64, points of this cloud around each of the finer one; fewer than 3 if S is.
        share: (B, N, 3), their interpolation weights, which sum to 1.
    """

    points: Tensor
    near: Tensor
    back: Tensor
    share: Tensor

    def repeat(self, n: int) -> Level:
        """Repeats each batch element n times, adjacently."""
        return Level(*(x.repeat_interleave(n, dim=0) for x in vars(self).values()))


def coarser(points: Tensor, centres: int, radius: float, neighbours: int, start: int = 0) -> Level:
    """The next level: centres by farthest-point sampling, the nearest points within a radius around each.

    Interpolation weighs the three nearest centres by inverse squared distance. The points get no gradient.
    `points` (B, N, 3), metres. `centres`: of the next level; at most N are taken. `radius`: metres. `neighbours`:
    points around each centre; at most N are taken. `start`: index of the first centre. Raises ValueError: as for
    `farthest_point_sampling` and `ball_query`.
    """
    points, n = points.detach(), points.shape[1]
    chosen = gather_points(points, farthest_point_sampling(points, min(centres, n), start))
    near, _ = ball_query(chosen, points, radius, min(neighbours, n))
    distance, back = knn(points, chosen, min(3, chosen.shape[1]))
    weight = 1 / (distance.square() + 1e-8)
    return Level(chosen, near, back, weight / weight.sum(-1, keepdim=True))


class SetAbstraction(nn.Module):
    """A small network on [position, feature] of each point around a centre, and the maximum over these points.

    Args:
        n_in: channels of the features of the points, without position.
        widths: channels of each layer.
    """

    def __init__(self, n_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(zip((3 + n_in, *widths), widths, strict=False))
        self.mlp_convs = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
        self.mlp_bns = nn.ModuleList(BatchNorm1d(b) for _, b in pairs)

    def forward(self, points: Tensor, features: Tensor, level: Level | None = None) -> Tensor:
        """Summarises neighbourhoods.

        `points` (B, N, 3), metres. `features` (B, N, n_in). `level`: the next level, to whose points positions are
        relative; None takes all points as one set with absolute positions. Returns (B, S, widths[-1]); S is 1 without a
        level.
        """
        # The first layer is linear in position and feature: once per point instead of once per neighbour. Channels last
        # # take half the time of convolutions on a CPU; the weights keep their published shape.
        first, *convs = self.mlp_convs
        first_norm, *norms = self.mlp_bns
        each = _linear(first, torch.cat([points, features], dim=-1))
        if level is None:
            x = each.unsqueeze(1)
        else:
            shift = linear(level.points, first.get_parameter("weight").flatten(1)[:, :3])
            x = gather_points(each, level.near) - shift.unsqueeze(2)
        sets, x = x.shape[:3], first_norm(x.flatten(0, 2))
        for conv, norm in zip(convs, norms, strict=True):
            x = norm(_linear(conv, relu(x)))
        return relu(x.unflatten(0, sets).max(2).values)  # maximum first, which leaves less work for the ReLU


class FeaturePropagation(nn.Module):
    """Interpolates features of a coarse cloud to a finer one and combines them with the features there.

    Args:
        n_in: total channels of both.
        widths: channels of each layer.
    """

    def __init__(self, n_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(zip((n_in, *widths), widths, strict=False))
        self.mlp_convs = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in pairs)
        self.mlp_bns = nn.ModuleList(BatchNorm1d(b) for _, b in pairs)

    def forward(self, skip: Tensor, coarse: Tensor, level: Level | None = None) -> Tensor:
        """Features of the finer cloud.

        `skip` (B, N, C), features of the finer cloud. `coarse` (B, S, D) of the level, or (B, 1, D) of the whole cloud.
        `level`: the coarse level; None gives every point the feature of the whole cloud. Returns (B, N, widths[-1]).
        """
        if level is None:
            spread = coarse.expand(-1, skip.shape[1], -1)
        else:
            spread = (gather_points(coarse, level.back) * level.share.unsqueeze(-1)).sum(2)
        x = torch.cat([skip, spread], dim=-1).flatten(0, 1)
        for conv, norm in zip(self.mlp_convs, self.mlp_bns, strict=True):
            x = relu(norm(_linear(conv, x)))
        return x.unflatten(0, skip.shape[:2])


def _linear(conv: nn.Module, x: Tensor) -> Tensor:
    """Applies a convolution of size 1 to channels-last features."""
    return linear(x, conv.get_parameter("weight").flatten(1), conv.get_parameter("bias"))
