"""Reading data at the size of the real sets: DexGraspNet's index and random batches, GRAB's motions, and memory.

All data are synthetic: as many objects, grasps and sequences as the releases have, in folders of the cache that are
removed at the end (1.5 GB). The demo's fourteen shapes stand in for all meshes, so that the clouds of the first reading
cost next to nothing; what a cloud costs has a row of its own. The published lengths of GRAB's sequences are their
number and their sum; they are drawn around the mean. The first reading of GRAB is not timed: it is that of 17 GB of
contact labels.

What is compared with is what loaders of the field do for each grasp: `np.load` of the object's file of dicts, and
the numbers of one dict.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor

from ...datamodules.demo.dexgraspnet_tree import obj_of_pieces
from ...datamodules.dexgraspnet import DexGraspNet
from ...datamodules.dexgraspnet.clouds import solid_clouds
from ...datamodules.grab import GrabMotion
from ...datamodules.grab.objects import OBJECTS as GRAB_OBJECTS
from ...datamodules.grab.objects import SUBJECTS
from ...datamodules.grab.reader import GrabReader
from ...datamodules.grab.skeleton import Person, person_from_vertices
from ...datamodules.grab.tracks import CACHE, Tracks
from ...datamodules.types import GraspBatch
from ...files.cache import Arrays, cache_dir, cached, content_key
from ...geometry.rotations import euler_to_rotmat
from ...grasps.dexgraspnet import grasp_dicts
from ...hands import Hand, HandPose, load_hand
from ...synthesis.grasps import load_grasps
from .timing import Row, median_ms, once_ms, printed_by, row

OBJECTS, GRASPS = 5355, 250
"""DexGraspNet: objects, and about as many grasps of each as there are."""
SEQUENCES, FRAMES = 1334, 1_620_000
"""GRAB: sequences, and frames at 120 fps of all together."""
BATCH = 256
_SURFACE_POINTS = 1024
_SAMPLES = 10
_QUICK = 20  # a 20th of the data
_REACH = (0.025, 0.21)  # of a sequence, where the hand sets out and where the object is lifted
_SCALES = (0.06, 0.08, 0.10, 0.12, 0.15)


def rows(quick: bool) -> list[Row]:
    """The rows of the table; times are medians of one run, other units are in the names of the further columns; `quick`
    takes a 20th of the data.
    """
    share = _QUICK if quick else 1
    with own_cache() as folder:
        return [
            *_grasps(folder / "dexgraspnet", OBJECTS // share),
            *_clouds(folder, *((5, 0) if quick else (20, 100))),
            *_motion(SEQUENCES // share),
            *_memory(folder / "dexgraspnet", SEQUENCES // share),
        ]


@contextmanager
def own_cache() -> Iterator[Path]:
    """An empty cache for the time being, and a folder on the same disk for data. Both are removed."""
    before = os.environ.get("DEXZOO_CACHE")
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=cache_dir()) as folder:
        os.environ["DEXZOO_CACHE"] = str(Path(folder, "cache"))
        try:
            yield Path(folder)
        finally:
            os.environ.pop("DEXZOO_CACHE")
            if before is not None:
                os.environ["DEXZOO_CACHE"] = before


def write_grasps(root: Path, objects: int, per_object: int) -> None:
    """Writes a tree in DexGraspNet's layout: the demo's poses shuffled, each joint moved a little, in five sizes."""
    hand, rng = load_hand("shadow"), np.random.default_rng(0)
    pose = HandPose.cat([shape.pose for shape in load_grasps(hand=hand).values()]).to(torch.float64)
    shapes = list(meshes(len(load_grasps(hand=hand))))
    (root / "dataset").mkdir(parents=True)
    for k in range(objects):
        code = f"core-synthetic-{k:05d}"
        some = pose[torch.from_numpy(rng.integers(len(pose.joints), size=per_object))]
        moved = some.joints + torch.from_numpy(rng.normal(scale=0.01, size=some.joints.shape))
        here = HandPose(some.translation, some.rotation, moved, hand.name)
        table = grasp_dicts(here, per_object * [_SCALES[k % 5]], hand.joint_names)
        for (
            entry
        ) in table:  # the released files spell each key in every dict anew, half of their size, with numpy's scale
            entry["qpos"] = {name[:1] + name[1:]: value for name, value in entry["qpos"].items()}
            entry["scale"] = np.float64(entry["scale"])
        np.save(root / "dataset" / f"{code}.npy", table)
        mesh = root / "meshdata" / code / "coacd" / "decomposed.obj"
        mesh.parent.mkdir(parents=True)
        mesh.write_text(shapes[k % len(shapes)])


def meshes(count: int, size: float = 10) -> Iterator[str]:
    """OBJ files of the demo's shapes, no two alike; `size` is that of the first in units per metre."""
    shapes = [shape.pieces for shape in load_grasps(hand=load_hand("shadow")).values()]
    for k in range(count):
        yield obj_of_pieces([(size + k / 1000) * np.asarray(piece, np.float64) for piece in shapes[k % len(shapes)]])


