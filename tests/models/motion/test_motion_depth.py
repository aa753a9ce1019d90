"""The penetration of a motion test: its objects, the frames that count, and objects without a solid."""

from __future__ import annotations

from dataclasses import replace

import lightning as L
import pytest
import torch
import trimesh

from dexzoo.datamodules import MotionDataModule
from dexzoo.datamodules.splits import Split
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.metrics.functional.penetration import penetration_depth
from dexzoo.models import MotionSynthesis
from dexzoo.models.motion import HoldStill


class GivenClips(MotionDataModule):
    title = "given clips"

    def __init__(self, train, test):
        super().__init__(batch_size=16, min_windows_per_epoch=0)
        self.parts = train, test

    def load(self):
        return [clip for part in self.parts for clip in part]

    def split(self, samples):
        self.split_group = "recording"
        return Split(self.parts[0], [], self.parts[1])


def rows_of(train, test, tmp_path):
    """Rows of a hand that holds still."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    task = MotionSynthesis(HoldStill, "shadow", method="hold")
    L.Trainer(default_root_dir=tmp_path, **quiet).test(task, GivenClips(train, test), verbose=False)
    return task.results


def test_the_object_is_where_it_stands_at_each_frame(clips, hand, tmp_path):
    """A box passes through the hand that holds still: deepest on the way, and gone at the end."""
    box = trimesh.creation.box([0.3, 0.3, 0.3])
    box.export(tmp_path / "box.obj")
    last = len(clips[5].pose.joints) - 1
    path = clips[5].pose.translation[:1].repeat(last + 1, 1)
    path[:, 2] += 0.5
    path[last - 10, 2] -= 0.4
    path[last - 5, 2] -= 0.45  # between the frames that are measured
    path[0, 2] -= 0.45  # a given frame, which does not count
    turned = torch.eye(3).expand(last + 1, 3, 3)
    moved = replace(clips[5], mesh=tmp_path / "box.obj", object_rotation=turned, object_translation=path)
    (row,) = rows_of(clips[:4], [moved], tmp_path)
    still = clips[5].pose[:1].to(torch.float64)
    depth = [
        100
        * penetration_depth(
            PosedGrasps(hand, replace(still, translation=still.translation - at), ObjectAsset.from_mesh(box))
        )
        for at in path[[last, last - 10]].double()
    ]
    assert depth[1] > 1
    assert depth[0] < depth[1]
    assert row["penetration_cm"] == pytest.approx(depth[0].item(), abs=1e-3)
    assert row["penetration_max_cm"] == pytest.approx(depth[1].item(), abs=1e-3)


def test_a_mesh_without_an_area_is_named_once_and_left_out(clips, tmp_path, caplog):
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 0.1 0 0\nv 0.2 0 0\nf 1 2 3\n")
    test = [replace(clip, mesh=tmp_path / "line.obj") for clip in clips[4:6]]
    rows = rows_of(clips[:4], test, tmp_path)
    assert all(torch.tensor([row["penetration_cm"], row["penetration_max_cm"]]).isnan().all() for row in rows)
    assert caplog.text.count("penetration is not measured: ") == 1


def test_clips_without_a_mesh_have_no_depth(clips, tmp_path):
    rows = rows_of(clips[:4], clips[4:], tmp_path)
    assert all(torch.tensor(row["penetration_cm"]).isnan() for row in rows)
