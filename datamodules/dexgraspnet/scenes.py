"""UniDexGrasp's objects on the table: resting poses, and clouds of object and table as seen by cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...files.cache import Arrays, content_key
from ...files.errors import BadFile
from ...geometry.progress import tracked
from .index import logged, mapped, noted

_KIND = "unidexgrasp_scenes-1"

_Read = Callable[[str], tuple[NDArray[np.float64], NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class TableTop:
    """K resting poses (K, 4, 4) of an object on the table, table_from_object in units of the mesh, table at z = 0.

    Their clouds, (K, M, 3), float32, object frame, unit of the mesh, are 3000 points of the object, then points of the
    table; None if the release has none.
    """

    poses: NDArray[np.float64]
    clouds: NDArray[np.float32] | None

    def nearest(self, plane: NDArray) -> NDArray[np.int64]:
        """(n,), index of the pose of each grasp: its up direction (third row) is closest to the normal of the grasp's
        table.

        `plane` is (n, 4), unit normal and offset, object frame.
        """
        gap = np.linalg.norm(plane[:, None, :3] - self.poses[None, :, 2, :3], axis=-1)
        return gap.argmin(axis=1)

    def pose(self, k: int, scale: float) -> NDArray[np.float64]:
        """(4, 4), table_from_object, metres, for the mesh times `scale`; above the table's origin."""
        pose = self.poses[k].copy()
        pose[:2, 3] = 0
        pose[2, 3] *= scale
        return pose

    def scene(self, k: int, scale: float) -> NDArray[np.float32]:
        """(M, 3), metres, object frame: points of object and table, as seen by cameras; raises ValueError without
        clouds.
        """
        if self.clouds is None:
            raise ValueError("clouds: expected pcs_table.npy next to poses.npy, found none")
        return self.clouds[k] * np.float32(scale)


@dataclass(frozen=True, eq=False)
class SceneClouds:
    """Clouds of the scenes of K objects, one per resting pose, grouped by object."""

    clouds: NDArray[np.float32]  # (S, N, 3), float32, object frame, unit of the mesh; memory-mapped from the cache
    up: NDArray[np.float64]  # (S, 3), the table's normal in the object's frame
    first: NDArray[np.int64]  # (K + 1,), index of each object's first scene, and S
    bad: dict[int, str]  # messages about objects without scenes, by index

    def of_grasps(self, object: NDArray[np.int64], plane: NDArray) -> NDArray[np.int64]:
        """(n,), the scene of each grasp, see `TableTop.nearest`; 0 for grasps of bad objects, which are never used.

        `object` is (n,), ascending, `plane` (n, 4), unit normal and offset, object frame.
        """
        scene = np.zeros(len(object), np.int64)
        ends = np.searchsorted(object, np.arange(len(self.first)))
        for k in range(len(self.first) - 1):
            here, own = slice(ends[k], ends[k + 1]), slice(self.first[k], self.first[k + 1])
            if k not in self.bad and ends[k + 1] > ends[k]:
                gap = np.linalg.norm(plane[here, None, :3] - self.up[None, own], axis=-1)
                scene[here] = self.first[k] + gap.argmin(axis=1)
        return scene


def scene_clouds(names: Sequence[str], read: _Read, signature: str, n: int, on_bad: str = "raise") -> SceneClouds:
    """The scenes of all objects, n points each, sampled at random so that object and table keep their shares.

    Args:
        names: of K objects.
        read: reads resting poses (k, 4, 4) and scene clouds (k, M, 3) of one object.
        signature: changes whenever one of the files does.
        n: points in each cloud; scenes with fewer points have all of them, some twice.
        on_bad: "raise" raises BadFile; with "skip" objects without scenes are listed in `bad`.
    """
    key = content_key(n, on_bad, list(names), signature)
    clouds, entry = mapped(_KIND, f"{key}-all", lambda: _read_all(names, read, n, on_bad))
    return SceneClouds(clouds, entry["up"], entry["first"], logged(entry))


def _read_all(names: Sequence[str], read: _Read, n: int, on_bad: str) -> tuple[NDArray[np.float32], Arrays]:
    """Clouds (S, n, 3); normals (S, 3), each object's first scene, and messages about bad objects."""
    clouds, up, counts, bad = [np.zeros((0, n, 3), np.float32)], [np.zeros((0, 3))], [], {}
    for k, name in enumerate(tracked(names, "reading scenes")):
        try:
            poses, scenes = read(name)
        except BadFile as error:
            if on_bad == "raise":
                raise
            bad[k] = str(error)
            counts.append(0)
            continue
        clouds.append(_drawn(scenes, n, seed=k))
        up.append(poses[:, 2, :3])
        counts.append(len(poses))
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.concatenate(clouds), {"up": np.concatenate(up), "first": first} | noted(bad)


def _drawn(clouds: NDArray[np.float32], n: int, seed: int) -> NDArray[np.float32]:
    """Samples (K, n, 3) from the points of each scene (K, M, 3)."""
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(clouds.shape[1]), (len(clouds), 1)), axis=1)
    index = order[:, np.arange(n) % clouds.shape[1]]
    return np.take_along_axis(clouds, index[..., None], axis=1)
