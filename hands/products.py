"""Products with rotation matrices, elementwise: autocast and TF32 round matrix products, which are no faster at 3x3."""

from __future__ import annotations

from torch import Tensor


def compose(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for (..., 3, 3), broadcasting."""
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)


def rotate(R: Tensor, x: Tensor) -> Tensor:
    """`R @ x` for (..., 3, 3) and vectors (..., 3), broadcasting."""
    return (R * x.unsqueeze(-2)).sum(-1)
