"""Grasps whose gap to the object is known in closed form, and the evaluation tool on them."""

from __future__ import annotations

from pathlib import Path

import torch
import trimesh
from rich.console import Console

from dexzoo.grasps.files import GraspSet, save_grasps
from dexzoo.metrics.tool import Settings, evaluate
from tests.verbs import status_of

from .small_hands import ball, fixed_hand, pose_at

RADIUS = 0.01
COUNTS = {"cube": 10, "sem/slab-1": 7}


class Given:
    """A hand that is a ball, two boxes in a unit of their own, and grasps above them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hand = folder, fixed_hand(folder / "hand", ball((0, 0, 0), RADIUS))
        self.meshes, self.grasps, self.out = folder / "meshes", folder / "grasps", folder / "out"
        self.write_mesh("cube.obj", trimesh.creation.box((2, 2, 2)))
        self.write_mesh("sem-slab-1/coacd/decomposed.obj", trimesh.creation.box((4, 4, 2)))
        for name, count in COUNTS.items():
            self.write_grasps(name, count)

    def write_mesh(self, name: str, mesh: trimesh.Trimesh) -> None:
        (self.meshes / name).parent.mkdir(parents=True, exist_ok=True)
        mesh.export(self.meshes / name)

    def write_grasps(self, name: str, count: int, shift: float = 0.0) -> None:
        """Grasp n is n + 0.2 mm above a box of half-height 20 + n mm; the second one is not known."""
        n = torch.arange(count, dtype=torch.float64)
        scale = 0.02 + 1e-3 * n
        pose = pose_at(self.hand, torch.stack([0 * n, 0 * n, scale + RADIUS + 1e-3 * n + 2e-4 + shift], -1))
        pose.translation[1] = torch.nan
        part = GraspSet(name, pose, scale, torch.arange(count) + 100)
        save_grasps(self.grasps / f"{name.replace('/', '-')}.npz", [part], self.hand)

    @property
    def settings(self) -> Settings:
        return Settings(str(self.hand.spec.file), ("contact",), chunk=4)

    def run(self, **changes):
        options = {"out": self.out, "settings": self.settings, "pictures": False, "console": Console(quiet=True)}
        return evaluate(self.grasps, self.meshes, **(options | changes))

    def main(self, *words: str) -> int:
        given = [f"--mesh={self.meshes}", f"--out={self.out}", f"--hand={self.hand.spec.file}", "--metrics", "contact"]
        return status_of("evaluate", str(self.grasps), *given, "--chunk=4", "--no-pictures", *words)
