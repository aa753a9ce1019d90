"""Reaches within a recording: from `segment.txt`, or found by hand motion and contact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile
from .archive import Folder
from .final import JOINTS
from .tables import read_words

Segments = tuple[tuple[int, int], ...]

_FILE = "segment.txt"
_FLEXION = [i for i, name in enumerate(JOINTS) if name[:2] != "TH" and name[-1] in "123"]
_EXPECTED = "rows of two frame numbers, start and end (half-open)"
_HINT = "set whole_recordings=True to take a recording without it as one clip, or on_bad='skip'"


@dataclass(frozen=True)
class SegmentRule:
    """Parameters for finding reaches without `segment.txt`. Seconds, metres, radians.

    A grasp begins where hand and object touch for `hold` or longer (interruptions up to `gap` are bridged). Its reach
    starts at the last earlier frame, at most `before` earlier and after the previous grasp, at which the palm rests
    (slower than `rest`); if it never rests, at the frame at which it is farthest from the place of contact. It ends
    when the fingers are closed (the first frame after the fastest closing with no joint faster than `closed`), or when
    the object has moved by `carried`, at most `after` later. The palm must travel at least `travel`.
    """

    hold: float = 0.3
    gap: float = 0.2
    before: float = 3.0
    after: float = 1.0
    rest: float = 0.05
    closed: float = 0.3
    carried: float = 0.01
    travel: float = 0.05


def read_segments(folder: Folder, n_frames: int, n_hand: int, whole: bool) -> Segments:
    """(start, end) of each row of `segment.txt`, half-open; if it is absent, () or all frames with `whole`.

    `n_frames` frames have hand and object, `n_hand` the hand: a segment may end there, and is truncated to `n_frames`.
    Raises BadFile if the file holds something else.
    """
    if not folder.exists(_FILE):
        return ((0, n_frames),) if whole else ()
    lines = read_words(folder, _FILE)
    try:
        rows = np.array([[float(word) for word in words] for words in lines])
    except ValueError as error:
        raise BadFile(folder.path / _FILE, _EXPECTED, str(error), hint=_HINT) from error
    if not rows.size:
        raise BadFile(folder.path / _FILE, _EXPECTED, "an empty file", hint=_HINT)
    if rows.shape[1] != 2 or (rows % 1 != 0).any() or (np.abs(rows) > 1e9).any():
        raise BadFile(folder.path / _FILE, _EXPECTED, f"{rows[0]} in row 0", hint=_HINT)
    return tuple(_segment(folder, row.astype(int), n_frames, n_hand, i) for i, row in enumerate(rows))


def no_segments(folder: Folder) -> BadFile:
    """The error for a recording without `segment.txt` in which no reach was found."""
    return BadFile(folder.path / _FILE, _EXPECTED, "no such file", hint=f"{_HINT}; no reach was found by contact")


def read_contact(folder: Folder, n_frames: int) -> NDArray[np.int64] | None:
    """Frames in `contact.txt`, None if it is absent; raises BadFile if it holds something else.

    RealDex wrote it for *squared* distances below 1e-3, so its frames are those within 31.6 mm, not 1 mm. They include
    all frames of real contact, so the others need not be measured, but do not imply contact.
    """
    name = "contact.txt"
    if not folder.exists(name):
        return None
    lines = read_words(folder, name)
    try:
        frames = np.unique(np.array([float(word) for words in lines for word in words]))
    except ValueError as error:
        raise BadFile(folder.path / name, "frame numbers", str(error)) from error
    if (frames % 1 != 0).any() or (frames < 0).any():
        raise BadFile(folder.path / name, "frame numbers", f"{frames[(frames % 1 != 0) | (frames < 0)][0]:g}")
    return frames[frames < n_frames].astype(np.int64)


def find_segments(
    touching: NDArray[np.bool_],
    palm: NDArray,
    joints: NDArray,
    object_translation: NDArray,
    fps: float,
    rule: SegmentRule | None = None,
) -> Segments:
    """Reaches by the rule in `SegmentRule`, as (start, end) frames, half-open.

    `touching` (T,) says whether hand and object touch; `palm` and `object_translation` (T, 3) are in metres, world
    frame; `joints` (T, 22) in radians, in the order of `JOINTS`; None for the rule takes its defaults.
    """
    rule, free, found = rule or SegmentRule(), 0, []
    speed = np.linalg.norm(np.gradient(palm, axis=0), axis=1) * fps
    bend = np.gradient(joints, axis=0) * fps
    for first, last in _runs(touching, rule, fps):
        start = _start(palm, speed, max(free, first - round(rule.before * fps)), first, rule)
        end = _end(bend, object_translation, first, min(last, first + round(rule.after * fps)), rule)
        if end - start >= 2 and np.linalg.norm(palm[start:end] - palm[first], axis=1).max() >= rule.travel:
            found.append((start, end))
        free = last
    return tuple(found)


def moving(object_translation: NDArray, object_rotation: NDArray, fps: float) -> NDArray[np.bool_]:
    """(T,), whether the object moves faster than 5 cm/s or 0.5 rad/s: a substitute for contact without a mesh."""
    slide = np.linalg.norm(np.gradient(object_translation, axis=0), axis=1) * fps
    spin = np.linalg.norm(np.gradient(object_rotation, axis=0), axis=(1, 2)) * fps / np.sqrt(2)
    return (slide > 0.05) | (spin > 0.5)


def _runs(touching: NDArray[np.bool_], rule: SegmentRule, fps: float) -> list[tuple[int, int]]:
    """(first, end) of each contact, with short interruptions bridged and short contacts dropped."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], touching, [False]]).astype(int)))
    runs: list[tuple[int, int]] = []
    for first, end in edges.reshape(-1, 2).tolist():
        if runs and first - runs[-1][1] <= rule.gap * fps:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((first, end))
    return [(first, end) for first, end in runs if end - first >= rule.hold * fps]


def _start(palm: NDArray, speed: NDArray, earliest: int, first: int, rule: SegmentRule) -> int:
    resting = earliest + np.flatnonzero(speed[earliest:first] < rule.rest)
    away = np.linalg.norm(palm[earliest : first + 1] - palm[first], axis=1)
    resting = resting[away[resting - earliest] >= rule.travel]  # slowing down at the object is not rest
    return int(resting[-1]) if len(resting) else earliest + int(away.argmax())


def _end(bend: NDArray, object_translation: NDArray, first: int, latest: int, rule: SegmentRule) -> int:
    carried = np.linalg.norm(object_translation[first:latest] - object_translation[first], axis=1) > rule.carried
    fastest = int(bend[first:latest, _FLEXION].mean(axis=1).argmax())
    still = np.abs(bend[first:latest]).max(axis=1) < rule.closed
    still[:fastest] = False
    done = np.flatnonzero(carried | still)
    return first + int(done[0]) + 1 if len(done) else latest


def _segment(folder: Folder, row: NDArray, n_frames: int, n_hand: int, number: int) -> tuple[int, int]:
    start, end = row.tolist()
    path, key = folder.path / _FILE, f"row {number}"
    if not 0 <= start < end <= n_hand:
        raise BadFile(path, f"0 <= start < end <= {n_hand}, the frames recorded", f"{start} {end}", key=key)
    if min(end, n_frames) - start < 2:
        found = f"[{start}, {end}) of {n_frames} frames with hand and object"
        raise BadFile(path, "a segment of at least 2 frames", found, key=key)
    return start, min(end, n_frames)
