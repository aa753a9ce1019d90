"""Agreement of predicted contact maps with the true ones."""

import torch
from torch import Tensor


def contact_f1(predicted: Tensor, target: Tensor) -> Tensor:
    """F1 score of the touching points, harmonic mean of precision and recall: (B, N), bool, to (B,); NaN if no point
    touches in either map.
    """
    both = (predicted & target).sum(1)
    return 2 * both / (predicted.sum(1) + target.sum(1)).double()


def calibration_error(logits: Tensor, target: Tensor, intervals: int = 10) -> Tensor:
    """Expected calibration error: difference between the probability of the most likely bin and how often it is right.

    Points are grouped into equal intervals of that probability; the gaps between its mean and the accuracy are
    averaged, weighted by the number of points (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Args:
        logits: (B, N, bins), of the bins of contact, equally wide over [0, 1].
        target: (B, N), true contact in [0, 1].
        intervals: their number.

    Returns:
        (B,), in [0, 1]; NaN for a single bin, that is, for a regression.
    """
    bins = logits.shape[-1]
    if bins == 1:
        return torch.full(logits.shape[:1], torch.nan, device=logits.device)
    confidence, guess = logits.softmax(-1).max(-1)
    hit = (guess == (target * bins).long().clamp_max(bins - 1)).to(confidence)
    interval = (confidence * intervals).long().clamp_max(intervals - 1)
    gaps = confidence.new_zeros(len(logits), intervals).scatter_add_(1, interval, confidence - hit)
    return gaps.abs().sum(1) / logits.shape[1]
