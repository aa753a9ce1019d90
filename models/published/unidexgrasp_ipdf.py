"""GraspIPDF's network (Xu et al., "UniDexGrasp", CVPR 2023) with the names and shapes of its published weights."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch_geometric.nn.aggr import Aggregation  # for this alone: our clouds have equal sizes, and our FK goes by level
from torch_geometric.nn.conv import PointNetConv

from ...geometry.sampling import farthest_point_sampling
from ..blocks.across_ranks import BatchNorm1d

_NEIGHBOURS = 64  # at most, per centre


class _SortedMax(Aggregation):
    """Maximum over edges sorted by target, each with at least one edge; takes a third of the time of the default."""

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        """(E, F) of edges to targets `index` (E,), ascending -> (dim_size, F)."""
        assert index is not None
        assert dim_size is not None
        lengths = index.new_zeros(dim_size).index_add(0, index, torch.ones_like(index))  # `bincount` waits for a GPU
        return torch.segment_reduce(x, "max", lengths=lengths, axis=0)


class SetAbstraction(nn.Module):
    """One level of PointNet++: a PointNet over the points in a ball around each centre.

    Args:
        radius: radius of the ball, metres.
        widths: layer widths, from the features of a point with its offset from the centre (+ 3) to the output.
    """

    def __init__(self, radius: float, widths: Sequence[int]) -> None:
        super().__init__()
        self.radius = radius
        # The layer's self-loops would connect the k-th centre to the k-th point, which is a different one.
        self.conv = PointNetConv(_layers(widths), add_self_loops=False, aggr=_SortedMax())

    def forward(self, features: Tensor, points: Tensor, centres: Tensor) -> Tensor:
        """Encodes the neighbourhood of each centre.

        `features` (B, N, F) of the points; `points` (B, N, 3), metres; `centres` (B, M, 3), metres, a subset of the
        points. Returns (B, M, widths[-1]).
        """
        edges = ball_edges(centres, points, self.radius, _NEIGHBOURS)
        found = self.conv(features.flatten(0, 1), (points.flatten(0, 1), centres.flatten(0, 1)), edges)
        return found.unflatten(0, centres.shape[:2])


class GlobalAbstraction(nn.Module):
    """Last level of PointNet++: one PointNet over all points with their features.

    Args:
        widths: layer widths, from the features of a point with its position (+ 3) to the output.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.nn = _layers(widths)

    def forward(self, features: Tensor, points: Tensor) -> Tensor:
        """(B, M, F) features of points (B, M, 3), metres -> (B, widths[-1])."""
        each = torch.cat([features, points], dim=-1)
        return self.nn(each.flatten(0, 1)).unflatten(0, each.shape[:2]).amax(1)


class PointNet2(nn.Module):
    """PointNet++ (Qi et al. 2017) with two levels of balls of 0.1 m and 0.2 m; encodes a cloud as 128 features."""

    def __init__(self) -> None:
        super().__init__()
        self.sa1_module = SetAbstraction(0.1, (4, 64, 64, 128))
        self.sa2_module = SetAbstraction(0.2, (131, 128, 128, 256))
        self.sa3_module = GlobalAbstraction((259, 256, 512, 1024))
        self.lin1, self.bn1 = nn.Linear(1024, 512), BatchNorm1d(512)
        self.lin2, self.bn2 = nn.Linear(512, 256), BatchNorm1d(256)
        self.lin3 = nn.Linear(256, 128)

    def forward(self, points: Tensor) -> Tensor:
        """Clouds (B, N, 3), metres, -> (B, 128).

        The published code starts the farthest-point sampling at random, ours at the first point.
        """
        # Farthest points of a farthest-point sample are its prefix, so one sampling serves both levels.
        half = math.ceil(points.shape[1] / 2)
        index = farthest_point_sampling(points, half).unsqueeze(-1).expand(-1, -1, 3)
        centres = points.gather(1, index)
        far = centres[:, : math.ceil(half / 4)]
        features = self.sa1_module(torch.ones_like(points[..., :1]), points, centres)
        features = self.sa2_module(features, centres, far)
        x = self.sa3_module(features, far)
        x = relu(self.bn1(self.lin1(x)))
        x = relu(self.bn2(self.lin2(x)))
        return self.lin3(x)


class ImplicitModel(nn.Module):
    """Scores rotations for a cloud (Murphy et al., "Implicit-PDF", ICML 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.feat_mlp = nn.Linear(128, 256)
        self.query_mlp = nn.Conv1d(18, 256, 1)
        self.mlps = nn.Sequential(
            *(nn.Conv1d(256, 256, 1), BatchNorm1d(256), nn.ReLU(inplace=True)),
            *(nn.Conv1d(256, 256, 1), BatchNorm1d(256), nn.ReLU(inplace=True)),
            nn.Conv1d(256, 1, 1),
        )

    def forward(self, feature: Tensor, query: Tensor) -> Tensor:
        """Scores.

        `feature` (B, 128) of clouds; `query` (B, R, 3, 3), or (1, R, 3, 3) for all clouds. Returns (B, R), logarithm of
        a density up to a constant per cloud.
        """
        entries = query.flatten(-2).mT
        encoded = self.query_mlp(torch.cat([entries.sin(), entries.cos()], dim=1))
        return self.mlps(relu(self.feat_mlp(feature).unsqueeze(-1) + encoded, inplace=True)).squeeze(1)


class IPDFNetwork(nn.Module):
    """The density over rotations of a cloud, up to a constant: 1,669,121 trainable numbers.

    Its query Q maps the frame of the cloud to that of the hand.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(OrderedDict(backbone=PointNet2()))
        self.implicit_model = ImplicitModel()

    def forward(self, points: Tensor, query: Tensor) -> Tensor:
        """Scores (B, R) of queries (B, R, 3, 3) or (1, R, 3, 3) for clouds (B, N, 3), metres; each is encoded once."""
        return self.implicit_model(self.backbone(points), query)


def ball_edges(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """Edges from points to centres: the first k points of the cloud within the radius, as in PointNet++.

    `geometry.neighbours.ball_query` takes the nearest k, a smaller neighbourhood than the published weights were
    trained with: the first points of a cloud in farthest-point order are spread over the ball.
    `centres` (B, M, 3), metres. `points` (B, N, 3), metres. `radius`: metres; a point at exactly this distance is
    included. `k`: largest number of points per centre. Returns (2, E) int64: indices into the points of the whole batch
    (B N) and into its centres (B M).
    """
    # The product form of the distance suffers cancellation for close points.
    distance = torch.cdist(centres, points, compute_mode="donot_use_mm_for_euclid_dist")
    inside = distance <= radius
    chosen = inside & (inside.cumsum(-1, dtype=torch.int32) <= k)
    cloud, centre, point = chosen.nonzero(as_tuple=True)
    return torch.stack([cloud * points.shape[1] + point, cloud * centres.shape[1] + centre])


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear, ReLU and batch norm between each two widths."""
    steps = (nn.Sequential(nn.Linear(a, b), nn.ReLU(inplace=True), BatchNorm1d(b)) for a, b in pairwise(widths))
    return nn.Sequential(*steps)
