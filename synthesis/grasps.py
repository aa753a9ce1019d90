"""Validated grasps of the demo objects: the shipped file, and the limits that they satisfy."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..files.errors import BadFile, DataError
from ..hands.hand import Hand
from ..hands.pose import HandPose

GENERATOR_VERSION = 1  # Incremented whenever the same seed would give other grasps
SHIPPED = Path(__file__).with_name("grasps.npz")

MAX_PENETRATION = 0.003  # metres, largest penetration of a kept grasp
MAX_OVERLAP = 0.004  # metres, largest self-penetration of a kept grasp
STAND = 0.03  # metres; the object stands on a stand of this height, so a hand may be that far below its base


@dataclass(frozen=True)
class ObjectGrasps:
    """Validated grasps of one object."""

    object: str  # name of the demo object
    pose: HandPose  # HandPose (G,), object frame
    six_directions: NDArray[np.bool_]  # (G, 6); held by a rigid hand against 1 g along +x, -x, +y, -y, +z, -z
    penetration: NDArray[np.float32]  # (G,), metres, deepest point of hand in object or object in hand
    seed: NDArray[np.int64]  # (G,), int64, of the run that found each grasp
    pieces: tuple[NDArray[np.float32], ...]  # corners of convex pieces of the object, each (n, 3), metres
    attempts: int  # optimised poses that were tested to find these
    mesh: str  # `mesh_hash` of the object on which they were found


def save_grasps(path: Path, grasps: Sequence[ObjectGrasps], joint_names: Sequence[str], steps: int) -> None:
    """Writes plain arrays to one compressed .npz; floats in single precision."""
    arrays: dict[str, NDArray] = {
        "version": np.array(GENERATOR_VERSION),
        "hand": np.array(grasps[0].pose.hand),
        "joint_names": np.array(joint_names),
        "steps": np.array(steps),
        "objects": np.array([g.object for g in grasps]),
    }
    for g in grasps:
        arrays |= {
            f"{g.object}/pose": g.pose.to_vector().numpy().astype(np.float32),
            f"{g.object}/six_directions": g.six_directions,
            f"{g.object}/penetration": g.penetration.astype(np.float32),
            f"{g.object}/seed": g.seed,
            f"{g.object}/pieces": np.concatenate(g.pieces).astype(np.float32),
            f"{g.object}/piece_sizes": np.array([len(p) for p in g.pieces]),
            f"{g.object}/attempts": np.array(g.attempts),
            f"{g.object}/mesh": np.array(g.mesh),
        }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_grasps(path: Path = SHIPPED, hand: Hand | None = None) -> dict[str, ObjectGrasps]:
    """Reads grasps by object from a file of `save_grasps`; by default from the shipped one, for the hand `shadow`.

    Raises BadFile for another kind of file, DataError if the grasps are not for `hand`, if given, and its joint order.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        names = arrays["objects"].tolist()
        if hand is not None:
            _check_hand(path, str(arrays["hand"]), arrays["joint_names"].tolist(), hand)
        return {name: _object_grasps(arrays, name) for name in names}
    except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise BadFile(path, "grasps written by `dexzoo synthesise`", f"{error}") from error


def _object_grasps(arrays: dict[str, NDArray], name: str) -> ObjectGrasps:
    sizes = arrays[f"{name}/piece_sizes"]
    return ObjectGrasps(
        object=name,
        pose=HandPose.from_vector(torch.from_numpy(arrays[f"{name}/pose"]), str(arrays["hand"])),
        **{key: arrays[f"{name}/{key}"] for key in ("six_directions", "penetration", "seed")},
        pieces=tuple(np.split(arrays[f"{name}/pieces"], np.cumsum(sizes)[:-1])),
        attempts=int(arrays[f"{name}/attempts"]),
        mesh=str(arrays[f"{name}/mesh"]),
    )


def _check_hand(path: Path, found: str, joints: list[str], hand: Hand) -> None:
    if found != hand.name or joints != list(hand.joint_names):
        raise DataError(
            f"demo grasps in {path}: expected grasps of hand {hand.name!r}, found {found!r}; make your own with\n"
            f"  dexzoo synthesise --hand {hand.handle} --out DIR\n"
            f"and set grasps=DIR/grasps.npz"
        )


def join_grasps(parts: Sequence[ObjectGrasps]) -> ObjectGrasps:
    """Joins the grasps of one object from several runs."""
    arrays = ("six_directions", "penetration", "seed")
    return replace(
        parts[0],
        pose=HandPose.cat([p.pose for p in parts]),
        attempts=sum(p.attempts for p in parts),
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in arrays},
    )
