"""GraspIPDF: the density over palm rotations given the cloud of an object (UniDexGrasp, CVPR 2023, 3.1)."""

import math

import torch
from torch import Tensor, nn

from ...blocks.eval_mode import eval_mode
from ...published.pointnet import initialise
from ...published.unidexgrasp_ipdf import IPDFNetwork
from ..base import check_request
from .rotation_grid import VOLUME, random_rotations, rotation_grid


class GraspIPDF(nn.Module):
    """Implicit-PDF (Murphy et al. 2021): a network scores a rotation, a softmax over many makes it a density.

    A rotation here is object_from_hand, that of the palm in the frame of the cloud. The network's query is its
    transpose; `net` has the layout of the published file, which `load_official(path, ipdf)` reads.

    Args:
        n_points: number of cloud points used: the first ones, which are a farthest-point subset.
        grid_level: level of the grid whose cells are sampled: 2 has 4,608 rotations, 15 degrees apart.
        n_queries: number of random rotations that normalise a density in training.

    Raises ValueError: a number is too small.
    """

    grid: Tensor

    def __init__(self, *, n_points: int = 1024, grid_level: int = 2, n_queries: int = 4096) -> None:
        super().__init__()
        for name, value, least in (("n_points", n_points, 1), ("n_queries", n_queries, 2)):
            if value < least:
                raise ValueError(f"{name}: expected {least} or more, found {value}")
        self.n_points, self.n_queries = n_points, n_queries
        self.net = IPDFNetwork()
        initialise(self.net)
        self.register_buffer("grid", rotation_grid(grid_level).float(), persistent=False)

    def scores(self, points: Tensor, rotations: Tensor) -> Tensor:
        """Logarithm of the density of rotations, up to a constant per cloud.

        `points` (B, N, 3), metres, object frame centred on the cloud; B >= 2 in training (batch norm). `rotations`
        (B, R, 3, 3), or (R, 3, 3) for all clouds; object_from_hand. Returns (B, R). Raises ValueError: wrong shapes.
        """
        _check(points, rotations)
        query = rotations.mT if rotations.ndim == 4 else rotations.mT.unsqueeze(0)
        return self.net(points[:, : self.n_points], query)

    def negative_log_likelihood(self, points: Tensor, rotation: Tensor) -> Tensor:
        """Mean of -log p(truth), where p sums to 1 over a set of rotations that contains the truth.

        In training, `n_queries` uniform random rotations shared by the batch; in eval mode the grid, so that validation
        is reproducible. Both are rotated, cloud by cloud, so that one of them is the truth.
        `points` (B, N, 3), metres, object frame centred on the cloud; B >= 2 in training (batch norm). `rotation`
        (B, 3, 3), object_from_hand. Returns scalar, nats, of a density per volume of SO(3) of pi^2: 2.29 for a uniform
        one. Raises ValueError: wrong shapes.
        """
        if rotation.ndim != 3:
            raise ValueError(f"rotation: expected shape (B, 3, 3), found {tuple(rotation.shape)}")
        turns = random_rotations(self.n_queries, device=points.device) if self.training else self.grid
        scores = self.scores(points, aligned(turns, rotation))
        n = scores.shape[1]
        return -scores.log_softmax(dim=1)[:, -1].mean() - math.log(n / VOLUME)

    @torch.no_grad()
    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Samples cells of the grid by their probability, always in eval mode.

        A sample is the centre of its cell: at level 2 any rotation is within 16 degrees of one, 7 on average.
        `points` (B, N, 3), metres, object frame centred on the cloud. `n`: rotations per cloud, 1 or more. `generator`:
        the only source of random numbers; PyTorch's global one by default. `temperature`: divides the logarithm of the
        density; 0 gives the best cell n times. Returns (B, n, 3, 3), object_from_hand. Raises ValueError: wrong shape,
        `n` less than 1 or `temperature` less than 0.
        """
        if n < 1:
            raise ValueError(f"n: expected 1 or more rotations per cloud, found {n}")
        if temperature < 0:
            raise ValueError(f"temperature: expected 0 or more, found {temperature}")
        with eval_mode(self):
            scores = self.scores(points, self.grid)
        if temperature == 0:
            return self.grid[scores.argmax(dim=1, keepdim=True).expand(-1, n)]
        device = scores.device if generator is None else generator.device
        each = (scores / temperature).softmax(dim=1).to(device)
        # Cloud by cloud, so that the samples of one do not depend on the batching.
        cells = [torch.multinomial(p, n, replacement=True, generator=generator) for p in each]
        return self.grid[torch.stack(cells).to(self.grid.device)]


def aligned(turns: Tensor, rotation: Tensor) -> Tensor:
    """Rotates a set of rotations so that the last one is the truth, G R_last R_i^T; Haar measure is preserved.

    On the queries Q = G^T this is the published Q_i Q_last^T Q.
    `turns` (R, 3, 3); `rotation` (B, 3, 3), the truth. Returns (B, R, 3, 3).
    """
    return rotation.unsqueeze(1) @ (turns[-1] @ turns.mT)


def _check(points: Tensor, rotations: Tensor) -> None:
    check_request(points)
    shape = tuple(rotations.shape)
    if shape[-2:] != (3, 3) or len(shape) not in (3, 4) or (len(shape) == 4 and shape[0] != len(points)):
        raise ValueError(f"rotations: expected (R, 3, 3), or ({len(points)}, R, 3, 3) for each cloud, found {shape}")
