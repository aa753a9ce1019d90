"""`data.root=demo`: demo data written in RealDex's layout and read by its reader."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dexzoo.datamodules import DataError, RealDexGrasps, RealDexMotion, UnknownName, base, demo_root
from dexzoo.datamodules.demo import realdex_tree
from dexzoo.hands.load import load_hand
from dexzoo.synthesis.clips import object_clips
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.reaches import ReachSettings


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realdex_tree, "OBJECTS", ("can", "apple", "mug"))
    monkeypatch.setattr(realdex_tree, "RECORDINGS", 1)
    monkeypatch.setattr(realdex_tree, "CLIPS", 2)


@pytest.mark.usefixtures("small")
class TestDemoRoot:
    def test_it_runs_from_the_tree_to_a_batch_and_says_that_it_is_demo_data(self) -> None:
        data = RealDexMotion(demo_root("realdex"), n_object_points=32, batch_size=8, min_windows_per_epoch=1)
        data.setup()
        assert data.is_demo
        assert data.title == "demo data in RealDex's layout"
        assert data.fold_ids() == [0, 1, 2]
        assert (len(data.train), len(data.test)) == (4, 2)
        assert data.fps == 30.0
        assert data.flags == ()  # palms come from TF, wrist and all; reaches from segment.txt
        batch = next(iter(data.train_dataloader()))
        assert batch.past.joints.shape == (8, 5, 22)
        assert not RealDexMotion("x").is_demo
        assert RealDexMotion(demo_root("realdex") / "can").title == data.title  # a part of the tree, too

    def test_clips_are_those_of_the_demo_data_on_a_table(self) -> None:
        hand = load_hand("shadow")
        grasps = load_grasps(hand=hand)
        known = object_clips(hand, grasps["can"], 2, 0, ReachSettings())
        read = [clip for clip in RealDexMotion(demo_root("realdex"), n_object_points=16).load() if clip.object == "can"]
        assert [len(clip.pose.joints) for clip in read] == known.length.tolist()
        pose = torch.cat([clip.pose.translation for clip in read])
        expected = known.pose.translation + torch.tensor(realdex_tree._TABLE).float()
        torch.testing.assert_close(pose, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(torch.cat([c.pose.joints for c in read]), known.pose.joints, atol=2e-6, rtol=0)
        torch.testing.assert_close(torch.cat([c.pose.rotation for c in read]), known.pose.rotation, atol=2e-6, rtol=0)
        for clip, turn in zip(read, known.rotation, strict=True):
            torch.testing.assert_close(clip.object_rotation, turn.expand_as(clip.object_rotation), atol=1e-6, rtol=0)

    def test_its_grasps_are_the_last_frames_in_the_frame_of_the_object(self) -> None:
        data = RealDexGrasps(demo_root("realdex"), n_object_points=32, last=2)
        data.setup()
        assert (data.is_demo, data.title, data.fold_ids()) == (True, "demo data in RealDex's layout", [0, 1, 2])
        assert (data.train.object_names, data.test.object_names) == (("can", "mug"), ("apple",))
        everything = RealDexMotion(demo_root("realdex"), n_object_points=32).load()
        clips = [clip for clip in everything if clip.object == "apple"]
        batch = data.test.batch(range(4))
        assert batch.names == ("apple/0", "apple/1", "apple/2", "apple/3")
        for i, (clip, t) in enumerate((clip, t) for clip in clips for t in (-2, -1)):
            turn, at = clip.object_rotation[t].double(), clip.object_translation[t].double()
            palm = turn.T @ (clip.pose.translation[t].double() - at)
            torch.testing.assert_close(batch.pose.translation[i].double(), palm, atol=1e-5, rtol=0)
            rotation = turn.T @ clip.pose.rotation[t].double()
            torch.testing.assert_close(batch.pose.rotation[i].double(), rotation, atol=1e-5, rtol=0)
            assert batch.pose.joints[i].equal(clip.pose.joints[t])
            assert batch.object_points[i].equal(clip.object_points)
            assert batch.meshes[i] == clip.mesh
            assert batch.up is not None
            torch.testing.assert_close(batch.up[i].double(), turn.T @ torch.tensor([0.0, 0.0, 1.0]).double())

    def test_what_is_wrong_with_settings_of_grasps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(DataError, match=r"^last: expected 1 or more frames of each clip, found 0"):
            RealDexGrasps(demo_root("realdex"), last=0)
        with pytest.raises(UnknownName, match=r"split: expected one of auto, objects, paper, found 'recordings'"):
            RealDexGrasps(demo_root("realdex"), split="recordings")
        with pytest.raises(DataError, match=r"expected contact in the last 1 frames .* found none of 6 clips"):
            RealDexGrasps(demo_root("realdex"), last=1, contact_threshold=-1.0, n_object_points=16).load()
        monkeypatch.setattr(realdex_tree, "OBJECTS", ("can",))
        with pytest.raises(DataError, match="expected at least two objects, since parts must not share any, found can"):
            RealDexGrasps(demo_root("realdex"), n_object_points=16).setup()

    def test_final_data_without_the_wrist_is_off_by_what_the_wrist_bends(self) -> None:
        exact = RealDexMotion(demo_root("realdex"), n_object_points=16).load()
        rough = RealDexMotion(demo_root("realdex"), n_object_points=16, poses="final_data").load()
        assert {clip.flags for clip in rough} == {("palm_from_forearm",)}
        off = [(a.pose.translation - b.pose.translation).norm(dim=-1).max() for a, b in zip(exact, rough, strict=True)]
        assert 1e-3 < max(off) < 0.034
        for a, b in zip(exact, rough, strict=True):
            torch.testing.assert_close(a.pose.joints, b.pose.joints, atol=1e-6, rtol=0)

    def test_the_tree_is_written_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
        root = realdex_tree.demo_tree()
        times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        assert realdex_tree.demo_tree() == root
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times
        assert not list(root.parent.glob(".unfinished*"))

    def test_a_killed_or_slower_process_leaves_a_whole_tree(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
        whole = realdex_tree.write_tree

        def killed(root: Path) -> None:
            (root / "can").mkdir()
            raise KeyboardInterrupt

        monkeypatch.setattr(realdex_tree, "write_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            realdex_tree.demo_tree()
        assert list((tmp_path / "demo_trees").iterdir()) == []

        def slower(root: Path) -> None:
            whole(root)
            (other,) = [p for p in root.parent.iterdir() if p == root]
            final = root.parent / "final"
            shutil.copytree(other, final)
            shutil.copytree(final, self._target(tmp_path, root))

        monkeypatch.setattr(realdex_tree, "write_tree", slower)
        monkeypatch.setattr(base, "content_key", lambda *_: "target")
        root = realdex_tree.demo_tree()
        assert root.name == "realdex-target"
        assert len(list(root.rglob("segment.txt"))) == 3

    @staticmethod
    def _target(cache: Path, root: Path) -> Path:
        return cache / "demo_trees" / "realdex-target"


def test_the_tree_has_the_files_of_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realdex_tree, "OBJECTS", ("can",))
    monkeypatch.setattr(realdex_tree, "RECORDINGS", 1)
    realdex_tree.write_tree(tmp_path)
    folder = tmp_path / "can/can_1_20000101"
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.parent.name != "TF"} == {
        "final_data.npy", "rgbimage_timestamp.txt", "scene_to_mesh.json", "segment.txt", "tracking_result/gt_pose.txt",
    }  # fmt: skip
    assert len(list((folder / "TF").iterdir())) == 27
    assert len(np.loadtxt(folder / "rgbimage_timestamp.txt")) == len(np.loadtxt(folder / "tracking_result/gt_pose.txt"))
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 3e6
