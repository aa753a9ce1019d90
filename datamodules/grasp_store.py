"""Storage of millions of static grasps: flat arrays, from which samples and batches are made on access."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..grasps.grasp_set import GraspSet
from ..hands.pose import HandPose
from .types import GraspBatch, GraspSample

_SCALE = 12
_JOINTS = 13


@dataclass(frozen=True)
class GraspObject:
    """Common properties of the grasps of one object."""

    name: str  # name of the object
    mesh: Path | None = None  # file of its mesh at unit scale, or None
    flags: tuple[str, ...] = ()  # flags of its samples, see `GraspSample`


def pack(grasps: GraspSet) -> NDArray[np.float32]:
    """(n, 13 + J) or, with a table, (n, 17 + J): translation 3, rotation 9, scale, joints, plane 4."""
    pose = grasps.pose
    parts = [pose.translation, pose.rotation.flatten(1), grasps.scale[:, None], pose.joints]
    if grasps.plane is not None:
        parts.append(grasps.plane)
    return torch.cat(parts, dim=1).numpy().astype(np.float32)


@dataclass(frozen=True, eq=False)
class GraspStore(Sequence[GraspSample]):
    """n grasps of K objects; each `GraspSample` is made on access. Object frame, metres, radians, float32.

    The arrays may be memory-mapped from the cache and shared by processes. A subset of the grasps is another store over
    the same arrays.

    Attributes:
        numbers: (M, 13 + J) or (M, 17 + J), see `pack`.
        rows: (M,), index of each grasp in its file.
        object: (M,), index into `objects`.
        objects: K objects.
        clouds: (C, N, 3), clouds of objects, unit of the mesh.
        hand: name of the hand.
        num_joints: J.
        indices: (n,), of this store's grasps among all M.
        cloud: (M,), index into `clouds`; None takes that of the object.
        up: (M, 3) or (3,), see `GraspBatch`, also for None.
    """

    numbers: NDArray[np.float32]
    rows: NDArray[np.int64]
    object: NDArray[np.int64]
    objects: tuple[GraspObject, ...]
    clouds: NDArray[np.float32]
    hand: str
    num_joints: int
    indices: NDArray[np.int64]
    cloud: NDArray[np.int64] | None = None
    up: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> GraspSample: ...
    @overload
    def __getitem__(self, index: slice) -> GraspStore: ...
    def __getitem__(self, index: int | slice) -> GraspSample | GraspStore:
        if isinstance(index, slice):
            return replace(self, indices=self.indices[index])
        batch = self.batch([index])
        flags = self.objects[self.object[self.indices[index]]].flags
        points, scale = batch.object_points[0], float(batch.scale[0])
        return GraspSample(batch.names[0], batch.objects[0], batch.pose[0], points, batch.meshes[0], scale, flags)

    def take(self, indices: NDArray) -> GraspStore:
        """The grasps selected by indices or by a mask (n,)."""
        return replace(self, indices=self.indices[indices])

    def of_objects(self, names: set[str]) -> GraspStore:
        """The grasps of these objects."""
        wanted = np.array([obj.name in names for obj in self.objects], dtype=bool)
        return self.take(wanted[self.object[self.indices]])

    @property
    def object_names(self) -> tuple[str, ...]:
        """Names of the objects that have grasps here."""
        return tuple(dict.fromkeys(self.objects[k].name for k in np.unique(self.object[self.indices])))

    @property
    def plane(self) -> Tensor | None:
        """(n, 4), unit normal and offset (metres) of the table, object frame; None if the data have no table."""
        return self._plane(np.asarray(self.numbers[self.indices]))

    @property
    def pose(self) -> HandPose:
        """HandPose (n,) of all grasps, copied."""
        return self._pose(torch.from_numpy(np.array(self.numbers[self.indices])))

    @property
    def scale(self) -> Tensor:
        """(n,), metres per unit of the mesh."""
        return torch.from_numpy(np.array(self.numbers[self.indices, _SCALE]))

    @property
    def clouds_used(self) -> NDArray[np.int64]:
        """(n,), index into `clouds` of each grasp."""
        return (self.object if self.cloud is None else self.cloud)[self.indices]

    @cached_property
    def radii(self) -> NDArray[np.float32]:
        """(n,), metres, largest distance of each grasp's cloud from its centroid; NaN without a cloud."""
        if not self.clouds.shape[1]:
            return np.full(len(self), np.nan, np.float32)
        used, place = np.unique(self.clouds_used, return_inverse=True)
        radius = [np.linalg.norm(c - c.mean(0), axis=1).max() for c in (self.clouds[k] for k in used)]
        return np.asarray(radius, np.float32)[place] * self.numbers[self.indices, _SCALE]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the objects' names and the rows of their grasps, independent of their order."""
        here, rows = self.object[self.indices], self.rows[self.indices]
        order = np.lexsort((rows, here))
        here, rows = here[order], rows[order].astype("<i8")
        starts = np.flatnonzero(np.diff(here, prepend=-1))
        parts = np.split(rows, starts[1:]) if len(starts) else []
        names = [self.objects[k].name for k in here[starts]]
        table = sorted((n, hashlib.sha256(r.tobytes()).hexdigest()) for n, r in zip(names, parts, strict=True))
        return hashlib.sha256(json.dumps(table).encode()).hexdigest()

    def batch(self, indices: Sequence[int] | NDArray) -> GraspBatch:
        """The grasps with these indices (B,), in this order."""
        at = self.indices[np.asarray(indices, np.int64)]
        numbers = np.array(self.numbers[at])  # copied from the mapped file
        objs = [self.objects[k] for k in self.object[at]]
        scale = torch.from_numpy(numbers[:, _SCALE].copy())
        cloud = self.object if self.cloud is None else self.cloud
        return GraspBatch(
            pose=self._pose(torch.from_numpy(numbers)),
            object_points=torch.from_numpy(np.array(self.clouds[cloud[at]])) * scale[:, None, None],
            scale=scale,
            names=tuple(f"{obj.name}/{row}" for obj, row in zip(objs, self.rows[at].tolist(), strict=True)),
            objects=tuple(obj.name for obj in objs),
            meshes=tuple(obj.mesh for obj in objs),
            plane=self._plane(numbers),
            up=self._up(at),
        )

    def _pose(self, numbers: Tensor) -> HandPose:
        rotation = numbers[:, 3:_SCALE].unflatten(1, (3, 3))
        return HandPose(numbers[:, :3], rotation, numbers[:, _JOINTS : _JOINTS + self.num_joints], self.hand)

    def _plane(self, numbers: NDArray) -> Tensor | None:
        last = numbers[:, _JOINTS + self.num_joints :]
        return torch.from_numpy(last.copy()) if last.shape[1] else None

    def _up(self, at: NDArray[np.int64]) -> Tensor | None:
        if self.up is None:
            return None
        return torch.from_numpy(np.array(np.broadcast_to(self.up, (len(self.numbers), 3))[at]))

    @classmethod
    def of(
        cls,
        pose: HandPose,
        object: NDArray[np.int64],
        objects: Sequence[GraspObject],
        clouds: Tensor,
        cloud: NDArray[np.int64] | None = None,
        up: Tensor | None = None,
    ) -> GraspStore:
        """A store of grasps in memory, on meshes of scale 1; the grasps of each object are numbered in the given order.

        `pose` is a HandPose (n,), object frame, `object` (n,) its index into K `objects`; `clouds` are (C, N, 3),
        metres, object frame, and `cloud` (n,) is the index into them, None for that of the object, with C = K; see the
        class for `up`.
        """
        n, names = len(object), np.array([obj.name for obj in objects])[object]
        rows = np.zeros(n, np.int64)
        for name in np.unique(names):  # two files of one object share a name
            rows[names == name] = np.arange((names == name).sum())
        numbers = pack(GraspSet("", pose, torch.ones(n), torch.from_numpy(rows)))
        every, objs = np.arange(n), tuple(objects)
        ups = None if up is None else up.numpy().astype(np.float32)
        return cls(numbers, rows, object, objs, clouds.numpy(), pose.hand, pose.joints.shape[-1], every, cloud, ups)
