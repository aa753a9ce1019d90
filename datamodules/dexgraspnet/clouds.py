"""Object clouds sampled from solids: a mesh made of convex parts has inner walls, a solid has none."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from ...files.cache import Arrays, cache_dir, cached, content_key
from ...files.errors import BadFile
from ...files.unpickle import as_bad_file
from ...geometry.meshes import MeshError
from ...geometry.progress import tracked, working
from ...grasps.asset import ObjectAsset
from ..clouds import spread_points
from .index import logged, mapped, noted, signature

_KIND = "solid_clouds-1"
_WORTH, _MOST = 100, 8
"""Number of clouds from which on extra processes, which take seconds to start, are faster; and how many to start."""
_WORKER = "from dexzoo.datamodules.dexgraspnet.clouds import work; work({n})"

_log = logging.getLogger(__name__)


def solid_cloud(mesh: Path, n: int) -> NDArray[np.float32]:
    """(n, 3), spread evenly over the outer surface, frame and unit of the mesh; cached. Raises BadFile if the mesh
    cannot be read, or bounds no solid.
    """

    with as_bad_file(mesh, "the mesh of an object", MeshError, OSError):
        return cached(_KIND, _key(mesh, n), lambda: spread_points(ObjectAsset.from_file(mesh).solid, n))["points"]


def solid_clouds(
    meshes: Sequence[Path | None], n: int, on_bad: str = "raise", workers: int | None = None
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Clouds (K, n, 3) of all objects, unit of the meshes, in one memory-mapped file; the messages of bad meshes by
    index.

    Sampling a cloud takes a quarter of a second; many are sampled in several processes. Each is cached separately, so
    that an interrupted run continues where it stopped. Objects without a mesh, and with `on_bad="skip"` those with a
    bad one, get a cloud of NaN; with "raise" a bad one raises BadFile.

    Args:
        meshes: of K objects.
        n: points in each cloud.
        on_bad: "raise" or "skip".
        workers: processes for clouds that are not cached. By default only this one if there are few, otherwise one per
            core, up to eight; each takes 0.4 GB.
    """
    key = content_key(n, on_bad, [mesh is None for mesh in meshes], signature([m for m in meshes if m]))
    whole, entry = mapped(_KIND, f"{key}-all", lambda: _read_all(meshes, n, on_bad, workers))
    return whole, logged(entry)


def work(n: int) -> None:
    """Main function of an extra process: samples the cloud of each mesh named on standard input, and reports it."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        try:
            solid_cloud(Path(json.loads(line)), n)
        except BadFile:
            pass  # the parent process finds it bad as well, and reports it
        print(flush=True)


def _read_all(
    meshes: Sequence[Path | None], n: int, on_bad: str, workers: int | None
) -> tuple[NDArray[np.float32], Arrays]:
    whole, bad = np.full((len(meshes), n, 3), np.nan, np.float32), {}
    new = _new([mesh for mesh in meshes if mesh], n)
    if workers is None:
        workers = min(os.cpu_count() or 1, _MOST) if len(new) >= _WORTH else 1
    if workers > 1:
        with working("drawing object clouds", len(new)) as drawing:
            _draw(new, n, workers, drawing.advance)
    for k, mesh in enumerate(tracked(meshes, "object clouds")):
        try:
            if mesh is not None:
                whole[k] = solid_cloud(mesh, n)
        except BadFile as error:
            if on_bad == "raise":
                raise
            bad[k] = str(error)
    return whole, noted(bad)


def _new(meshes: Sequence[Path], n: int) -> list[Path]:
    """One mesh for each cloud that is not cached."""
    keys: dict[str, Path] = {}
    for mesh in meshes:
        if mesh.is_file():
            keys.setdefault(_key(mesh, n), mesh)
    return [mesh for key, mesh in keys.items() if not (cache_dir() / _KIND / f"{key}.npz").exists()]


def _draw(meshes: Sequence[Path], n: int, workers: int, done: Callable[[], object]) -> None:
    """Samples clouds into the cache in other processes; if one ends early, the caller samples its clouds.

    They are separate programs instead of `multiprocessing`, which would run a user's script again in each if it lacks
    the guard `if __name__ == "__main__"`, or fork a process with threads.
    """
    todo: SimpleQueue[Path | None] = SimpleQueue()
    for mesh in (*meshes, *[None] * workers):
        todo.put(mesh)

    def feed(_: int) -> None:
        command = [sys.executable, "-c", _WORKER.format(n=n)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            with process:
                assert process.stdin
                assert process.stdout
                while (mesh := todo.get()) is not None:
                    print(json.dumps(str(mesh)), file=process.stdin, flush=True)
                    if not process.stdout.readline():
                        raise BrokenPipeError
                    done()
        except BrokenPipeError:
            _log.warning("object clouds: a process ended early; its clouds are sampled in this one")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(feed, range(workers)))


def _key(mesh: Path, n: int) -> str:
    return content_key(mesh.suffix, mesh, n)
