"""Contact predictors, of how closely a hand touches each point of an object: ours, and the published network."""

from .model import ContactMap, ContactPredictor, OfficialContactMap
from .task import ContactPrediction

__all__ = [
    "ContactMap",
    "ContactPrediction",
    "ContactPredictor",
    "OfficialContactMap",
]
