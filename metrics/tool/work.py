"""Measures chunks: in this process, in several, or on a Ray cluster. All write bitwise identical shards."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...geometry.meshes import MeshError
from ...grasps.asset import ObjectAsset, load_asset
from ...grasps.posed import PosedGrasps
from ...hands.load import load_hand
from ...hands.plausible import doubt_grasps, doubt_size
from ...hands.pose import HandPose
from ..columns import grasp_errors
from .plan import Chunk, EvaluationError
from .shards import write_shard

Job = TypeVar("Job")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Measured:
    """Outcome of a chunk, of a number of grasps of an object."""

    object: str
    count: int
    repairs: tuple[str, ...] = ()  # of the object's mesh, and how far off they are
    failure: str = ""  # the reason why the object cannot be measured; no shard is written then


def measure_chunk(chunk: Chunk) -> Measured:
    """Measures the grasps of a chunk and writes its shard, on one thread.

    A grasp with a number that is not finite gets NaN in all columns.
    """
    with _one_thread():
        try:
            asset = load_asset(chunk.mesh, chunk.object)
            grasps = _grasps(chunk, asset)
            if problem := _size_problem(chunk, asset):
                return Measured(chunk.object, len(chunk), failure=problem)
            doubts = doubt_grasps(grasps.hand, grasps.pose, partial(_distance, grasps))
            columns = grasp_errors(grasps, chunk.settings.metrics, chunk.settings.legacy)
            repairs = asset.said(float(np.nanmax(chunk.scale)))
        except MeshError as error:
            return Measured(chunk.object, len(chunk), failure=str(error))
    write_shard(chunk, {key: value.numpy() for key, value in columns.items()}, repairs, doubts)
    return Measured(chunk.object, len(chunk), repairs)


def _grasps(chunk: Chunk, asset: ObjectAsset) -> PosedGrasps:
    hand, to_tensor = load_hand(chunk.settings.hand), torch.from_numpy
    pose = HandPose(to_tensor(chunk.translation), to_tensor(chunk.rotation), to_tensor(chunk.joints), hand.name)
    rest = (chunk.scale, chunk.up, chunk.pregrasp, chunk.squeeze)
    return PosedGrasps(hand, pose, asset, *map(to_tensor, rest))


def _distance(grasps: PosedGrasps, points: Tensor, rows: Tensor) -> Tensor:
    """(b, P), metres, from points (b, P, 3), metres, to the object of the grasps with these indices (b,)."""
    scale = grasps.scales[rows, None]
    return grasps.object.distance(points / scale.unsqueeze(-1)) * scale


def _size_problem(chunk: Chunk, asset: ObjectAsset) -> str:
    """Reason why the object's size is implausible, unless the user stated the unit of its mesh; otherwise ""."""
    known = chunk.scale[np.isfinite(chunk.scale)]
    if chunk.settings.scale is not None or not len(known):
        return ""
    sides = [asset.mesh.extents.max() * scale for scale in (known.min(), known.max())]
    problem = next(filter(None, map(doubt_size, sides)), "")
    return f"{chunk.mesh}: {problem}; --scale states the unit of the meshes (1: metres)" if problem else ""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits torch to one thread, because sums over several threads differ in the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_here(chunks: Iterable[Chunk]) -> Iterator[Measured]:
    """Measures chunks one after the other in this process."""
    return map(measure_chunk, chunks)


def run_processes(chunks: Iterable[Chunk], workers: int) -> Iterator[Measured]:
    """Measures chunks in new processes of one thread each; yields them in the order in which they finish. Raises
    EvaluationError where a process died.
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's and warp's threads
    with _environment(dict.fromkeys(_THREADS, "1")):
        pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
        try:
            submit = partial(pool.submit, measure_chunk)
            done = partial(wait, return_when=FIRST_COMPLETED)
            yield from _bounded(chunks, submit, lambda jobs: done(jobs)[0], lambda job: job.result(), 2 * workers)
        except BrokenProcessPool as error:
            advice = "finished chunks are kept: run the command again, with fewer --workers"
            raise EvaluationError(f"a worker process died, perhaps out of memory; {advice}") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:  # if it was interrupted
                child.terminate()


def run_ray(chunks: Iterable[Chunk], workers: int | None) -> Iterator[Measured]:
    """Measures chunks as tasks on the running Ray cluster, or on a new local one with `workers` CPUs. Raises
    EvaluationError where Ray is not installed, or lost a task.
    """
    ray = _import_ray()
    mine = not ray.is_initialized()
    if mine:
        _start_ray(ray, workers)
    task = ray.remote(num_cpus=1)(measure_chunk)
    room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        yield from _bounded(chunks, task.remote, lambda jobs: ray.wait(list(jobs))[0], ray.get, room)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the error of measure_chunk, without Ray's traceback
    except ray.exceptions.RayError as error:
        raise EvaluationError(f"Ray lost a task; finished chunks are kept: run the command again. {error}") from error
    finally:
        if mine:
            ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences an irrelevant warning
    try:
        import ray
    except ImportError as error:
        raise EvaluationError('--ray needs the package ray: pip install "dexzoo[ray]"') from error
    return ray


def _start_ray(ray: Any, workers: int | None) -> None:
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)


def _bounded(
    chunks: Iterable[Chunk],
    submit: Callable[[Chunk], Job],
    some: Callable[[set[Job]], Iterable[Job]],
    result: Callable[[Job], Measured],
    room: int,
) -> Iterator[Measured]:
    """Results as they arrive, with at most `room` chunks in flight."""
    jobs: set[Job] = set()
    waiting = iter(chunks)
    while True:
        for chunk in waiting:
            jobs.add(submit(chunk))
            if len(jobs) == room:
                break
        if not jobs:
            return
        done = list(some(jobs))
        jobs.difference_update(done)
        yield from map(result, done)


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, and ends with the parent even if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for new processes."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key)
            os.environ.update({} if value is None else {key: value})
