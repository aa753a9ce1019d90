"""The file that `prepare` writes for each recording, `<object>/<recording>/recording.npz`: plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.cache import write_whole
from ...files.errors import BadFile
from ...files.unpickle import load_npz
from ..errors import check_rotations
from .archive import DiskFolder, Folder
from .tables import LARGEST

PREPARED = "recording.npz"
VERSION = 1  # Incremented when the content changes, so that older files are made again

_KINDS = {
    **{"object": ("U", 0), "name": ("U", 0), "fps": ("f", 0), "version": ("i", 0)},
    **{"flags": ("U", 1), "segments": ("i", 2), "near": ("i", 1), "cloud_sizes": ("i", 1)},
}  # letter of the dtype, and number of dimensions
_OPTIONAL = {"near", "wrist", "cloud_points", "cloud_sizes"}
_ARRAYS: dict[str, tuple[int, ...]] = {
    **{"joints": (22,), "palm_translation": (3,), "palm_rotation": (3, 3)},
    **{"object_translation": (3,), "object_rotation": (3, 3)},
}


def write_prepared(path: Path, recording: Any, key: str) -> None:
    """Writes a `Recording` atomically, with the hash of its sources; see `prepared_key`."""
    arrays = {name: getattr(recording, name) for name in _ARRAYS}
    arrays |= {name: value for name in ("wrist", "near") if (value := getattr(recording, name)) is not None}
    if recording.clouds is not None:
        arrays["cloud_points"] = np.concatenate([np.zeros((0, 3)), *recording.clouds])
        arrays["cloud_sizes"] = np.array([len(cloud) for cloud in recording.clouds], np.int64)
    arrays |= {
        "object": np.array(recording.object),
        "name": np.array(recording.name),
        "fps": np.array(recording.fps),
        "segments": np.array(recording.segments, np.int64).reshape(-1, 2),
        "flags": np.array(recording.flags, dtype=np.str_),
        "source": np.array(str(recording.path)),
        "key": np.array(key),
        "version": np.array(VERSION),
    }
    write_whole(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def prepared_key(path: Path) -> str | None:
    """Hash of a file's sources; None if it is absent, unreadable or of another version."""
    try:
        arrays = load_npz(path, only=("key", "version"))
        return str(arrays["key"]) if int(arrays["version"]) == VERSION else None
    except (ValueError, KeyError, OSError):
        return None


def read_prepared(folder: Folder) -> dict[str, Any]:
    """The fields of a `Recording`.

    Raises BadFile if an array is missing, of the wrong shape or not finite, or the file is of another version;
    PickleFileError if it is damaged.
    """
    path = folder.path / PREPARED
    if not isinstance(folder, DiskFolder):
        raise BadFile(path, "a prepared recording in a folder", "one in a zip", hint="unpack it")
    data = load_npz(path)
    _check_kinds(path, data)
    if int(data["version"]) != VERSION:
        raise BadFile(path, f"version {VERSION}", f"{int(data['version'])}", hint="prepare it again")
    if not 0 < float(data["fps"]) < np.inf:
        raise BadFile(path, "a positive number", f"{float(data['fps'])}", key="fps", hint="prepare it again")
    n = data["joints"].shape[0] if data["joints"].ndim else 0
    arrays = {key: _checked(path, key, data[key], (n, *shape)) for key, shape in _ARRAYS.items()}
    return arrays | {
        "path": path,
        "name": str(data["name"]),
        "object": str(data["object"]),
        "fps": float(data["fps"]),
        "segments": _segments(path, data["segments"], n),
        "flags": tuple(str(flag) for flag in data["flags"]),
        "wrist": _checked(path, "wrist", data["wrist"], (n, 2)) if "wrist" in data else None,
        "near": data.get("near"),
        "clouds": _clouds(path, data) if "cloud_sizes" in data else None,
    }


def _clouds(path: Path, data: dict[str, NDArray]) -> tuple[NDArray, ...]:
    sizes, points = data["cloud_sizes"], data.get("cloud_points", np.zeros(0))
    if len(sizes) != len(data["segments"]) or (sizes < 0).any():
        raise BadFile(path, f"{len(data['segments'])} sizes", f"{sizes}", key="cloud_sizes", hint="prepare it again")
    _checked(path, "cloud_points", points, (int(sizes.sum()), 3))
    return tuple(np.split(points, np.cumsum(sizes)[:-1]))


def _check_kinds(path: Path, data: dict[str, NDArray]) -> None:
    missing = [key for key in (*_ARRAYS, *_KINDS) if key not in data and key not in _OPTIONAL]
    if missing:
        raise BadFile(path, "arrays that `prepare` writes", f"no {', '.join(missing)}", hint="prepare it again")
    for key, (kind, ndim) in _KINDS.items():
        if key in data and (data[key].dtype.kind, data[key].ndim) != (kind, ndim):
            found = f"{data[key].shape} of {data[key].dtype}"
            raise BadFile(path, f"{ndim} dimensions of kind {kind!r}", found, key=key, hint="prepare it again")


def _checked(path: Path, key: str, array: NDArray, shape: tuple[int, ...]) -> NDArray:
    if array.shape != shape or array.dtype != np.float64 or not (np.abs(array) < LARGEST).all():
        found = f"{array.shape} of {array.dtype}" if array.shape != shape else f"others, of {array.dtype}"
        raise BadFile(path, f"{shape} finite float64 numbers", found, key=key, hint="prepare it again")
    if shape[1:] == (3, 3):
        check_rotations(path, key, array)
    return array


def _segments(path: Path, rows: NDArray, n: int) -> tuple[tuple[int, int], ...]:
    if rows.shape[1] != 2:
        raise BadFile(path, "(S, 2) whole numbers", f"{rows.shape} of {rows.dtype}", key="segments")
    for start, end in rows.tolist():
        if not 0 <= start < end - 1 < n:
            raise BadFile(path, f"0 <= start < end - 1 < {n}", f"{start} {end}", key="segments")
    return tuple((start, end) for start, end in rows.tolist())
