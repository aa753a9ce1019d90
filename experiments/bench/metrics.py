"""Metrics of grasps against what the field runs today: milliseconds per grasp, one process, medians of one run.

The peers are our own legacy modes, which do the work of the scripts in use (`docs/metrics.md`), V-HACD of every grasp's
object included, as those run it; the whole 6-D hull for Q1; and `trimesh.proximity` for the distances. What is made
once per object has rows of its own.

The grasps are 20 of each of three objects: of the demo data, or with `--root` of a DexGraspNet folder.
"""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from ...geometry.sdf import DistanceGrid
from ...geometry.solids import make_solid
from ...grasps.asset import ObjectAsset
from ...grasps.files import load_grasps
from ...grasps.posed import PosedGrasps
from ...hands import load_hand
from ...metrics.columns import TABLE3, grasp_errors
from ...metrics.functional.contact import contact
from ...metrics.functional.penetration import penetration_depth
from ...metrics.functional.q1 import q1
from ...metrics.functional.simulation import sim_displacement, success
from ...metrics.functional.volumes import hand_object_volume, self_intersection_volume
from ...simulation.bullet import vhacd
from ...synthesis.grasps import load_grasps as load_demo_grasps
from ...synthesis.objects import object_mesh
from .timing import Row, median_ms, once_ms, row

_OBJECTS, _PER_OBJECT = 3, 20
_PEER_PER_OBJECT = 4  # the peers take seconds per grasp
_DEMO = ("mug", "banana", "bottle")
_SURFACE_POINTS = 2048

Metric = Callable[[PosedGrasps], Tensor]


def rows(quick: bool, root: Path | None = None) -> list[Row]:
    """The rows of the table; times are per grasp where the case does not say otherwise. `quick` takes fewer grasps and
    repetitions, `root` is a folder of DexGraspNet with `dataset` and `meshdata` in place of the demo grasps.
    """
    batches = demo_grasps() if root is None else dexgraspnet_grasps(root)
    if quick:
        batches = [some(batch, 5) for batch in batches]
    few = [some(batch, 1 if quick else _PEER_PER_OBJECT) for batch in batches]
    repeats = 1 if quick else 3
    return [
        *_set_up(batches),
        *_table3(batches, few, repeats),
        *_others(batches, few, repeats),
        *_in_grasps(batches[0], quick),
        *_in_faces(quick),
    ]


def demo_grasps(per_object: int = _PER_OBJECT) -> list[PosedGrasps]:
    """Some of the shipped demo grasps of each of three objects."""
    hand, found = load_hand("shadow"), {name: load_demo_grasps()[name] for name in _DEMO}
    assets = [ObjectAsset.from_mesh(object_mesh(n), f"demo {n}", pieces=shape.pieces) for n, shape in found.items()]
    return [some(PosedGrasps(hand, x.pose, asset), per_object) for x, asset in zip(found.values(), assets, strict=True)]


def dexgraspnet_grasps(root: Path, per_object: int = _PER_OBJECT) -> list[PosedGrasps]:
    """Some grasps of each of the first three objects of a DexGraspNet folder; ValueError where there are none."""
    hand = load_hand("shadow")
    found = []
    for path in sorted((root / "dataset").glob("*.npy"))[:_OBJECTS]:
        (grasps,) = load_grasps(path, hand, "dexgraspnet")
        asset = ObjectAsset.from_file(root / "meshdata" / grasps.object / "coacd" / "decomposed.obj", grasps.object)
        found.append(some(PosedGrasps(hand, grasps.pose, asset, grasps.scale), per_object))
    if not found:
        raise ValueError(f"{root}: expected dataset/*.npy and meshdata/ of DexGraspNet, found no grasp file")
    return found


def some(grasps: PosedGrasps, count: int) -> PosedGrasps:
    """`count` grasps, evenly spread over all."""
    return grasps[torch.from_numpy(np.linspace(0, len(grasps) - 1, min(count, len(grasps))).astype(np.int64))]


def _set_up(batches: list[PosedGrasps]) -> Iterator[Row]:
    """Time of the solid and the grid, which are made once per object and kept in the cache."""

    def make(asset: ObjectAsset) -> None:
        make_solid(asset.mesh)
        DistanceGrid(asset.solid, asset.grid.spacing, 2 * asset.grid.spacing)

    times = [once_ms(partial(make, batch.object)) for batch in batches]
    yield row("set-up of an object: solid and grid (ms per object)", statistics.median(times))


