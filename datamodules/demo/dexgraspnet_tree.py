"""A small tree in DexGraspNet's layout, made from the demo grasps: generated objects and generated grasps.

Nothing in it comes from DexGraspNet; readers flag it `demo_data`, and the file `DEMO_MARK` marks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray

from ...grasps.dexgraspnet import grasp_dicts
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ...synthesis.grasps import GENERATOR_VERSION, ObjectGrasps, load_grasps
from ...synthesis.objects import TEST_OBJECTS, object_mesh, object_names
from ..base import DEMO_MARK, demo_tree_of

SCALES = (0.06, 0.08, 0.10, 0.12, 0.15)
"""metres per unit, DexGraspNet's five scales; each demo object has the one that suits its size."""
_UNIT_RADIUS = 0.98
_VERSION = 2
_MARK = """demo data in DexGraspNet's layout
Written by dexzoo. Not DexGraspNet: the objects are generated shapes and the grasps come from dexzoo's own generator. No
number obtained with it says anything about DexGraspNet.
"""


def demo_tree() -> Path:
    """The tree in the cache, written on first use, in seconds."""
    return demo_tree_of("dexgraspnet", write_dexgraspnet_tree, _VERSION, GENERATOR_VERSION)


def write_dexgraspnet_tree(root: Path, objects: Sequence[str] | None = None) -> None:
    """Writes `dataset/<code>.npy`, `meshdata/<code>/coacd/decomposed.obj` and lists of training and test objects."""
    names = tuple(objects or object_names())
    hand = load_hand("shadow")
    grasps = load_grasps(hand=hand)
    (root / "dataset").mkdir(parents=True, exist_ok=True)
    (root / DEMO_MARK).write_text(_MARK, encoding="utf-8")
    for name in names:
        centre, scale = _frame(name)
        folder = root / "meshdata" / object_code(name) / "coacd"
        folder.mkdir(parents=True)
        pieces = [(np.asarray(piece, np.float64) - centre) / scale for piece in grasps[name].pieces]
        (folder / "decomposed.obj").write_text(obj_of_pieces(pieces))
        pose = _moved(grasps[name], centre)
        table = grasp_dicts(pose, [scale] * pose.shape[0], hand.joint_names)
        np.save(root / "dataset" / f"{object_code(name)}.npy", table, allow_pickle=True)
    for part in ("train", "test"):
        codes = [object_code(name) for name in names if (name in TEST_OBJECTS) == (part == "test")]
        (root / f"{part}.txt").write_text("".join(f"{code}\n" for code in codes))


def object_code(name: str) -> str:
    """The code of a demo object: `<source>-<category>-<id>`."""
    return f"demo-{name}-0"


def obj_of_pieces(pieces: Sequence[NDArray]) -> str:
    """Wavefront OBJ with one `o convex_<i>` for the hull of each piece, without normals, like CoACD's output."""
    lines, first = [], 1
    for i, piece in enumerate(pieces):
        hull = trimesh.convex.convex_hull(piece)
        lines.append(f"o convex_{i}")
        lines += [f"v {' '.join(f'{x:.9g}' for x in vertex)}" for vertex in np.asarray(hull.vertices).tolist()]
        lines += [f"f {' '.join(map(str, face))}" for face in (np.asarray(hull.faces) + first).tolist()]
        first += len(hull.vertices)
    return "\n".join(lines) + "\n"


def _frame(name: str) -> tuple[NDArray[np.float64], float]:
    """Centre of the object's bounding box, which becomes the origin, and its scale."""
    mesh = object_mesh(name)
    centre = mesh.bounds.mean(axis=0)
    radius = np.linalg.norm(mesh.vertices - centre, axis=1).max() / _UNIT_RADIUS
    return centre, min(SCALES, key=lambda scale: abs(scale - radius))


def _moved(grasps: ObjectGrasps, centre: NDArray[np.float64]) -> HandPose:
    return grasps.pose.to(torch.float64).moved_by(torch.eye(3, dtype=torch.float64), -torch.from_numpy(centre))