def sequence_lengths(count: int) -> NDArray[np.int64]:
    """(count,), frames at 120 fps of sequences that have GRAB's mean, lognormal around it, at least two seconds."""
    drawn = np.random.default_rng(0).lognormal(sigma=0.4, size=count)
    return np.maximum(240, (drawn / drawn.mean() * FRAMES / SEQUENCES).astype(np.int64))


def sequence(frames: int, seed: int) -> Arrays:
    """A sequence as the cache keeps it (see `Tracks`): a hand that sets out, and an object that it lifts."""
    rng, time_ = np.random.default_rng(seed), np.arange(frames)
    start, lift = (int(share * frames) for share in _REACH)
    hand = rng.normal(scale=0.01, size=(frames, 51)).cumsum(axis=0) / 10
    hand[:, :3] = 0.002 * np.clip(time_ - start, 0, None)[:, None]
    obj = np.zeros((frames, 6))
    obj[:, 5] = 0.8 + 0.002 * np.clip(time_ - lift, 0, 150)
    return {
        "hand": hand.astype(np.float32),
        "object": obj.astype(np.float32),
        "touch": np.where(time_ >= lift, np.uint64(1 << 43), np.uint64(0)),
        "elbow_speed": np.zeros(frames, np.float32),
        "names": np.array(["tools/subject_meshes/male/s1_rhand.ply", "tools/object_meshes/contact_meshes/mug.ply"]),
    }


class _Sequences(GrabReader):
    """Reads synthetic sequences from the cache in place of GRAB's."""

    def __init__(self, count: int) -> None:
        super().__init__(None, "mano_skeleton")
        self.lengths = sequence_lengths(count)
        model = self.hand.spec.model
        assert model is not None
        self._person = person_from_vertices(self.hand, model.template, Path("the stand-in"))
        self._cloud = torch.rand(self.n_object_points, 3) / 10

    def tracks(self) -> Iterator[Tracks]:
        for k, frames in enumerate(self.lengths.tolist()):
            kept = cached(CACHE, content_key(k, frames), partial(sequence, frames, k))
            template, mesh = kept.pop("names").tolist()
            name = f"{GRAB_OBJECTS[k % len(GRAB_OBJECTS)]}_lift_{k}"
            yield Tracks(Path("grab", SUBJECTS[k % 10], name), **kept, template=template, mesh=mesh, side="right")

    def person(self, tracks: Tracks) -> Person:
        return self._person

    def object(self, tracks: Tracks) -> tuple[Tensor, Path | None]:
        return self._cloud, None


class SyntheticGrab(GrabMotion):
    """GRAB with that many synthetic sequences, in the cache when it was read once."""

    def __init__(self, count: int, workers: int) -> None:
        super().__init__(None, "mano_skeleton", batch_size=BATCH, num_workers=workers, min_windows_per_epoch=1)
        self.reader = _Sequences(count)


def grasps(root: str | Path, workers: int) -> DexGraspNet:
    """The data module of a tree, by the hash."""
    return DexGraspNet(root, batch_size=BATCH, num_workers=workers)


def _grasps(root: Path, objects: int) -> Iterator[Row]:
    write_grasps(root, objects, GRASPS)
    first = once_ms(lambda: grasps(root, 0).setup())
    again = median_ms(lambda: grasps(root, 0).setup(), 3)
    size = f"{objects * GRASPS:,} grasps of {objects:,} objects"
    yield row(f"opening {size} from the cache", again, "first reading", first, cache_mb=_size_mb("grasp_index-1"))
    data, hand = grasps(root, 0), load_hand("shadow")
    data.setup()
    points = hand.surface(_SURFACE_POINTS)

    def place(pose: HandPose) -> Tensor:
        return hand.place(hand.forward_kinematics(pose), points)

    with torch.no_grad():
        batches: Iterator[GraspBatch] = iter(data.train_dataloader())
        files = sorted((root / "dataset").iterdir())
        ours = median_ms(lambda: place(next(batches).pose), 10 if objects < OBJECTS else 100)
        peer = median_ms(lambda: place(read_randomly(files, hand)), 5)
    case = f"random batch of {BATCH} grasps with clouds, and {_SURFACE_POINTS} points on each hand"
    yield row(case, ours, "np.load of each grasp's file, without clouds", peer)


