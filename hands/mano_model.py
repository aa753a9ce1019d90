"""The MANO model file: finding it, reading it without executing it, and checking it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.unpickle import PickleFileError, load_pickle
from .errors import HandSpecError

NAMES = ("wrist", *(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)))
"""MANO's joints in MANO's order."""
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
ENVIRONMENT = "DEXZOO_MANO"
_FILE = "MANO_RIGHT.pkl"
_SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (778, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "f": (1538, 3),
    "hands_components": (45, 45),
    "hands_mean": (45,),
}


class ManoModelNotFound(HandSpecError):
    """The licensed model file was not found; the message says where to get it."""


@dataclass(frozen=True)
class ManoModel:
    """Arrays of the model file, float64, metres.

    Attributes:
        template: (778, 3) vertices of the mean hand.
        shape_blend: (778, 3, 10).
        pose_blend: (778, 3, 135), of the 15 local rotations minus identity, row by row.
        regressor: (16, 778), vertices to joints.
        weights: (778, 16), of linear blend skinning.
        faces: (1538, 3).
        components: (45, 45), rows are the principal axes of joint angles.
        mean: (45,), mean joint angles, radians.
        file: where it came from.
        stand_in: whether it is the generated stand-in instead of MANO.
    """

    template: np.ndarray
    shape_blend: np.ndarray
    pose_blend: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    components: np.ndarray
    mean: np.ndarray
    file: Path
    stand_in: bool = False


def find_mano(entry: str | None, spec: Path) -> Path:
    """Path of the model file: `model:` of the YAML (relative to it), or the environment; a folder is searched for the
    name.

    Raises:
        ManoModelNotFound: says where to register, where to put the file, and that the stand-in is an alternative.
    """
    given = spec.parent / entry if entry else os.environ.get(ENVIRONMENT)
    path = Path(given).expanduser() if given else None
    if path is not None:
        for candidate in (path, path / _FILE, path / "mano" / _FILE):
            if candidate.is_file():
                return candidate
    found = f"nothing at {path}" if path else f"neither `model:` in {spec} nor the environment variable {ENVIRONMENT}"
    raise ManoModelNotFound(
        f"mano: expected the model file {_FILE}, found {found}. It may be used for non-commercial research but not be "
        f"redistributed: register at https://mano.is.tue.mpg.de, download the models, unpack {_FILE}, and set "
        f"{ENVIRONMENT} to its path; the hand 'mano_skeleton' has MANO's joints and needs no file"
    )


def read_mano(file: Path) -> ManoModel:
    """Reads and checks the model file, the genuine one or the stand-in.

    Raises:
        HandSpecError: a key is missing or has another shape; a left hand; a pickle that contains anything but arrays.
    """
    try:
        return mano_model(load_pickle(file), file)
    except PickleFileError as error:
        raise HandSpecError(str(error)) from error


def mano_model(content: Any, file: Path) -> ManoModel:
    """Checks the content of a model file.

    Args:
        content: the dict that the file holds.
        file: where it came from, for messages.

    Raises:
        HandSpecError: as for `read_mano`.
    """
    arrays = {key: _array(content, key, shape, file) for key, shape in _SHAPES.items()}
    parents = tuple(int(p) for p in arrays["kintree_table"][0, 1:])
    if parents != PARENTS[1:]:
        raise HandSpecError(f"{file}: kintree_table: expected MANO's parents {PARENTS[1:]}, found {parents}")
    if arrays["v_template"][744, 2] < arrays["v_template"][671, 2]:
        raise HandSpecError(f"{file}: expected a right hand (thumb at +z of the little finger), found a left one")
    return ManoModel(
        template=arrays["v_template"],
        shape_blend=arrays["shapedirs"],
        pose_blend=arrays["posedirs"],
        regressor=arrays["J_regressor"],
        weights=arrays["weights"],
        faces=arrays["f"].astype(np.int64),
        components=arrays["hands_components"],
        mean=arrays["hands_mean"],
        file=file,
        stand_in=bool(content.get("stand_in", False)),
    )


def _array(content: Any, key: str, shape: tuple[int, ...], file: Path) -> np.ndarray:
    if not isinstance(content, dict) or key not in content:
        known = ", ".join(sorted(map(str, content))) if isinstance(content, dict) else type(content).__name__
        raise HandSpecError(f"{file}: expected a MANO model with the key {key!r}, found {known}")
    value = content[key]
    try:
        if getattr(value, "shape", shape) != shape:  # before a sparse one is made dense
            raise ValueError(f"shape {value.shape}")
        array = np.asarray(value.toarray() if hasattr(value, "toarray") else value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise HandSpecError(f"{file}: {key}: expected finite numbers of shape {shape}, found {error}") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise HandSpecError(f"{file}: {key}: expected finite numbers of shape {shape}, found shape {array.shape}")
    return array
