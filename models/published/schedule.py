"""Learning-rate schedules whose lengths are shares of the training, so that they fit one of any length."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau


def halving(optimizer: Optimizer, total_steps: int, every: float = 0.142, lowest: float = 1e-5) -> LambdaLR:
    """Halves the learning rate at equal distances until it is no longer above `lowest`.

    The published training checks and halves every 40 of its "epochs", which are 100 steps each: 5e-4 ends as 7.8e-6
    after 24,000 steps, 1e-3 as the same after 28,000. A training of 28,170 steps does so with the default `every`.

    Args:
        optimizer: whose learning rates are scaled, of each group by its own.
        total_steps: of the training.
        every: share of the training between halvings, in (0, 1).
        lowest: a rate of this or less is kept.

    Raises:
        ValueError: `every` is not within (0, 1) or `lowest` not positive.
    """
    if not 0 < every < 1 or lowest <= 0:
        raise ValueError(
            f"every, lowest: expected a share of the training between 0 and 1 and a positive rate, found {every} and "
            f"{lowest}"
        )
    steps = max(1, round(every * total_steps))
    return LambdaLR(optimizer, [_Halving(group["lr"], steps, lowest) for group in optimizer.param_groups])


def cosine(optimizer: Optimizer, epochs: int) -> CosineAnnealingLR:
    """Lowers the learning rate to zero along a cosine, epoch by epoch.

    Args:
        optimizer: whose learning rates are scaled.
        epochs: of the training.
    """
    return CosineAnnealingLR(optimizer, epochs)


def plateau(optimizer: Optimizer, validations: int, patience: float, factor: float) -> ReduceLROnPlateau:
    """Lowers the learning rate where a validation no longer improves.

    Args:
        optimizer: whose learning rates are scaled.
        validations: of the training.
        patience: share of them without improvement before that, in [0, 1).
        factor: by which.

    Raises:
        ValueError: `patience` is not within [0, 1).
    """
    if not 0 <= patience < 1:
        raise ValueError(f"patience: expected a share of the validations, in [0, 1), found {patience}")
    return ReduceLROnPlateau(optimizer, factor=factor, patience=round(patience * validations))


class _Halving:
    def __init__(self, first: float, every: int, lowest: float) -> None:
        self.every, self.most = every, 0
        while first * 0.5**self.most > lowest:
            self.most += 1

    def __call__(self, step: int) -> float:
        return 0.5 ** min(step // self.every, self.most)