def read_randomly(files: list[Path], hand: Hand) -> HandPose:
    """HandPose (256,) of random grasps, each from its file."""
    rng, names = np.random.default_rng(), [f"robot0:{name}" for name in hand.joint_names]
    names += [f"WRJ{kind}{axis}" for kind in "RT" for axis in "xyz"]
    values = np.empty((BATCH, len(names)))
    for i, k in enumerate(rng.integers(len(files), size=BATCH)):
        table = np.load(files[k], allow_pickle=True)
        entry = table[rng.integers(len(table))]["qpos"]
        values[i] = [entry[name] for name in names]
    joints, euler, translation = (torch.from_numpy(x) for x in np.split(values, [-6, -3], axis=1))
    return HandPose(translation, euler_to_rotmat(euler, "xyz"), joints, hand.name).to(torch.float32)


def _clouds(folder: Path, alone: int, shared: int) -> Iterator[Row]:
    paths = []
    for k, text in enumerate(meshes(alone + shared, size=11)):
        paths.append(folder / "meshes" / f"{k}.obj")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(text)
    one = once_ms(lambda: solid_clouds(paths[:alone], 1024, workers=1)) / alone
    yield row("cloud of an object, first time", one)
    if shared:
        cores = os.cpu_count() or 1
        many = once_ms(lambda: solid_clouds(paths[alone:], 1024, workers=cores)) / shared
        yield row(f"cloud of an object, {shared} in {cores} processes and their start", many, "this one", one)


def _motion(count: int) -> Iterator[Row]:
    first = once_ms(lambda: SyntheticGrab(count, 0).setup())  # writes the cache
    again = once_ms(lambda: SyntheticGrab(count, 0).setup())
    frames = int(sequence_lengths(count).sum())
    case = f"opening {count:,} sequences of {frames:,} frames from the cache"
    yield row(case, again, "generating them", first, cache_mb=_size_mb(CACHE))
    for workers in (0, 1):
        data = SyntheticGrab(count, workers)
        data.setup()
        batches = chain.from_iterable(repeat(data.train_dataloader()))
        ms = median_ms(lambda batches=batches: next(batches), 300 // (workers + 1))
        where = "a worker" if workers else "this process"
        yield row(f"batch of {BATCH} windows, {where}", ms, windows_per_s=round(1e3 * BATCH / ms))


def _memory(root: Path, sequences: int) -> Iterator[Row]:
    """Memory of an epoch with two workers, in a process of its own; only Linux tells it."""
    if not Path("/proc/self/smaps_rollup").exists():
        return
    watched = f"SyntheticGrab({sequences}, 2), grasps({str(root)!r}, 2)"
    lines = printed_by(f"from dexzoo.experiments.bench.data import *; watch({watched})")[-2:]
    for what, found in zip(("windows", "grasps"), map(json.loads, lines), strict=True):
        yield row(f"batch of {BATCH} {what}, epoch with 2 workers", found.pop("ms"), **found)


def watch(*modules: LightningDataModule) -> None:
    """Prints memory of this process and its two workers, MB, early in an epoch of each and at its end, as JSON.

    `start_mb`, after a tenth of the epoch, and `end_mb` count pages that hold no file, each once however many processes
    have it: the least of ten batches, since those on their way come and go. `worker_mb` is what a worker has for
    itself, the more of the two.
    """
    torch.set_num_threads(1)
    for data in modules:
        data.setup("fit")
        loader = data.train_dataloader()
        count, start, end, at = len(loader), [], [], time.perf_counter()
        for i, _ in enumerate(loader):
            if 0 <= i - count // 10 < _SAMPLES:
                start.append(_whole_memory())
            if i >= count - _SAMPLES:
                end.append(_whole_memory())
        ms = 1e3 * (time.perf_counter() - at) / count
        own = max(memory(str(child.pid))["Private_Dirty"] for child in multiprocessing.active_children())
        print(json.dumps({"ms": ms, "batches": count, "start_mb": min(start), "end_mb": min(end), "worker_mb": own}))
        del loader  # and with it its workers


def memory(process: str = "self") -> dict[str, float]:
    """Memory of a process in MB, by the names of /proc/<pid>/smaps_rollup."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {name.strip(": "): 1.024e-3 * float(kilobytes) for name, kilobytes, _ in map(str.split, lines)}


def _whole_memory() -> float:
    pids = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
    return sum(found["Pss_Anon"] + found["Pss_Shmem"] for found in map(memory, pids))


def _size_mb(kind: str) -> float:
    return sum(file.stat().st_size for file in (cache_dir() / kind).iterdir()) / 1e6
