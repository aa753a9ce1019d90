"""GraspGlow of UniDexGrasp (Xu et al., CVPR 2023) with the names and shapes of its files.

A Glow (Kingma and Dhariwal, NeurIPS 2018) with additive couplings: no layer's determinant depends on its input, so the
flow changes volume by a constant factor, and of several samples the one with the least noise is the most likely.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, relu, softplus

from ..blocks.across_ranks import BatchNorm1d, joint_moments
from .pointnet import PublishedPointNet, initialise

_LEAST = 1e-3  # lower bound of initial standard deviations, and of the diagonal of U


class Transform(nn.Module, ABC):
    """An invertible map of states whose volume change is the same everywhere."""

    dummy_buffer: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("dummy_buffer", torch.zeros(1))  # in the files, but unused

    @abstractmethod
    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Maps states (B, D) with condition (B, F) towards noise, (B, D)."""

    @abstractmethod
    def inverse(self, y: Tensor, feature: Tensor) -> Tensor:
        """Undoes `forward`."""

    @abstractmethod
    def log_volume(self) -> Tensor:
        """Scalar: log of the absolute determinant of the Jacobian of `forward`."""


class ActNorm(Transform):
    """A scale and a shift for each dimension, initialised to standardise the first training batch (in a distributed
    run, that of all processes together).

    Args:
        size: dimensions D.
    """

    initialized: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.log_scale, self.shift = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        self.register_buffer("initialized", torch.tensor(False))
        self._known = False  # initialized: reading the buffer at every step would wait for an accelerator
        self.register_load_state_dict_pre_hook(_forget)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        if self.training and not self._known:
            if not self.initialized:
                self._standardise(x)
            self._known = True
        return self.log_scale.exp() * x + self.shift

    def inverse(self, y: Tensor, feature: Tensor) -> Tensor:
        return (y - self.shift) * (-self.log_scale).exp()

    def log_volume(self) -> Tensor:
        return self.log_scale.sum()

    @torch.no_grad()
    def _standardise(self, x: Tensor) -> None:
        count, mean, squares = joint_moments(x)
        sd = (squares / (count - 1)).sqrt().clamp_min(_LEAST)
        self.log_scale.copy_(-sd.log())
        self.shift.copy_(-mean / sd)
        self.initialized.fill_(True)


def _forget(norm: ActNorm, *state: Any) -> None:
    """Loaded weights may be those of an `ActNorm` before its first batch."""
    norm._known = False


class LULinear(Transform):
    """x -> L U x + b with unit lower L and upper U; the identity at first.

    Args:
        size: dimensions D.
    """

    lower_index: Tensor
    upper_index: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        entries = size * (size - 1) // 2
        self.bias = nn.Parameter(torch.zeros(size))
        self.lower_entries, self.upper_entries = nn.Parameter(torch.zeros(entries)), nn.Parameter(torch.zeros(entries))
        start = math.log(math.expm1(1 - _LEAST))  # its softplus is 1 - _LEAST
        self.unconstrained_upper_diag = nn.Parameter(torch.full((size,), start))
        # Row by row, the order of the entries in the files.
        self.register_buffer("lower_index", torch.tril_indices(size, size, -1), persistent=False)
        self.register_buffer("upper_index", torch.triu_indices(size, size, 1), persistent=False)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        lower, upper = self._factors()
        return linear(linear(x, upper), lower, self.bias)

    def inverse(self, y: Tensor, feature: Tensor) -> Tensor:
        lower, upper = self._factors()
        x = torch.linalg.solve_triangular(lower, (y - self.bias).mT, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, x, upper=True).mT

    def log_volume(self) -> Tensor:
        return self._diagonal().log().sum()

    def _diagonal(self) -> Tensor:
        return softplus(self.unconstrained_upper_diag) + _LEAST

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L and U, (D, D) each."""
        diagonal = self._diagonal()
        zeros = torch.zeros_like(diagonal).expand(len(diagonal), -1)
        unit = torch.eye(len(diagonal), device=diagonal.device, dtype=diagonal.dtype)
        lower = unit.index_put((*self.lower_index,), self.lower_entries)
        upper = zeros.index_put((*self.upper_index,), self.upper_entries) + diagonal.diag()
        return lower, upper


class ResidualBlock(nn.Module):
    """BatchNorm, ReLU, linear, BatchNorm, ReLU, dropout, linear; added to its input.

    Args:
        width: channels.
        drop: share of the channels that are dropped out.
    """

    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.batch_norm_layers = nn.ModuleList(BatchNorm1d(width, eps=1e-3) for _ in range(2))
        self.linear_layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, width) to (B, width)."""
        hidden = self.linear_layers[0](relu(self.batch_norm_layers[0](x)))
        hidden = dropout(relu(self.batch_norm_layers[1](hidden)), self.drop, self.training)
        return x + self.linear_layers[1](hidden)


