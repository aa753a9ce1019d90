"""The shipped demo grasps as files that any tool can read: our grasp format, and a mesh per object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh

from ...files.errors import UnknownName
from ...grasps.files import GraspSet
from ...grasps.files import save_grasps as save_grasp_sets
from ...hands.load import load_hand
from ...synthesis.grasps import SHIPPED, load_grasps
from ...synthesis.objects import object_mesh, object_names


def export(out: Path, objects: Sequence[str] | None = None) -> tuple[Path, Path]:
    """Writes `out/grasps.npz` (format `dexzoo`, hand `shadow`) and `out/meshes/<object>.obj`, in metres; returns both
    paths.

    `objects` are all by default; raises UnknownName for an unknown one.
    """
    names = tuple(objects or object_names())
    for name in names:
        if name not in object_names():
            raise UnknownName("demo object", name, object_names())
    hand = load_hand("shadow")
    shipped = load_grasps(hand=hand)
    sets = []
    for name in names:
        pose = shipped[name].pose.to(torch.float64)
        n = pose.shape[0]
        sets.append(GraspSet(name, pose, torch.ones(n, dtype=torch.float64), torch.arange(n), (SHIPPED,)))
    meshes = out / "meshes"
    meshes.mkdir(parents=True, exist_ok=True)
    for name in names:
        (meshes / f"{name}.obj").write_text(_obj(object_mesh(name)))
    save_grasp_sets(out / "grasps.npz", sets, hand)
    return out / "grasps.npz", meshes


def _obj(mesh: trimesh.Trimesh) -> str:
    """Wavefront OBJ with all digits, so that the mesh is read back exactly."""
    vertices = [f"v {' '.join(map(repr, vertex))}" for vertex in np.asarray(mesh.vertices).tolist()]
    faces = [f"f {' '.join(map(str, face))}" for face in (np.asarray(mesh.faces) + 1).tolist()]
    return "\n".join([*vertices, *faces]) + "\n"
