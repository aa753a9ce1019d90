"""The training loss of grasp models: a weighted sum of their terms, some of which rise during the training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ...datamodules.types import GraspBatch
from ...losses.ramp import Ramp
from ...losses.weighted import weighted_sum
from .base import GraspModel


@dataclass(frozen=True)
class Loss:
    """Of a batch.

    Attributes:
        total: the weighted sum, a scalar.
        weighed: the terms in it, unweighted.
        terms: those and the others that the network computed beside them.
    """

    total: Tensor
    weighed: dict[str, Tensor]
    terms: dict[str, Tensor]


class Objective:
    """Weights of the terms of a grasp model's `forward`.

    Args:
        loss: weight of each term; those of weight 0 are not computed.
        warmup: term to (first, last), shares of the training between which its weight rises from 0; that of a term of
            weight 0 is not used.
        method: name of the model, for messages.

    Raises ValueError: a warm-up that is not between two shares.
    """

    def __init__(self, loss: Mapping[str, float], warmup: Mapping[str, Sequence[float]], method: str) -> None:
        self.weights = {name: float(weight) for name, weight in loss.items() if weight}
        rising = {name: ends for name, ends in warmup.items() if loss.get(name) != 0}
        self.ramps = {name: Ramp(0.0, 1.0, *map(float, ends)) for name, ends in rising.items()}
        self.method = method

    def weights_at(self, progress: float) -> dict[str, float]:
        """Weights of the terms, when this share of the training is done, of those that are not 0 at its end."""
        ramps = self.ramps
        return {
            name: w * (ramps[name].value_at(progress) if name in ramps else 1.0) for name, w in self.weights.items()
        }

    def __call__(self, network: GraspModel, batch: GraspBatch, progress: float) -> Loss:
        """The loss of a batch, when this share of the training is done.

        Raises ValueError: a weight or warm-up of a term that the model does not have, at the first batch.
        """
        weights = self.weights_at(progress)
        if progress > 0:  # the first batch computes all terms, so that a wrong name is told at once
            weights = {name: weight for name, weight in weights.items() if weight}
        terms = network(batch, frozenset(weights))
        unknown = sorted((weights.keys() | self.ramps.keys() if progress == 0 else weights.keys()) - terms.keys())
        if unknown:
            raise ValueError(f"loss: expected terms of {self.method!r}, {sorted(terms)}, found {', '.join(unknown)}")
        weighed = {name: terms[name] for name in weights}
        return Loss(weighted_sum(weighed, weights), weighed, terms)