class CouplingNet(nn.Module):
    """Network that predicts the shift of one part of a state from the other part and the condition.

    Args:
        n_in: dimensions of the input part.
        n_out: dimensions of the shifted part.
        feature: features F of the condition, which enters the first layer only.
        width: channels.
        drop: see `ResidualBlock`.
    """

    def __init__(self, n_in: int, n_out: int, feature: int, width: int, drop: float) -> None:
        super().__init__()
        self.initial_layer = nn.Linear(n_in + feature, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, drop) for _ in range(2))
        self.final_layer = nn.Linear(width, n_out)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Shifts (B, n_out) from parts (B, n_in) and conditions (B, F)."""
        hidden = self.initial_layer(torch.cat([x, feature], dim=-1))
        for block in self.blocks:
            hidden = block(hidden)
        return self.final_layer(hidden)


class AdditiveCoupling(Transform):
    """Shifts every other dimension by a network of the rest (NICE: Dinh et al. 2015).

    Args:
        size: dimensions D.
        first: 0 or 1, the first unchanged dimension.
        feature, width, drop: see `CouplingNet`.
    """

    identity_features: Tensor
    transform_features: Tensor

    def __init__(self, size: int, first: int, feature: int, width: int, drop: float) -> None:
        super().__init__()
        self.register_buffer("identity_features", torch.arange(first, size, 2))
        self.register_buffer("transform_features", torch.arange(1 - first, size, 2))
        n_in, n_out = len(self.identity_features), len(self.transform_features)
        self.transform_net = CouplingNet(n_in, n_out, feature, width, drop)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        return x.index_add(-1, self.transform_features, self._shift(x, feature))

    def inverse(self, y: Tensor, feature: Tensor) -> Tensor:
        return y.index_add(-1, self.transform_features, -self._shift(y, feature))

    def log_volume(self) -> Tensor:
        return self.dummy_buffer.new_zeros(())  # a shift preserves volume

    def _shift(self, x: Tensor, feature: Tensor) -> Tensor:
        return self.transform_net(x[:, self.identity_features], feature)


class Composite(Transform):
    """Transforms one after the other.

    Args:
        transforms: from the data to the noise.
    """

    def __init__(self, transforms: list[Transform]) -> None:
        super().__init__()
        self._transforms = nn.ModuleList(transforms)

    def __iter__(self) -> Iterator[Transform]:
        """The transforms, from the data to the noise."""
        return (cast(Transform, transform) for transform in self._transforms)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        for transform in self:
            x = transform(x, feature)
        return x

    def inverse(self, y: Tensor, feature: Tensor) -> Tensor:
        for transform in reversed([*self]):
            y = transform.inverse(y, feature)
        return y

    def log_volume(self) -> Tensor:
        return torch.stack([transform.log_volume() for transform in self]).sum()


class _Transformed(nn.Module):
    """A level of the key hierarchy in the files."""

    def __init__(self, transform: Composite) -> None:
        super().__init__()
        self._transform = transform

    @property
    def transform(self) -> Composite:
        """The transforms."""
        return self._transform


class ConditionalGlow(nn.Module):
    """Density of states given a condition: `steps` times ActNorm, LU-linear and additive coupling, then N(0, I).

    Args:
        size: dimensions D of a state.
        feature: features F of the condition.
        steps: number of triples of transforms; the couplings alternate in what they shift.
        width: channels of a coupling's network.
        drop: its dropout.

    Attributes:
        initialized: whether the ActNorms have seen their first batch.

    Raises ValueError: a state of fewer than 2 dimensions, which cannot be split, or `steps` below 1.
    """

    initialized: Tensor

    def __init__(self, size: int, feature: int, *, steps: int = 21, width: int = 64, drop: float = 0.5) -> None:
        super().__init__()
        if size < 2 or steps < 1:
            raise ValueError(f"size, steps: expected at least 2 dimensions and 1 step, found {size} and {steps}")
        self.size = size
        self.register_buffer("initialized", torch.tensor(False))
        transforms: list[Transform] = []
        for step in range(steps):
            coupling = AdditiveCoupling(size, step % 2, feature, width, drop)
            transforms += [ActNorm(size), LULinear(size), coupling]
        self.flow = _Transformed(Composite(transforms))
        initialise(self)
        for module in self.modules():
            if isinstance(module, CouplingNet):
                # Near the identity, as in the paper of Glow: 21 random couplings would amplify rounding errors without
                # bound.
                nn.init.xavier_normal_(module.final_layer.weight, gain=0.01)

    def log_density(self, x: Tensor, feature: Tensor) -> Tensor:
        """(B,), nats: log p of states (B, D) given (B, F). The first call in training initialises the ActNorms."""
        transform = self.flow.transform
        noise = transform(x, feature)
        if self.training:
            self.initialized.fill_(True)
        base = -0.5 * (noise.square().sum(-1) + self.size * math.log(2 * math.pi))
        return base + transform.log_volume()

    def forward(self, noise: Tensor, feature: Tensor) -> Tensor:
        """States (B, D) from noise (B, D), differentiable in noise, feature and weights; see `log_density`."""
        return self.flow.transform.inverse(noise, feature)


class UniDexGraspGlow(nn.Module):
    """Translation and joints of a hand, given the cloud in the hand's orientation; the flow has 1.79 million
    parameters.

    Args:
        size: dimensions D of a state: translation 3 (metres), joints J (radians).
        steps, width, drop: see `ConditionalGlow`.
    """

    def __init__(self, size: int = 25, *, steps: int = 21, width: int = 64, drop: float = 0.5) -> None:
        super().__init__()
        self.encoder = PublishedPointNet(transform=True)
        self.flow = ConditionalGlow(size, 1024, steps=steps, width=width, drop=drop)
        initialise(self.encoder)

    def condition(self, points: Tensor) -> Tensor:
        """Feature (B, 1024) of clouds (B, N, 3), metres, rotated to the orientation of the hand."""
        return self.encoder(points)[0]
