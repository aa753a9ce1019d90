"""One check for every metric of the kind `SampleMetric`: the states against plain numpy, alone and distributed."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dexzoo.metrics.base import SampleMetric
from tests.oracles.motion import mean_and_sd

Batch = Mapping[str, Tensor]
Oracle = Callable[..., float]
"""Takes one sample's inputs as numpy arrays by the names of `update`, returns its value in the reported unit."""


class MetricTester:
    """Checks a metric against an oracle that knows one sample.

    Args:
        make: builds the metric, takes `output`.
        oracle: value of one sample.
        batches: keyword arguments of `update`, each tensor with the batch first; at least two batches.
        rtol: relative tolerance.
    """

    def __init__(
        self,
        make: Callable[..., SampleMetric],
        oracle: Oracle,
        batches: Sequence[Batch],
        rtol: float = 1e-5,
    ) -> None:
        self.make, self.batches, self.rtol = make, batches, rtol
        values = [_oracle_value_of(oracle, batch) for batch in batches]
        self.expected = mean_and_sd(np.concatenate(values))
        self.expected_first = mean_and_sd(values[0])

    def check_all(self) -> None:
        """Runs every check below."""
        self.check_accumulation()
        self.check_batch_value()
        self.check_one_by_one()
        self.check_merge()
        self.check_distributed()
        self.check_reset_and_pickle()

    def check_accumulation(self) -> None:
        """The mean over batches of unequal size is that over all samples, and so are sd and counts."""
        self._compare(self._updated(self.batches).compute(), self.expected)
        mean = self._updated(self.batches, output="mean").compute()
        np.testing.assert_allclose(mean, self.expected[0], rtol=self.rtol)

    def check_batch_value(self) -> None:
        """`forward` returns the value of its batch alone and still accumulates, as Lightning expects."""
        metric = self.make(output="summary")
        self._compare(metric(**self.batches[0]), self.expected_first)
        for batch in self.batches[1:]:
            metric(**batch)
        self._compare(metric.compute(), self.expected)

    def check_one_by_one(self) -> None:
        """Samples passed one by one give what they give in batches."""
        singles = [{k: v[i : i + 1] for k, v in batch.items()} for batch in self.batches for i in range(_size(batch))]
        self._compare(self._updated(singles).compute(), self.expected)

    def check_merge(self) -> None:
        """Two metrics that saw a part each, merged, are the one that saw all."""
        first, rest = self._updated(self.batches[:1]), self._updated(self.batches[1:])
        first.merge_state(rest)
        self._compare(first.compute(), self.expected)

    def check_distributed(self) -> None:
        """Through the synchronisation of torchmetrics, with a gather that stands in for the other rank."""
        first, rest = self._updated(self.batches[:1]), self._updated(self.batches[1:])
        remote = iter([getattr(rest, name) for name in first._reductions])
        first.dist_sync_fn = lambda state, group=None: [state, next(remote)]
        first.distributed_available_fn = lambda: True
        self._compare(first.compute(), self.expected)

    def check_reset_and_pickle(self) -> None:
        """Survives pickling with its states, forgets them on reset, and keeps none in a checkpoint."""
        metric = self._updated(self.batches)
        self._compare(pickle.loads(pickle.dumps(metric)).compute(), self.expected)
        assert metric.state_dict() == {}
        metric.reset()
        metric.update(**self.batches[0])
        self._compare(metric.compute(), self.expected_first)

    def _updated(self, batches: Sequence[Batch], output: str = "summary") -> SampleMetric:
        metric = self.make(output=output)
        for batch in batches:
            metric.update(**batch)
        return metric

    def _compare(self, found: dict[str, Tensor], expected: tuple[float, float, int, int]) -> None:
        values = [float(found[key]) for key in ("mean", "sd", "n", "n_nan")]
        np.testing.assert_allclose(values, expected, rtol=self.rtol, atol=1e-12)


def check_padding_is_ignored(
    function: Callable[..., Tensor], inputs: Batch, mask: Tensor, padded: Sequence[str]
) -> None:
    """What stands in frames outside the mask must not change a value, be it huge, infinite or NaN."""
    expected = function(**inputs, mask=mask)
    for junk in (1e9, math.inf, math.nan):
        frames = mask.reshape(*mask.shape, *[1] * (inputs[padded[0]].ndim - 2))
        filled = {k: torch.where(frames, v, junk) if k in padded else v for k, v in inputs.items()}
        torch.testing.assert_close(function(**filled, mask=mask), expected, rtol=0, atol=0, equal_nan=True)


def _oracle_value_of(oracle: Oracle, batch: Batch) -> np.ndarray:
    samples = ({k: v[i].double().numpy() for k, v in batch.items()} for i in range(_size(batch)))
    return np.array([oracle(**sample) for sample in samples], dtype=np.float64)


def _size(batch: Batch) -> int:
    return len(next(iter(batch.values())))
