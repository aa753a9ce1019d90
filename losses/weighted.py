"""Named weighted sums, and a check that their terms are finite."""

from collections.abc import Mapping

import torch
from torch import Tensor


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of weight x term."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


class FiniteWatch:
    """Stops a training whose loss is not finite, without making the host wait for an accelerator at every step.

    Terms on the CPU are checked at once. An accelerator works asynchronously: its result stays there, and is checked
    every `every` calls and by `look`.

    Args:
        every: calls between two checks on an accelerator.
    """

    def __init__(self, every: int = 50) -> None:
        self.every, self._calls = every, 0
        self._broken: dict[str, Tensor] = {}

    def __call__(self, terms: Mapping[str, Tensor]) -> None:
        """Records scalar terms; when a check is due, raises like `look`."""
        for name, term in terms.items():
            broken = ~torch.isfinite(term.detach())
            self._broken[name] = self._broken[name] | broken if name in self._broken else broken
        self._calls += 1
        if self._calls % self.every == 0 or all(term.device.type == "cpu" for term in terms.values()):
            self.look()

    def look(self) -> None:
        """Checks all terms since the last check. Raises ValueError: a term was not finite; the message names it."""
        seen, self._broken = self._broken, {}
        flags = torch.stack([*seen.values()]).tolist() if seen else []
        broken = [name for name, flag in zip(seen, flags, strict=True) if flag]
        if broken:
            raise ValueError(f"loss terms {broken} are not finite; lower the learning rate or inspect the batch")
