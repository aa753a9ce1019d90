"""Learning-rate schedules whose lengths are shares of the training, so that they fit any length."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau


def halving(optimizer: Optimizer, total_steps: int, every: float = 0.142, lowest: float = 1e-5) -> LambdaLR:
    """Halves the learning rate at regular intervals until it is at most `lowest`.

    The published training checks and halves every 40 of its "epochs", which are 100 steps each: 5e-4 ends at 7.8e-6
    after 24,000 steps, 1e-3 at the same value after 28,000. So does a training of 28,170 steps with the default
    `every`.
    `optimizer`: the optimiser whose learning rates are scaled, each group separately; `total_steps`: of the training;
    `every`: share of the training between halvings, in (0, 1); `lowest`: rates of at most this value are kept.
    Raises ValueError: `every` is not within (0, 1) or `lowest` not positive.
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

    `optimizer`: the optimiser whose learning rates are scaled; `epochs`: number of epochs of the training.
    """
    return CosineAnnealingLR(optimizer, epochs)


def plateau(optimizer: Optimizer, validations: int, patience: float, factor: float) -> ReduceLROnPlateau:
    """Lowers the learning rate when validation no longer improves.

    `optimizer`: the optimiser whose learning rates are scaled; `validations`: number of validations of the training;
    `patience`: share of validations without improvement before that, in [0, 1); `factor`: the factor.
    Raises ValueError: `patience` is not within [0, 1).
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
