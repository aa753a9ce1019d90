"""The hand, and grasps of it that are pushed into objects."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dexzoo.grasps.files import GraspSet
from dexzoo.hands import load_hand
from dexzoo.synthesis import grasps as demo
from dexzoo.synthesis.objects import object_mesh


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow")


@pytest.fixture
def pushed(tmp_path, hand) -> list[GraspSet]:
    """Three grasps of the jar and two of a can twice its size, 5 mm into them; with meshes/<name>.obj beside."""
    (tmp_path / "meshes").mkdir()
    known, sets = demo.load_grasps(), []
    for name, count, scale in (("jar", 3, 1.0), ("can", 2, 1.25)):
        mesh = object_mesh(name).copy()  # the original is kept for whoever asks next
        mesh.apply_scale(1 / scale)
        mesh.export(tmp_path / f"meshes/{name}.obj")
        pose = known[name].pose[:count].to(torch.float64)
        pose = replace(pose, translation=pose.translation - 0.005 * pose.rotation[..., 1])
        scales = torch.full((count,), scale, dtype=torch.float64)
        sets.append(GraspSet(name, pose, scales, torch.arange(10, 10 + count)))
    return sets
