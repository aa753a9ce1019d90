"""The learning rate of RealDex and UniDexGrasp, as their training counts it."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def halving(optimizer: Optimizer, total_steps: int, every: int = 4000, lowest: float = 1e-5) -> LambdaLR:
    """Halves the learning rate at equal distances until it is no longer above `lowest`.

    The published training checks and halves every 40 of its "epochs", which are 100 steps each: 5e-4 ends as 7.8e-6
    after 24,000 steps, 1e-3 as the same after 28,000.

    Args:
        optimizer: whose learning rates are scaled, of each group by its own.
        total_steps: of the training; the schedule does not depend on it, a shorter training ends at a higher rate.
        every: steps between halvings.
        lowest: a rate of this or less is kept.

    Raises:
        ValueError: `every` below 1 or `lowest` not positive.
    """
    if every < 1 or lowest <= 0:
        raise ValueError(f"every, lowest: expected at least 1 and a positive rate, found {every} and {lowest}")
    return LambdaLR(optimizer, [_Halving(group["lr"], every, lowest) for group in optimizer.param_groups])


class _Halving:
    def __init__(self, first: float, every: int, lowest: float) -> None:
        self.every, self.most = every, 0
        while first * 0.5**self.most > lowest:
            self.most += 1

    def __call__(self, step: int) -> float:
        return 0.5 ** min(step // self.every, self.most)
