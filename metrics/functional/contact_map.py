"""How well a predicted contact map fits the true one."""

from __future__ import annotations

import torch
from torch import Tensor


def contact_f1(predicted: Tensor, target: Tensor) -> Tensor:
    """F1 of the points that touch: harmonic mean of precision and recall.

    Args:
        predicted: (B, N), bool.
        target: (B, N), bool.

    Returns:
        (B,); NaN where no point touches in either map.
    """
    both = (predicted & target).sum(1)
    return 2 * both / (predicted.sum(1) + target.sum(1)).double()


def calibration_error(logits: Tensor, target: Tensor, intervals: int = 10) -> Tensor:
    """Expected calibration error: how far the probability given to the most likely bin is from how often it is right.

    Points are put in equal intervals of that probability; the gaps between its mean and the share of hits are averaged,
    weighted by the number of points (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Args:
        logits: (B, N, bins), of the bins of contact, equally wide over [0, 1].
        target: (B, N), true contact in [0, 1].
        intervals: number of them.

    Returns:
        (B,), in [0, 1]; NaN where there is one bin, as for a regression.
    """
    bins = logits.shape[-1]
    if bins == 1:
        return torch.full(logits.shape[:1], torch.nan, device=logits.device)
    confidence, guess = logits.softmax(-1).max(-1)
    hit = (guess == (target * bins).long().clamp_max(bins - 1)).to(confidence)
    interval = (confidence * intervals).long().clamp_max(intervals - 1)
    gaps = confidence.new_zeros(len(logits), intervals).scatter_add_(1, interval, confidence - hit)
    return gaps.abs().sum(1) / logits.shape[1]
