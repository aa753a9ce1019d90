"""Metrics of predicted contact maps, one value per grasp, over N points of the object.

The arguments of `measure` have one name for one thing across the classes:

- expected, target: (B, N), mean of the predicted contact, and the true contact, in [0, 1].
- pred_bins, target_bins: (B, N), the likeliest class of a point, and its true one.
- pred_touch, target_touch: (B, N), bool, points within 5 mm of the hand.
- logits: (B, N, bins), of the classes.
"""

from torch import Tensor

from .base import SampleMetric
from .functional.contact_map import calibration_error, contact_f1


class BinAccuracy(SampleMetric):
    """Share of points whose likeliest class is the true one, of the network's own classes: higher is better. With fewer
    classes it is easier.
    """

    key, heading, unit, source, higher_is_better = "bin_accuracy", "bin accuracy", "1", "dexzoo", True

    def measure(self, pred_bins: Tensor, target_bins: Tensor) -> Tensor:
        return (pred_bins == target_bins).double().mean(1)


class ContactF1(SampleMetric):
    """F1 of the points within 5 mm of the hand: higher is better."""

    key, heading, unit, source, higher_is_better = "contact_f1", "F1 at 5 mm", "1", "threshold of GraspTTA", True

    def measure(self, pred_touch: Tensor, target_touch: Tensor) -> Tensor:
        return contact_f1(pred_touch, target_touch)


class ContactError(SampleMetric):
    """Mean absolute error of the contact: lower is better."""

    key, heading, unit, source = "contact_mae", "mean error", "1", "dexzoo"

    def measure(self, expected: Tensor, target: Tensor) -> Tensor:
        return (expected - target).abs().mean(1)


class CalibrationError(SampleMetric):
    """Difference between the probability of the likeliest class and its frequency of being right: lower is better."""

    key, heading, unit, source = "calibration_error", "calibration error", "1", "Guo et al., ICML 2017"

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return calibration_error(logits, target)
