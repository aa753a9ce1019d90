"""The work of an evaluation in chunks, each with a key that identifies settings, grasps and mesh."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dexzoo import __version__

from ...files.cache import content_key
from ...grasps.files import GraspSet
from ...hands.hand import Hand
from ..columns import TABLE3


class EvaluationError(ValueError):
    """The evaluation cannot continue; the message says what to change."""


@dataclass(frozen=True)
class Settings:
    """Settings that the numbers depend on, in addition to grasps and meshes.

    Attributes:
        hand: name of a hand or path of its YAML.
        metrics: names in `columns.METRICS`.
        legacy: add the columns of `columns.LEGACY`.
        limit: largest number of grasps per object, evenly spaced among them; None for all.
        chunk: grasps per chunk.
        up: the up direction in the objects' frames, one of `grasps.grasp_set.AXES`; None uses that of the files.
        scale: metres per unit of the meshes, on top of the scale of each grasp; None is 1, for objects of plausible
            size.
    """

    hand: str = "shadow"
    metrics: tuple[str, ...] = TABLE3
    legacy: bool = False
    limit: int | None = None
    chunk: int = 64
    up: str | None = None
    scale: float | None = None

    def facts(self, hand: Hand) -> dict[str, object]:
        """The content of settings.json: the hand by name and content, so that nothing depends on file locations."""
        return {
            **asdict(self),
            **{"metrics": list(self.metrics), "hand": hand.name, "hand_key": hand_key(hand), "version": __version__},
        }


@dataclass(frozen=True)
class Chunk:
    """Some grasps of one object, as numpy arrays, to be sent to other processes.

    Attributes:
        object: name of the object.
        mesh: absolute path of its mesh.
        settings: of the evaluation.
        shard: file of the result.
        key: hash of settings, grasps and mesh.
        rows: (B,) index of each grasp in the file.
        scale, translation, rotation, joints, up: (B, ...), see `GraspSet`.
        pregrasp, squeeze: (B, J), joints; NaN where the data do not say.
    """

    object: str
    mesh: Path
    settings: Settings
    shard: Path
    key: str
    rows: NDArray[np.int64]
    scale: NDArray[np.float64]
    translation: NDArray[np.float64]
    rotation: NDArray[np.float64]
    joints: NDArray[np.float64]
    up: NDArray[np.float64]
    pregrasp: NDArray[np.float64]
    squeeze: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def plan_chunks(
    grasps: Sequence[GraspSet], meshes: dict[str, Path], settings: Settings, hand: Hand, shards: Path
) -> list[Chunk]:
    """Cuts the grasps of each object into chunks."""
    common = json.dumps(settings.facts(hand), sort_keys=True)
    keys = cache(lambda files: content_key(*files))  # a file may contain many objects
    chunks = []
    for part in grasps:
        mine = content_key(common, keys(part.files), meshes[part.object], part.object)
        for start in range(0, len(part), settings.chunk):
            piece = part[start : start + settings.chunk]
            shard = shards / f"{_slug(part.object)}-{start:06d}.parquet"
            chunks.append(_chunk(piece, meshes[part.object], settings, shard, content_key(mine, start, len(piece))))
    return chunks


def limited(grasps: GraspSet, limit: int | None) -> GraspSet:
    """At most `limit` grasps, evenly spaced from the first to the last."""
    if limit is None or len(grasps) <= limit:
        return grasps
    return grasps[torch.from_numpy(np.linspace(0, len(grasps) - 1, limit).astype(np.int64))]


def hand_key(hand: Hand) -> str:
    """Hash of a hand's content: its tree, shapes and points, not the files that they come from."""
    spec = hand.spec
    names = (hand.name, hand.joint_names, hand.link_names, spec.palm_links, spec.contact_links)
    constants = [(name, x.numpy().tobytes()) for name, x in sorted(hand.named_buffers())]
    return content_key(names, *[part for constant in constants for part in constant])


def _chunk(piece: GraspSet, mesh: Path, settings: Settings, shard: Path, key: str) -> Chunk:
    pose = piece.pose
    up = piece.upwards(settings.up)
    postures = [pose.joints * torch.nan if p is None else p.joints for p in (piece.pregrasp, piece.squeeze)]
    parts = (piece.rows, piece.scale, pose.translation, pose.rotation, pose.joints, up, *postures)
    return Chunk(piece.object, mesh, settings, shard, key, *(x.numpy() for x in parts))


def _slug(name: str) -> str:
    """The name as part of a file name; with a hash if it had to be changed, so that names never collide."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]
    return plain if plain == name else f"{plain}-{content_key(name)[:8]}"
