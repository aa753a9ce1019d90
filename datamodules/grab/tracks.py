"""Cached part of a sequence: hand, object and touch in single precision, enough for every frame rule.

A pass over the release reads tens of GB, mostly contact labels. The cache keeps 240 bytes per frame, 390 MB for all
1,334 sequences, at the full 120 fps, so that another frame rule needs no second pass.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...files.cache import Arrays, cached, content_key
from ...files.errors import BadFile
from ...geometry.rotations import rotvec_to_rotmat
from ...hands.pose import HandPose
from .files import GrabTree
from .frames import Signals, rotation_speed
from .objects import object_of
from .sequence import mirrored, read_labels, read_sequence, touching

CACHE = "grab_tracks_1"  # Folder in the cache; its number is incremented when the content changes


@dataclass(frozen=True)
class Tracks:
    """A sequence of T frames with the hand `side` as a right hand: a left one is mirrored with its scene, x -> -x."""

    path: Path  # the npz
    hand: NDArray[np.float32]  # (T, 51), float32: transl 3, global_orient 3, fullpose 45, as in `HandTrack`
    object: NDArray[np.float32]  # (T, 6): rotation vector of world_from_object (column convention), translation
    touch: NDArray[np.uint64]  # (T,), uint64, see `sequence.touching`
    elbow_speed: NDArray[np.float32]  # (T,), float32, see `frames.rotation_speed`
    template: str  # path of the template of the subject's hand, relative to the root
    mesh: str  # path of the object's mesh, relative to the root
    side: str  # the hand that was recorded

    @property
    def recording(self) -> str:
        """Name such as "s1/mug_lift", unique in the data set."""
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def object_name(self) -> str:
        """Name of the object, aliases merged."""
        return object_of(self.path.stem)

    @property
    def signals(self) -> Signals:
        """Signals for the rules of `frames`."""
        return Signals(self.hand[:, :3], self.object[:, 3:], self.touch, self.elbow_speed)

    def pose(self, frames: NDArray[np.int64], rest_wrist: NDArray, hand: str) -> HandPose:
        """HandPose (n,), float32, world frame, of `hand` in the given frames; `rest_wrist` (3,), metres, is the
        subject's J_0.
        """
        values = torch.from_numpy(self.hand[frames])
        rotation = rotvec_to_rotmat(values[:, 3:6].double()).float()
        return HandPose(values[:, :3] + torch.from_numpy(rest_wrist).float(), rotation, values[:, 6:], hand)

    def object_pose(self, frames: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, 3) and (n, 3), float32, metres: world_from_object in the given frames, column convention."""
        values = torch.from_numpy(self.object[frames])
        return rotvec_to_rotmat(values[:, :3].double()).float(), values[:, 3:]


def read_tracks(tree: GrabTree, path: Path, side: str = "right") -> Tracks:
    """Reads a sequence from the cache, or from its file; raises BadFile like `read_sequence` and `read_labels`.

    The cache is keyed by the checksums in the zip directory, so a copy elsewhere is recognised without reading the
    labels.
    """
    tree.check_inside(path, path)
    kept = cached(CACHE, content_key(path.stem, side, _checksums(path)), lambda: _arrays(path, side))
    return Tracks(
        path=path,
        hand=kept["hand"],
        object=kept["object"],
        touch=kept["touch"],
        elbow_speed=kept["elbow_speed"],
        template=str(kept["names"][0]),
        mesh=str(kept["names"][1]),
        side=side,
    )


def _checksums(path: Path) -> list[tuple[str, int, int]]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [(member.filename, member.CRC, member.file_size) for member in archive.infolist()]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise BadFile(path, "a complete npz file", f"a broken zip file ({error})") from error


def _arrays(path: Path, side: str) -> Arrays:
    sequence = read_sequence(path, side)
    touch = touching(read_labels(path, len(sequence)).object)
    hand = np.hstack([sequence.hand.transl, sequence.hand.global_orient, sequence.hand.fullpose])
    obj = np.hstack([sequence.object_rotvec, sequence.object_translation])
    if side == "left":
        hand, obj, touch = hand * _MIRROR_HAND, obj * _MIRROR_OBJECT, mirrored(touch)
    return {
        "hand": hand.astype(np.float32),
        "object": obj.astype(np.float32),
        "touch": touch,
        "elbow_speed": rotation_speed(sequence.elbow).astype(np.float32),
        "names": np.array([sequence.hand.vtemp, sequence.object_mesh]),
    }


_POINT, _ROTVEC = (-1.0, 1.0, 1.0), (1.0, -1.0, -1.0)
"""A reflection x -> -x maps the rotation vector (x, y, z) to (x, -y, -z)."""
_MIRROR_HAND = np.array([*_POINT, *_ROTVEC, *(15 * _ROTVEC)])
_MIRROR_OBJECT = np.array([*_ROTVEC, *_POINT])
