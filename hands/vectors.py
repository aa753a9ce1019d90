"""Checked lists of numbers from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from .errors import HandSpecError


def vector(value: Any, where: str, length: int = 3) -> np.ndarray:
    """A list of `length` finite numbers as float64.

    Raises:
        HandSpecError: anything else; `where` names file and key.
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != (length,) or not np.isfinite(array).all():
        raise HandSpecError(f"{where}: expected {length} numbers, found {value!r}")
    return array


def rotation_of(entry: Mapping[str, Any], where: str) -> np.ndarray:
    """(3, 3) rotation of the entry's `rpy` (fixed-axis xyz, radians); the identity without one."""
    return Rotation.from_euler("xyz", vector(entry.get("rpy", [0, 0, 0]), f"{where}: rpy")).as_matrix()
