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
from queue import Empty, SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from ...files.cache import Arrays, cache_dir, cached, content_key, write_whole
from ...files.errors import BadFile
from ...geometry.meshes import MeshError
from ...geometry.progress import tracked, working
from ...geometry.sampling import farthest_point_sampling, sample_surface
from ...grasps.asset import ObjectAsset
from .index import mapped, signature

_CANDIDATES = 8  # Surface points sampled for each point kept
_KIND = "solid_clouds-1"
_WORTH, _MOST = 100, 8
"""Number of clouds from which on extra processes, which take seconds to start, are faster; and how many to start."""
_WORKER = "from dexzoo.datamodules.dexgraspnet.clouds import work; work({n})"

_log = logging.getLogger(__name__)


def solid_cloud(mesh: Path, n: int) -> NDArray[np.float32]:
    """(n, 3), spread evenly over the outer surface, frame and unit of the mesh; cached.

    Raises:
        BadFile: the mesh cannot be read, or bounds no solid.
    """

    def make() -> Arrays:
        solid = ObjectAsset.from_file(mesh).solid
        points, _, _ = sample_surface(solid.vertices, solid.faces, _CANDIDATES * n)
        picked = farthest_point_sampling(torch.from_numpy(points)[None], n)[0].numpy()
        return {"points": points[picked].astype(np.float32)}

    try:
        return cached(_KIND, _key(mesh, n), make)["points"]
    except (MeshError, OSError) as error:
        raise BadFile(mesh, "the mesh of an object", str(error).removeprefix(f"{mesh}").lstrip(":, ")) from error


def solid_clouds(
    meshes: Sequence[Path | None], n: int, on_bad: str = "raise", workers: int | None = None
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Clouds of all objects, in one memory-mapped file.

    Sampling a cloud takes a quarter of a second; many are sampled in several processes. Each is cached separately, so
    that an interrupted run continues where it stopped.

    Args:
        meshes: of K objects; objects without a mesh get a cloud of NaN.
        n: points in each cloud.
        on_bad: "raise" or "skip", with which a bad mesh gets a cloud of NaN.
        workers: processes for clouds that are not cached. By default only this one if there are few, otherwise one per
            core, up to eight; each takes 0.4 GB.

    Returns:
        (K, n, 3), unit of the meshes; the messages of bad meshes by index.

    Raises:
        BadFile: with `on_bad="raise"`.
    """
    key = content_key(n, on_bad, [mesh is None for mesh in meshes], signature([m for m in meshes if m]))
    path = cache_dir() / _KIND / f"{key}-all.npy"

    def make() -> Arrays:
        whole, bad = _read_all(meshes, n, on_bad, workers)
        write_whole(path, lambda file: np.save(file, whole))
        return {"bad": np.array(list(bad), dtype=np.int64), "messages": np.array(list(bad.values()), dtype=np.str_)}

    entry = cached(_KIND, f"{key}-all", make)
    for message in entry["messages"].tolist():
        _log.warning("left out: %s", message)
    return mapped(path, make), dict(zip(entry["bad"].tolist(), entry["messages"].tolist(), strict=True))


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
) -> tuple[NDArray[np.float32], dict[int, str]]:
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
    return whole, bad


def _new(meshes: Sequence[Path], n: int) -> list[Path]:
    """One mesh for each cloud that is not cached."""
    keys: dict[str, Path] = {}
    for mesh in meshes:
        if mesh.is_file():
            keys.setdefault(_key(mesh, n), mesh)
    return [mesh for key, mesh in keys.items() if not (cache_dir() / _KIND / f"{key}.npz").exists()]


def _draw(meshes: Sequence[Path], n: int, workers: int, done: Callable[[], object]) -> None:
    """Samples clouds into the cache in other processes.

    They are separate programs instead of `multiprocessing`, which would run a user's script again in each if it lacks
    the guard `if __name__ == "__main__"`, or fork a process with threads. If one ends early, the caller samples its
    clouds.
    """
    todo: SimpleQueue[Path] = SimpleQueue()
    for mesh in meshes:
        todo.put(mesh)

    def feed(_: int) -> None:
        command = [sys.executable, "-c", _WORKER.format(n=n)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            while True:
                try:
                    mesh = todo.get_nowait()
                    process.stdin.write(json.dumps(str(mesh)) + "\n")
                    process.stdin.flush()
                except (Empty, BrokenPipeError):
                    break
                if not process.stdout.readline():
                    _log.warning("object clouds: a process ended early; its clouds are sampled in this one")
                    break
                done()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(feed, range(workers)))


def _key(mesh: Path, n: int) -> str:
    return content_key(mesh.suffix, mesh, n)
