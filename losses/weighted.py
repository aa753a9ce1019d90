"""Named weighted sums."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of weight x term.

    Raises:
        ValueError: a term is not finite; the message names it, so that a diverging run says why.
    """
    values = torch.stack([weights[name] * term for name, term in terms.items()])
    total = values.sum()
    if not torch.isfinite(total):
        broken = [name for name, term in terms.items() if not torch.isfinite(term)]
        raise ValueError(f"loss terms {broken} are not finite; lower the learning rate or look at the batch")
    return total