def _table3(batches: list[PosedGrasps], few: list[PosedGrasps], repeats: int) -> Iterator[Row]:
    """The columns of RealDex's Table 3 one by one, then all together."""
    field = "field's script"
    ours: dict[str, tuple[Metric, str | None, Metric | None]] = {
        "penetration depth": (penetration_depth, field, partial(penetration_depth, mode="legacy_gtta")),
        "self-intersection volume": (lambda g: self_intersection_volume(g.hand, g.pose), None, None),
        "hand-object volume": (hand_object_volume, field, partial(hand_object_volume, mode="legacy_vox5")),
        "simulated displacement": (lambda g: sim_displacement(g).displacement, field, _bullet),
    }
    peers = 0.0
    for case, (function, peer, script) in ours.items():
        peer_ms = _per_grasp(script, few, 1) if script else None
        peers += peer_ms or 0
        yield row(case, _per_grasp(function, batches, repeats), peer, peer_ms)
    together = _per_grasp(lambda g: next(iter(grasp_errors(_fresh(g), TABLE3).values())), batches, repeats)
    yield row("these four together", together, "field's three scripts", peers)


def _others(batches: list[PosedGrasps], few: list[PosedGrasps], repeats: int) -> Iterator[Row]:
    certified, peer = partial(penetration_depth, certify=True), f"trimesh.proximity, {_SURFACE_POINTS} points"
    ours, theirs = _per_grasp(certified, batches, repeats), _per_grasp(_trimesh, few, 1)
    yield row("penetration depth, certified", ours, peer, theirs)
    yield row("Q1", _per_grasp(q1, batches, repeats), "whole hull", _per_grasp(partial(q1, whole_hull=True), few, 1))
    yield row("contact", _per_grasp(lambda g: contact(g).distance, batches, repeats))
    six = partial(sim_displacement, gravity="six")
    yield row("six directions, 0.146 s", _per_grasp(lambda g: six(g).displacement, batches, repeats))
    yield row("six directions, 1.667 s", _per_grasp(lambda g: success(g).displacement, few, 1))


def _in_grasps(batch: PosedGrasps, quick: bool) -> Iterator[Row]:
    """Table 3 of a growing number of grasps of one object: linear cost is a constant per grasp."""
    for count in (10, 30) if quick else (30, 100, 300, 1000):
        many = _fresh(batch[torch.arange(count) % len(batch)])
        ms = once_ms(lambda many=many: grasp_errors(many, TABLE3)) / count
        yield row("Table 3 in grasps", ms, grasps=count)


def _in_faces(quick: bool) -> Iterator[Row]:
    """Penetration and volume at a ball with a growing number of faces, by the grasps of the demo's can."""
    hand, pose = load_hand("shadow"), load_demo_grasps()["can"].pose[:20]
    for subdivisions in (3, 4) if quick else (3, 4, 5, 6, 7):
        ball = trimesh.creation.icosphere(subdivisions, radius=0.04).apply_translation([0, 0, 0.0575])
        grasps = PosedGrasps(hand, pose, ObjectAsset.from_mesh(ball, "ball"))
        for case, function in (("penetration depth", penetration_depth), ("hand-object volume", hand_object_volume)):
            yield row(f"{case} in faces", _per_grasp(function, [grasps], 3), faces=len(ball.faces))


def _bullet(grasps: PosedGrasps) -> Tensor:
    """The scripts decompose the object anew for every grasp, here it is kept: its time is added."""
    mesh = grasps.object.mesh
    for scale in grasps.scales.tolist():
        vhacd(trimesh.Trimesh(mesh.vertices * scale, mesh.faces, process=False))
    return sim_displacement(grasps, mode="legacy_bullet").displacement


def _trimesh(grasps: PosedGrasps) -> Tensor:
    points = grasps.hand.place(grasps.links, grasps.hand.surface(_SURFACE_POINTS)) / grasps.scales[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # at triangles without an area
        depth = [trimesh.proximity.signed_distance(grasps.object.solid, p.numpy()).max() for p in points]
    return torch.tensor(depth).clamp(min=0) * grasps.scales


def _fresh(grasps: PosedGrasps) -> PosedGrasps:
    """The same grasps, nothing computed yet."""
    return grasps[:]


def _per_grasp(function: Metric, batches: list[PosedGrasps], repeats: int) -> float:
    """Median over repetitions of the mean milliseconds per grasp."""
    return median_ms(lambda: [function(_fresh(batch)) for batch in batches], repeats) / sum(map(len, batches))
