"""Six clips and twelve grasps on boxes with a mesh, as data modules with all three parts: enough to run a `Trainer`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh

from dexzoo.datamodules import MotionDataModule
from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.datamodules.grasps import GraspDataModule, GraspParts
from dexzoo.datamodules.splits import Split
from dexzoo.geometry.sampling import sample_surface
from dexzoo.hands import load_hand
from tests.models.conftest import make_clips, random_pose


class SmallMotions(MotionDataModule):
    """Two clips to train on, two to validate, two to test on."""

    title = "six clips"
    is_demo = True

    def __init__(self, folder: Path, points: int = 64, clips_per_batch: int | None = None) -> None:
        small = {"batch_size": 4, "eval_batch_size": 2, "min_windows_per_epoch": 0, "first_window_weight": 1}
        super().__init__(clips_per_batch=clips_per_batch, **small)
        self.mesh, self.points = folder / "box.obj", points

    def load(self):
        """The clips; the last one has no mesh."""
        trimesh.creation.box((0.05, 0.06, 0.07)).export(self.mesh)
        clips = make_clips(load_hand("shadow"), torch.Generator().manual_seed(3))
        clips = [replace(clip, mesh=self.mesh, object_points=clip.object_points[: self.points]) for clip in clips]
        return [*clips[:-1], replace(clips[-1], mesh=None)]

    def split(self, samples):
        """By twos."""
        self.split_group = "recording"
        return Split(list(samples[:2]), list(samples[2:4]), list(samples[4:]))


class SmallGrasps(GraspDataModule):
    """Four grasps each of a box to train on, one to validate, one to test on, which stand on tables."""

    title = "twelve grasps"
    is_demo = True

    def __init__(self, folder: Path, points: int = 160) -> None:
        super().__init__(batch_size=4, eval_batch_size=4, min_grasps_per_epoch=16, eval_grasps=2)
        self.folder, self.points = folder, points

    def load(self):
        """Hands about 10 cm from the boxes, in any turn."""
        hand, objs, clouds = load_hand("shadow"), [], []
        for i, size in enumerate(((0.05, 0.06, 0.07), (0.04, 0.04, 0.1), (0.06, 0.05, 0.05))):
            box, file = trimesh.creation.box(size), self.folder / f"box{i}.obj"
            box.export(file)
            objs.append(GraspObject(f"box{i}", file))
            clouds.append(sample_surface(box.vertices, box.faces, self.points, seed=i)[0])
        pose = random_pose(hand, 12, generator=torch.Generator().manual_seed(4), spread=0.06)
        store = GraspStore.of(pose, np.repeat(np.arange(3), 4), objs, torch.from_numpy(np.stack(clouds)).float())
        table = np.tile(np.array([0, 0, 1, 0.05], np.float32), (12, 1))
        return replace(store, numbers=np.concatenate([store.numbers, table], axis=1))

    def split(self, whole):
        """An object in each part."""
        return GraspParts.by_object(whole, ["box1"], ["box2"])
