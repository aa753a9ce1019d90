"""Base class of all metrics: it takes values of single samples and returns their mean and spread."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import rank_zero_warn


class SampleMetric(Metric):
    """Mean over samples, with the standard deviation and the number of samples that have no value.

    A NaN is a sample without a value: a clip of one frame has no variance, a diverged simulation no displacement. It
    is counted in `n_nan` and excluded from the mean, and `compute` warns about it, because a mean over the successful
    samples is too good. The states are float64 sums, so a distributed run gives the same value as a single process.

    A subclass sets `unit` and `per_si`, and its `update` passes the result of a function of `dexzoo.metrics.functional`
    to `add`.

    As output of `compute`: a tensor (), or with `output="summary"` a dict of tensors () `mean`, `sd` (of the sample, n
    - 1; NaN for fewer than two values), `n` and `n_nan`.

    Args:
        output: what `compute` returns.

    Raises:
        ValueError: `output` is neither "mean" nor "summary".
    """

    unit: ClassVar[str]
    """Unit of the reported number."""
    per_si: ClassVar[float] = 1.0
    """Reported units per SI unit."""
    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    total: Tensor
    total_square: Tensor
    n: Tensor
    n_nan: Tensor

    def __init__(self, output: Literal["mean", "summary"] = "mean") -> None:
        super().__init__()
        if output not in ("mean", "summary"):
            raise ValueError(f"output: expected 'mean' or 'summary', found {output!r}")
        self.output = output
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total_square", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("n_nan", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Adds samples to the states.

        Args:
            values: (B,), SI units, NaN where a sample has no value.
        """
        values = values.detach().double() * self.per_si
        missing = values.isnan()
        known = values[~missing]
        self.total += known.sum()
        self.total_square += known.square().sum()
        self.n += known.numel()
        self.n_nan += missing.sum()

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Mean of the samples that have a value, or the summary; NaN if none has."""
        if self.n_nan > 0:
            rank_zero_warn(
                f"{type(self).__name__}: {int(self.n_nan)} of {int(self.n + self.n_nan)} samples have no value (NaN) "
                f"and are not in the mean; report their number along with it"
            )
        mean = self.total / self.n
        if self.output == "mean":
            return mean
        squares = (self.total_square - self.total * mean).clamp(min=0)
        sd = (squares / (self.n - 1).clamp(min=0)).sqrt()
        return {"mean": mean, "sd": sd, "n": self.n.clone(), "n_nan": self.n_nan.clone()}
