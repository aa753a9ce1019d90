"""Clips of one object: sampled, checked and cached."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from ..files.cache import Arrays, cache_dir, cached, content_key, write_whole
from ..files.errors import DataError
from ..geometry.sdf import DistanceGrid
from ..hands.hand import Hand
from ..hands.pose import HandPose
from .grasps import ObjectGrasps
from .objects import object_mesh, object_names
from .reaches import Reaches, ReachSettings, faults, plan_reaches

MOTION_VERSION = 1  # Incremented whenever the same seed would give other clips

_ATTEMPTS_AT_ONCE = 96
_ROUNDS_FOR_A_VERDICT = 8  # after which a share of acceptable clips below _LEAST_SHARE ends the search
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class ObjectClips:
    """Clips of one object, concatenated."""

    pose: HandPose  # HandPose (F,), world frame
    length: Tensor  # (C,), int64, frames of each clip
    grasp: Tensor  # (C,), int64, index of the grasp that ends each clip
    rotation: Tensor  # (C, 3, 3), world_from_object
    attempts: int  # clips sampled to get these


def object_clips(hand: Hand, grasps: ObjectGrasps, count: int, seed: int, settings: ReachSettings) -> ObjectClips:
    """`count` clips of one object, from the cache or newly made; the same for the same arguments. Raises DataError if
    too few of the grasps are reachable.
    """
    vectors = grasps.pose.to_vector().numpy()
    key = content_key(MOTION_VERSION, hand.name, grasps.object, vectors.tobytes(), count, seed, settings)
    arrays = cached("demo_clips", key, lambda: _to_arrays(make_clips(hand, grasps, count, seed, settings)))
    return _from_arrays(arrays, hand.name)


def make_clips(hand: Hand, grasps: ObjectGrasps, count: int, seed: int, settings: ReachSettings) -> ObjectClips:
    """Samples clips and keeps those without `reaches.faults` until there are `count`."""
    if not len(grasps.seed):
        raise DataError(f"demo grasps of {grasps.object}: expected at least one, found none; generate more")
    mesh = object_mesh(grasps.object)
    generator = torch.Generator().manual_seed(_stream(seed, grasps.object))
    grid = _distance_grid(grasps.object, mesh)
    size = float(np.sort(mesh.extents)[1])  # the middle extent: about the width that the fingers have to span
    kept: list[Reaches] = []
    refused: Counter[str] = Counter()
    found = attempts = 0
    while found < count:
        if attempts >= _ROUNDS_FOR_A_VERDICT * _ATTEMPTS_AT_ONCE and found < _LEAST_SHARE * attempts:
            raise DataError(_too_few(grasps, count, found, attempts, refused))
        drawn = plan_reaches(hand, grasps.pose, size, _ATTEMPTS_AT_ONCE, generator, settings)
        with torch.no_grad():
            wrong = faults(hand, drawn, grid)
        kept.append(drawn[~torch.stack([*wrong.values()]).any(dim=0)])
        refused.update({fault: int(where.sum()) for fault, where in wrong.items()})
        found, attempts = found + len(kept[-1].length), attempts + _ATTEMPTS_AT_ONCE
    return _flatten(kept, count, attempts)


def _too_few(grasps: ObjectGrasps, count: int, found: int, attempts: int, refused: Counter[str]) -> str:
    why = "; ".join(f"{fault} in {n}" for fault, n in refused.most_common() if n)
    return (
        f"demo clips of {grasps.object}: expected {count} in which the hand {grasps.pose.hand} reaches one of"
        f" {len(grasps.seed)} grasps, found {found} in {attempts} attempts ({why}); take more grasps of it (`dexzoo"
        f" synthesise --per-object N`) or leave it out of `objects`"
    )


def object_file(name: str) -> Path:
    """File of a demo object's mesh (STL, metres) in the cache, written if absent."""
    mesh = object_mesh(name)
    path = cache_dir() / "demo_objects" / content_key(mesh.vertices.tobytes(), mesh.faces.tobytes()) / f"{name}.stl"
    if not path.exists():
        write_whole(path, lambda file: mesh.export(file, file_type="stl"))
    return path


def _distance_grid(name: str, mesh: trimesh.Trimesh) -> DistanceGrid:
    key = content_key(mesh.vertices.tobytes(), mesh.faces.tobytes())
    return DistanceGrid.from_state(cached("demo_grids", key, lambda: DistanceGrid(mesh, margin=0.05).state()))


def _stream(seed: int, name: str) -> int:
    """A separate seed for each object, so that its clips do not depend on which other objects are requested."""
    state = np.random.SeedSequence([seed, object_names().index(name)]).generate_state(1, np.uint64)[0]
    return int(state) >> 1  # manual_seed takes 63 bits


def _flatten(kept: list[Reaches], count: int, attempts: int) -> ObjectClips:
    pose = HandPose.cat([k.pose for k in kept])[:count]
    length = torch.cat([k.length for k in kept])[:count]
    used = torch.arange(pose.shape[1]) < length[:, None]
    return ObjectClips(
        pose=pose[used],
        length=length,
        grasp=torch.cat([k.grasp for k in kept])[:count],
        rotation=torch.cat([k.rotation for k in kept])[:count],
        attempts=attempts,
    )


def _to_arrays(clips: ObjectClips) -> Arrays:
    return {
        "translation": clips.pose.translation.numpy(),
        "hand_rotation": clips.pose.rotation.numpy(),
        "joints": clips.pose.joints.numpy(),
        "length": clips.length.numpy(),
        "grasp": clips.grasp.numpy(),
        "rotation": clips.rotation.numpy(),
        "attempts": np.array(clips.attempts),
    }


def _from_arrays(arrays: Arrays, hand: str) -> ObjectClips:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return ObjectClips(
        pose=HandPose(tensors["translation"], tensors["hand_rotation"], tensors["joints"], hand),
        length=tensors["length"],
        grasp=tensors["grasp"],
        rotation=tensors["rotation"],
        attempts=int(tensors["attempts"]),
    )
