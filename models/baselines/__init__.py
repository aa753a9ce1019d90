"""Baselines, under the same contracts as our own models."""

from .interpolation import HoldStill, Interpolation, Linear, MinimumJerk, TimedInterpolation

__all__ = ["HoldStill", "Interpolation", "Linear", "MinimumJerk", "TimedInterpolation"]
