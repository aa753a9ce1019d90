"""Base class of all metrics: the facts of a column in tables, and the mean and spread of single samples."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import rank_zero_warn

PRINTED_UNITS = {"cm^2": "cm²", "cm^3": "cm³", "deg": "°", "m^2 x 100": "m²·100", "m/s^2": "m/s²", "share": "", "1": ""}
"""Units as headings of tables write them, where that is not as `SampleMetric.unit` does."""


class SampleMetric(Metric):
    """Mean over samples, with the standard deviation and the number of samples that have no value.

    A class is a column of tables: all that is printed of it is said here, once. `dexzoo.metrics.columns` lists them.

    A NaN is a sample without a value: a clip of one frame has no variance, a diverged simulation no displacement. It
    is counted in `n_nan` and excluded from the mean, and `compute` warns about it, because a mean over the successful
    samples is too good. The states are float64 sums, so a distributed run gives the same value as a single process.

    A subclass sets the class attributes below and has a method `measure`. As input to `update`: the arguments of
    `measure`; by name there may be others beside them, which are left out.

    As output of `compute`: a tensor (), or with `output="summary"` a dict of tensors () `mean`, `sd` (of the sample, n
    - 1; NaN for fewer than two values), `n` and `n_nan`.
    """

    key: ClassVar[str]
    """Name of the column in files and logs, with its unit."""
    heading: ClassVar[str] = ""
    """Name in the tables of runs, without the unit; "" for a column that is in files only."""
    unit: ClassVar[str]
    """Unit of the reported number."""
    per_si: ClassVar[float] = 1.0
    """Reported units per SI unit."""
    digits: ClassVar[int | None] = None
    """Decimals in tables; None: what the size of the number asks for, see `tables.format_spread`."""
    source: ClassVar[str]
    """Author of the definition."""
    higher_is_better: ClassVar[bool | None] = False  # type: ignore[assignment]
    """None where neither direction is better as such."""
    is_differentiable = False
    full_state_update = False

    measure: Callable[..., Tensor]
    """Values (B,) of a batch, SI units, NaN where a sample has none."""

    total: Tensor
    total_square: Tensor
    n: Tensor
    n_nan: Tensor

    def __init__(self, output: Literal["mean", "summary"] = "mean") -> None:
        super().__init__()
        if output not in ("mean", "summary"):
            raise ValueError(f"output: expected 'mean' or 'summary', found {output!r}")
        self.output = output
        for state in ("total", "total_square", "n", "n_nan"):
            kind = torch.int64 if state in ("n", "n_nan") else torch.float64
            self.add_state(state, torch.zeros((), dtype=kind), dist_reduce_fx="sum")

    @classmethod
    def title(cls) -> str:
        """The heading with its unit: `AVE (cm²)`."""
        unit = PRINTED_UNITS.get(cls.unit, cls.unit)
        return f"{cls.heading} ({unit})" if unit else cls.heading

    @classmethod
    def definition(cls) -> str:
        """The first sentence of the docstring."""
        return " ".join((cls.__doc__ or "").partition(":")[0].split())

    @classmethod
    def better(cls) -> str:
        """The better direction: "higher", "lower", or "-"."""
        return "-" if cls.higher_is_better is None else "higher" if cls.higher_is_better else "lower"

    @classmethod
    def inputs(cls) -> set[str]:
        """Names of the arguments of `measure`."""
        return {*inspect.signature(cls.measure).parameters} - {"self"}

    def update(self, *inputs: object, **named: object) -> None:
        """Adds a batch."""
        self.add(self.measure(*inputs, **{name: named[name] for name in self.inputs() & named.keys()}))

    def add(self, values: Tensor) -> None:
        """Adds samples (B,), SI units, NaN where one has no value, to the states."""
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
            found = (
                f"{int(self.n_nan)} of {int(self.n + self.n_nan)} samples have no value (NaN) and are not in the mean"
            )
            rank_zero_warn(f"{type(self).__name__}: {found}; report their number along with it")
        mean = self.total / self.n
        if self.output == "mean":
            return mean
        squares = (self.total_square - self.total * mean).clamp(min=0)
        sd = (squares / (self.n - 1).clamp(min=0)).sqrt()
        return {"mean": mean, "sd": sd, "n": self.n.clone(), "n_nan": self.n_nan.clone()}


def measured(columns: Iterable[type[SampleMetric]], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values (B,) by key, in the unit of the column, NaN where a sample has none, of those columns whose arguments of
    `measure` are all among the inputs, by name.
    """
    usable = [column for column in columns if column.inputs() <= inputs.keys()]
    return {c.key: c.per_si * c().measure(**{name: inputs[name] for name in c.inputs()}) for c in usable}
