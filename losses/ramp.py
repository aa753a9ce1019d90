"""Weights that rise or fall during training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ramp:
    """A weight that is 0 up to a given share of the training, then goes linearly from one value to another, and stays
    there.

    Given in shares, not epochs, so that it is complete at the end of a training of any length.

    Attributes:
        start: weight at share `first`.
        end: weight from share `last` on.
        first: share of the training at which the ramp begins, in [0, 1).
        last: share at which the ramp ends, in [first, 1].

    Raises ValueError: shares outside [0, 1], or in the wrong order.
    """

    start: float
    end: float
    first: float
    last: float

    def __post_init__(self) -> None:
        if not (0 <= self.first <= self.last <= 1 and self.first < 1):
            raise ValueError(
                "loss: expected a ramp between shares of the training, 0 <= first <= last <= 1 and first < 1, "
                f"found first={self.first:g}, last={self.last:g}; epochs are divided by the trainer's max_epochs"
            )

    def value_at(self, progress: float) -> float:
        """The weight after this share of the training."""
        if progress < self.first:
            return 0.0
        share = min(1.0, (progress - self.first) / max(self.last - self.first, 1e-9))
        return self.start + share * (self.end - self.start)
