"""SAGA-hand: the motion stage of SAGA, applied to a hand."""

from .loss import SagaLoss
from .model import SagaHand, SagaPrediction
from .task import SagaSynthesis

__all__ = [
    "SagaHand",
    "SagaLoss",
    "SagaPrediction",
    "SagaSynthesis",
]
