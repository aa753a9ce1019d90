"""The run that makes the file of grasps: one shard for each object and seed; finished shards are kept."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ..geometry.meshes import mesh_hash
from ..geometry.progress import tracked, working
from ..geometry.solids import convex_pieces
from ..hands.hand import Hand
from ..hands.load import load_hand
from .grasps import GENERATOR_VERSION, SHIPPED, ObjectGrasps, join_grasps, load_grasps, save_grasps
from .objects import object_mesh, object_names
from .search import find_grasps

_ROUNDS = 8


def generate(
    out: Path,
    hand: str = "shadow",
    seeds: Sequence[int] = (0, 1),
    per_object: int = 40,
    steps: int = 300,
    objects: Sequence[str] | None = None,
) -> Path:
    """Finds grasps of the demo objects and writes them to `out/grasps.npz`, the path that it returns.

    Restarted with the same settings after an interruption, it continues with the first unfinished object.

    Args:
        out: folder; created if absent.
        hand: name of a hand or path of its YAML.
        seeds: the grasps of each object are divided among them.
        per_object: number of grasps of each object.
        steps: annealing steps.
        objects: names; all by default.
    """
    body, names = load_hand(hand), tuple(objects or object_names())
    share = -(-per_object // len(seeds))
    label = f"v{GENERATOR_VERSION}-{body.name}-{steps}-{share}"
    shards = out / f"shards-{label}"
    shards.mkdir(parents=True, exist_ok=True)
    for name, seed in tracked([*itertools.product(names, seeds)], "demo grasps"):
        _shard(shards / f"{name}-{seed}.npz", body, name, share, steps, seed)
    joined = [join_grasps([load_grasps(shards / f"{n}-{s}.npz")[n] for s in seeds]) for n in names]
    path = out / "grasps.npz"
    _write(path, joined, body, steps)
    _report(joined)
    return path


def _shard(path: Path, hand: Hand, name: str, count: int, steps: int, seed: int) -> None:
    if path.exists():
        return
    mesh, pieces = object_mesh(name), _pieces(name)
    with working(f"annealing {name}, seed {seed}", _ROUNDS * steps) as annealing:
        found = find_grasps(*(hand, name, mesh, pieces, count, steps, seed), rounds=_ROUNDS, on_step=annealing.advance)
    _write(path, [found], hand, steps)


def _pieces(name: str) -> Sequence[NDArray[np.float32]]:
    """The shipped convex pieces if they belong to this mesh, so that users do not need CoACD; otherwise new ones."""
    mesh = object_mesh(name)
    shipped = load_grasps().get(name) if SHIPPED.exists() else None
    if shipped and shipped.mesh == mesh_hash(mesh):
        return shipped.pieces
    return [piece.astype(np.float32) for piece in convex_pieces(mesh)]


def _write(path: Path, grasps: Sequence[ObjectGrasps], hand: Hand, steps: int) -> None:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    save_grasps(temporary, grasps, hand.joint_names, steps)
    os.replace(temporary, path)


def _report(grasps: Sequence[ObjectGrasps]) -> None:
    table = Table("object", "grasps", "per attempt", "six directions", "median penetration, mm")
    for g in grasps:
        count = len(g.seed)
        six = f"{100 * g.six_directions.all(axis=1).mean():.0f} %" if count else "-"
        depth = f"{1000 * float(sorted(g.penetration)[count // 2]):.1f}" if count else "-"
        table.add_row(g.object, str(count), f"{100 * count / g.attempts:.0f} %", six, depth)
    Console().print(table)
