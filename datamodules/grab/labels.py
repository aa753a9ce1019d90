"""Contact labels, per vertex and as sets of labels that touch the object in each frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile
from .objects import NUM_LABELS
from .sequence import number_of, read_items

_BODY_VERTICES = 10475
_FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class ContactLabels:
    """Contact labels of T frames; 0 = no contact, otherwise the body part (see `objects.RIGHT_HAND`)."""

    object: NDArray  # (T, V), integers, one for each vertex of the full mesh of the object, not of a decimated one
    body: NDArray  # (T, 10475), integers, one for each vertex of SMPL-X


def read_labels(path: Path, n_frames: int | None = None) -> ContactLabels:
    """Reads the labels of a sequence: about 30 MB to 1 GB, so they are read on request and not kept.

    The file gives the number of frames if `n_frames` does not. Raises BadFile for labels that are missing, of the wrong
    shape, not integers, or not within 0 to 55.
    """
    items = read_items(path, ("contact", "n_frames"))
    contact = items["contact"]
    if not isinstance(contact, dict):
        raise BadFile(path, "a dict of labels for 'object' and 'body'", type(contact).__name__, key="contact")
    n_frames = int(number_of(path, items, "n_frames")) if n_frames is None else n_frames
    return ContactLabels(
        object=_checked(path, contact, "object", n_frames), body=_checked(path, contact, "body", n_frames)
    )


def touching(labels: NDArray) -> NDArray[np.uint64]:
    """The set of labels (T, V), 0 to 55, in each frame as a bit mask (T,), uint64: bit k is set if some vertex has
    label k.
    """
    power = np.uint64(1) << np.arange(NUM_LABELS, dtype=np.uint64)
    parts = [
        np.bitwise_or.reduce(
            power[labels[first : first + _FRAMES_AT_ONCE]], axis=1
        )  # all at once would take 8 T V bytes
        for first in range(0, len(labels), _FRAMES_AT_ONCE)
    ]
    return np.concatenate(parts)


def mirrored(touch: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The sets of labels with left and right hand swapped: fingers 26 to 40 and 41 to 55, hands 21 and 22."""
    fingers = np.uint64((1 << 15) - 1)
    one, left, right = np.uint64(1), np.uint64(26), np.uint64(41)
    kept = touch & ~((fingers << left) | (fingers << right) | (one << np.uint64(21)) | (one << np.uint64(22)))
    swapped = ((touch >> left) & fingers) << right | ((touch >> right) & fingers) << left
    hands = ((touch >> np.uint64(21)) & one) << np.uint64(22) | ((touch >> np.uint64(22)) & one) << np.uint64(21)
    return kept | swapped | hands


def _checked(path: Path, contact: dict[str, Any], key: str, n_frames: int) -> NDArray:
    where, value = f"contact[{key!r}]", contact.get(key)
    wide = f"{_BODY_VERTICES}" if key == "body" else "V"
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "iu" or not value.size:
        found = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise BadFile(path, f"({n_frames}, {wide}) integers", found, key=where)
    if len(value) != n_frames or (key == "body" and value.shape[1] != _BODY_VERTICES):
        raise BadFile(path, f"({n_frames}, {wide}) integers", f"{value.shape}", key=where)
    low, high = int(value.min()), int(value.max())
    if low < 0 or high >= NUM_LABELS:
        raise BadFile(path, f"labels 0 to {NUM_LABELS - 1}", f"{low} to {high}", key=where)
    return value
