"""Clouds of objects drawn from their solids: a mesh made of convex parts has inner walls, a solid has none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from ...geometry.assets import ObjectAsset
from ...geometry.cache import Arrays, cache_dir, cached, content_key, write_whole
from ...geometry.meshes import MeshError
from ...geometry.sampling import farthest_point_sampling, sample_surface
from ..errors import BadFile
from .index import mapped, signature

_CANDIDATES = 8
"""Surface points drawn for each point kept."""
_KIND = "solid_clouds-1"

_log = logging.getLogger(__name__)


def solid_cloud(mesh: Path, n: int) -> NDArray[np.float32]:
    """(n, 3), spread evenly over the outer surface, frame and unit of the mesh; kept in the cache.

    Raises:
        BadFile: the mesh cannot be read, or bounds no solid.
    """

    def make() -> Arrays:
        solid = ObjectAsset.from_file(mesh).solid
        points, _, _ = sample_surface(solid.vertices, solid.faces, _CANDIDATES * n)
        picked = farthest_point_sampling(torch.from_numpy(points)[None], n)[0].numpy()
        return {"points": points[picked].astype(np.float32)}

    try:
        return cached(_KIND, content_key(mesh.suffix, mesh, n), make)["points"]
    except (MeshError, OSError) as error:
        raise BadFile(mesh, "the mesh of an object", str(error).removeprefix(f"{mesh}").lstrip(":, ")) from error


def solid_clouds(
    meshes: Sequence[Path | None], n: int, on_bad: str = "raise"
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Clouds of all objects, one file mapped into memory.

    Args:
        meshes: of K objects; one without has a cloud of NaN.
        n: points in each cloud.
        on_bad: "raise" or "skip": then a bad mesh has a cloud of NaN.

    Returns:
        (K, n, 3), unit of the meshes; the messages of bad meshes by index.

    Raises:
        BadFile: with `on_bad="raise"`.
    """
    key = content_key(n, on_bad, [mesh is None for mesh in meshes], signature([m for m in meshes if m]))
    path = cache_dir() / _KIND / f"{key}-all.npy"

    def make() -> Arrays:
        whole, bad = _read_all(meshes, n, on_bad)
        write_whole(path, lambda file: np.save(file, whole))
        return {"bad": np.array(list(bad), dtype=np.int64), "messages": np.array(list(bad.values()), dtype=np.str_)}

    entry = cached(_KIND, f"{key}-all", make)
    for message in entry["messages"].tolist():
        _log.warning("left out: %s", message)
    return mapped(path, make), dict(zip(entry["bad"].tolist(), entry["messages"].tolist(), strict=True))


def _read_all(meshes: Sequence[Path | None], n: int, on_bad: str) -> tuple[NDArray[np.float32], dict[int, str]]:
    whole, bad = np.full((len(meshes), n, 3), np.nan, np.float32), {}
    for k, mesh in enumerate(track(meshes, "object clouds", transient=True)):
        try:
            if mesh is not None:
                whole[k] = solid_cloud(mesh, n)
        except BadFile as error:
            if on_bad == "raise":
                raise
            bad[k] = str(error)
    return whole, bad
