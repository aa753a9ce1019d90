"""Naive twins of the motion metrics: one clip, numpy in float64, written as the definitions read, loops and all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mpjpe(pred: Array, target: Array, length: int) -> float:
    """Metres, from (T, K, 3) of which `length` frames exist."""
    distances = [math.dist(pred[t, k], target[t, k]) for t in range(length) for k in range(pred.shape[1])]
    return sum(distances) / len(distances) if distances else math.nan


def average_variance_error(pred: Array, target: Array, length: int) -> float:
    """Square metres, from (T, K, 3) of which `length` frames exist."""
    if length < 2:
        return math.nan
    errors = []
    for k in range(pred.shape[1]):
        variances = [np.var(points[:length, k], axis=0, ddof=1) for points in (pred, target)]
        errors.append(math.dist(*variances))
    return sum(errors) / len(errors)


def acceleration_error(pred: Array, target: Array, length: int, fps: float) -> float:
    """m/s^2, from (T, K, 3) of which `length` frames exist."""
    errors = []
    for t in range(1, length - 1):
        for k in range(pred.shape[1]):
            a, b = ((p[t + 1, k] - 2 * p[t, k] + p[t - 1, k]) * fps**2 for p in (pred, target))
            errors.append(math.dist(a, b))
    return sum(errors) / len(errors) if errors else math.nan


def vertex_offset(pred: Array, target: Array, reduce: str = "mean") -> float:
    """Metres, from (V, 3)."""
    distances = [math.dist(p, q) for p, q in zip(pred, target, strict=True)]
    return max(distances) if reduce == "max" else sum(distances) / len(distances)


def rotation_error(pred: Array, target: Array, length: int) -> float:
    """Radians, from (T, 3, 3), by the trace."""
    angles = [math.acos(np.clip((np.trace(pred[t].T @ target[t]) - 1) / 2, -1, 1)) for t in range(length)]
    return sum(angles) / len(angles) if angles else math.nan


def mean_and_sd(values: Array) -> tuple[float, float, int, int]:
    """Mean, sample standard deviation, count and number of NaN of (n,)."""
    known = [v for v in values.tolist() if not math.isnan(v)]
    if not known:
        return math.nan, math.nan, 0, len(values)
    mean = sum(known) / len(known)
    sd = math.sqrt(sum((v - mean) ** 2 for v in known) / (len(known) - 1)) if len(known) > 1 else math.nan
    return mean, sd, len(known), len(values) - len(known)
