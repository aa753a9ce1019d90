"""Length of a training, and checks of schedules and ramps that are shares of it."""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Length:
    """Length of a training.

    Attributes:
        total_steps: steps of the optimiser.
        epochs: passes over the training data, the last of which may be incomplete.
        validations: number of validations after an epoch.
    """

    total_steps: int
    epochs: int
    validations: int

    @staticmethod
    def of(trainer: L.Trainer) -> Length:
        """Length planned by a trainer. Raises ValueError: no limit, see `total_steps`."""
        steps = total_steps(trainer)
        batches = trainer.accumulate_grad_batches * steps
        epochs = trainer.max_epochs or 0
        if epochs < 1:
            epochs = max(1, math.ceil(batches / max(1, trainer.num_training_batches)))  # 1 for an endless loader
        return Length(steps, epochs, epochs // (trainer.check_val_every_n_epoch or 1))


def schedule_of(make: Any, optimizer: Optimizer, twin: Optimizer, trainer: L.Trainer, monitor: str) -> dict[str, Any]:
    """A schedule for Lightning that counts what it is made for, steps, validations or epochs; warns if it is constant.

    `make`: makes it from an optimiser (a partial), and may take a `Length` by the names of its attributes; `optimizer`:
    whose rate it sets; `twin`: one like it, used up by looking at the schedule; `trainer`: of the training; `monitor`:
    what one that waits for validations watches. Raises ValueError: no limit, see `total_steps`.
    """
    length = Length.of(trainer)
    takes = inspect.signature(make.func).parameters
    lengths = {name: value for name, value in vars(length).items() if name in takes}
    schedule = {"scheduler": make(optimizer, **lengths)}
    if isinstance(schedule["scheduler"], ReduceLROnPlateau):
        schedule |= {
            "monitor": monitor,
            "frequency": trainer.check_val_every_n_epoch,
            "strict": False,  # a fold of the data may have no validation clips
        }
    elif "total_steps" in takes:
        schedule["interval"] = "step"
    warn_of_constant_rate(make(twin, **lengths), length, by_step="total_steps" in takes)
    return schedule


def total_steps(trainer: L.Trainer) -> int:
    """Number of optimiser steps planned by a trainer.

    Raises ValueError: no limit of epochs or steps, of which schedules and ramps could be shares.
    """
    planned = trainer.estimated_stepping_batches
    if math.isinf(planned):
        raise ValueError(
            "max_epochs: expected a number of epochs (or `max_steps`), of which the learning rate's "
            "schedule and the ramps of the loss are shares, found no limit but perhaps `max_time`"
        )
    return max(1, int(planned))


def refuse_unseen_end(trainer: L.Trainer) -> None:
    """Refuses a training whose last epochs are not validated: its best weights would be those of an earlier epoch.

    Raises ValueError: always in that case, unless there are no validation data.
    """
    epochs, every = trainer.max_epochs or 0, trainer.check_val_every_n_epoch or 1
    if epochs > 0 and epochs % every and sum(map(int, trainer.num_val_batches)) > 0:
        raise ValueError(
            f"check_val_every_n_epoch: expected a divisor of max_epochs={epochs}, so that the last "
            f"weights are validated and kept, found {every}; set it to {math.gcd(epochs, every)} or {epochs}"
        )


class OtherTraining(ValueError):
    """A training that can't be resumed as it is asked for; a new one may start from its weights."""


def refuse_other_length(began_with: int | None, steps: int) -> None:
    """Refuses to resume a training with another length, because its schedule and ramps are shares of the original one.

    `began_with`: number of steps planned when the checkpoint was written; None for a new training. `steps`: number of
    steps planned now. Raises OtherTraining: they differ.
    """
    if began_with is not None and began_with != steps:
        raise OtherTraining(
            f"max_epochs: expected the length that the resumed training began with, {began_with} steps, of "
            f"which its learning rate and loss are shares, found {steps}; set it as it was, or start a new training "
            "from its weights"
        )


@rank_zero_only
def warn_of_idle_terms(weights_at: Callable[[float], Mapping[str, float]], steps: int) -> None:
    """Warns of loss terms whose weight is 0 at every step of a training although their final weight is not."""
    last = (steps - 1) / steps
    used, meant = weights_at(last), weights_at(1.0)
    for name, weight in meant.items():
        if weight and not used[name]:
            _log.warning(
                "loss: %s has the weight %g at the end of a training, but 0 at every one of these %d steps, as its "
                "ramp begins after the last of them: it is not trained; train longer, or let it begin earlier",
                name,
                weight,
                steps,
            )


@rank_zero_only
def warn_of_constant_rate(schedule: LRScheduler | ReduceLROnPlateau, length: Length, by_step: bool) -> None:
    """Warns if a schedule never changes the learning rate within a training.

    `schedule`: a schedule of a separate optimiser, which this function uses up. `length`: length of the training.
    `by_step`: whether the schedule counts steps instead of epochs; one that waits for validations counts those.
    """
    waits = isinstance(schedule, ReduceLROnPlateau)
    turns, unit = length.epochs, "epochs"
    if by_step:
        turns, unit = length.total_steps, "steps"
    elif waits:
        turns, unit = length.validations, "validations"
    if turns < 2 or _changes(schedule, turns, [1.0] if waits else []):
        return
    _log.warning(
        "schedule: %s never changes the learning rate within these %d %s%s; train longer, or choose another one",
        type(schedule).__name__,
        turns,
        unit,
        " even if none improves" if waits else "",
    )


def _changes(schedule: Any, turns: int, metric: list[float]) -> bool:
    """Whether the rate at any turn differs from the first one."""
    groups = schedule.optimizer.param_groups
    first = [group["lr"] for group in groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an optimiser that made no step
        for _ in range(turns - 1):
            schedule.step(*metric)
            if any(group["lr"] != rate for group, rate in zip(groups, first, strict=True)):
                return True
    return False


@rank_zero_only
def warn_of_early_stop(progress: float) -> None:
    """Warns that a training stopped before its planned end, so that schedules and ramps were not completed."""
    if progress < 1:
        _log.warning(
            "the training stopped after %.0f %% of its planned steps (`max_time`?): the learning rate and the "
            "weights of the loss, which follow from the planned length, did not come to their ends",
            100 * progress,
        )
