"""Reaches that are found, contact by the real threshold, and static grasps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.datamodules import MotionSample, RealDexMotion
from dexzoo.datamodules.demo import realdex_tree
from dexzoo.datamodules.realdex.archive import DiskFolder
from dexzoo.datamodules.realdex.contact import grasp_samples, surface_distance, with_segments
from dexzoo.datamodules.realdex.recording import read_recording
from dexzoo.datamodules.realdex.segments import SegmentRule, find_segments, moving, read_contact
from dexzoo.files.errors import BadFile
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.load import load_hand
from dexzoo.hands.pose import HandPose

FPS = 30.0


def there_and_back() -> dict[str, np.ndarray]:
    """Two reaches along x. The first: rest until 20, way until 40, contact from 38, fingers close until 50, lifted from
    60, released at 90. The second begins to move at 120, touches at 150.
    """
    t = np.arange(180)
    palm = np.zeros((180, 3))
    palm[:, 0] = np.interp(t, [20, 40, 90, 110, 120, 150], [0.0, 0.3, 0.3, 0.0, 0.0, 0.3])
    joints = np.zeros((180, 22))
    joints[:, 1] = np.interp(t, [35, 50, 90, 100, 148, 156], [0.0, 1.0, 1.0, 0.0, 0.0, 0.8])
    lifted = np.zeros((180, 3))
    lifted[:, 2] = np.interp(t, [60, 80, 90, 91], [0.0, 0.2, 0.2, 0.0])
    touching = ((t >= 38) & (t < 90)) | (t >= 150)
    touching[70:73] = False  # a slip, bridged
    touching[112:114] = True  # in passing, too short
    return {"touching": touching, "palm": palm, "joints": joints, "object_translation": lifted}


class TestFound:
    def test_a_reach_goes_from_the_last_rest_to_the_closed_hand(self) -> None:
        first, second = find_segments(**there_and_back(), fps=FPS)
        assert 19 <= first[0] <= 21
        assert 50 <= first[1] <= 53
        assert 118 <= second[0] <= 121
        assert 156 <= second[1] <= 159

    def test_it_ends_where_the_object_is_carried_away(self) -> None:
        motion = there_and_back()
        motion["joints"][:, 1] = np.sin(np.arange(180) / 2)  # fingers that never rest
        motion["object_translation"][:, 2] = np.interp(np.arange(180), [45, 65], [0.0, 0.2])  # 1 cm per frame
        first, _ = find_segments(**motion, fps=FPS)
        assert first[1] == 48  # moved by more than 1 cm at frame 47

    def test_it_lasts_no_longer_than_the_rule_says(self) -> None:
        motion = there_and_back()
        motion["joints"][:, 1] = np.sin(np.arange(180) / 2)
        motion["object_translation"][:] = 0
        rule = SegmentRule(before=0.5, after=0.2)
        (start, end), _ = find_segments(**motion, fps=FPS, rule=rule)
        assert end == 38 + 6
        assert start >= 38 - 15

    def test_a_hand_that_rests_at_the_object_makes_no_reach(self) -> None:
        motion = there_and_back()
        motion["palm"][:] = 0
        assert find_segments(**motion, fps=FPS) == ()
        assert find_segments(**(there_and_back() | {"touching": np.zeros(180, bool)}), fps=FPS) == ()

    def test_motion_of_the_object_stands_in_where_there_is_no_mesh(self) -> None:
        lifted = there_and_back()["object_translation"]
        still = np.tile(np.eye(3), (180, 1, 1))
        found = np.flatnonzero(moving(lifted, still, FPS))
        assert (found[0], found[-1]) == (60, 91)
        turning = rotvec_to_rotmat(torch.tensor([[0.0, 0.0, 0.02 * k] for k in range(180)])).numpy()  # 0.6 rad/s
        assert moving(np.zeros((180, 3)), turning, FPS).all()
        assert not moving(np.zeros((180, 3)), turning, FPS / 2).any()


class TestDemoRecordings:
    """Their reaches are known: they were put one after the other."""

    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(realdex_tree, "OBJECTS", ("can",))
        monkeypatch.setattr(realdex_tree, "RECORDINGS", 1)
        realdex_tree.write_tree(tmp_path)
        return tmp_path

    def test_reaches_are_found_by_contact(self, root: Path) -> None:
        (file,) = root.rglob("segment.txt")
        rows = np.loadtxt(file, dtype=int)
        file.unlink()
        clips = RealDexMotion(root, n_object_points=16).load()
        assert {clip.flags for clip in clips} == {("segments_found",)}
        assert len(clips) == len(rows) == 3
        recording = read_recording(DiskFolder(file.parent))
        found = with_segments(DiskFolder(file.parent), recording, root / "models/can.obj")
        assert np.abs(np.array(found.segments) - rows).max() <= 8  # still at both ends
        assert [len(clip.pose.joints) for clip in clips] == [end - start for start, end in found.segments]
        known = RealDexMotion(root, n_object_points=16, whole_recordings=True).load()
        assert len(known) == 1
        assert "segments_found" not in known[0].flags

    def test_frames_of_contact_txt_are_measured_again(self, root: Path) -> None:
        """31.6 mm is no contact: with all frames listed the reaches are those without the list."""
        (file,) = root.rglob("segment.txt")
        file.unlink()
        lengths = [len(clip.pose.joints) for clip in RealDexMotion(root, n_object_points=16).load()]
        frames = file.with_name("contact.txt")
        frames.write_text("\n".join(map(str, range(10_000))))
        assert [len(clip.pose.joints) for clip in RealDexMotion(root, n_object_points=16).load()] == lengths
        frames.write_text("0\n1\n2\n")
        with pytest.raises(BadFile, match=r"segment.txt: .* found no such file; .*no reach was found by contact"):
            RealDexMotion(root, n_object_points=16).load()

    def test_grasps_are_the_last_frames_with_contact(self, root: Path) -> None:
        data = RealDexMotion(root, n_object_points=16, hand="shadow_e3m5")
        clips, grasps = data.load(), data.grasps(last=4)
        assert 3 <= len(grasps) <= 12
        tree = trimesh.proximity.ProximityQuery(trimesh.load(root / "models/can.obj"))
        hand = load_hand("shadow_e3m5")
        for grasp in grasps:
            clip = next(c for c in clips if grasp.name.startswith(f"{c.name}/"))
            frame = int(grasp.name.rpartition("/")[2])
            assert len(clip.pose.joints) - 4 <= frame < len(clip.pose.joints)
            back = grasp.pose.moved_by(clip.object_rotation[frame], clip.object_translation[frame])
            torch.testing.assert_close(back.translation, clip.pose.translation[frame], atol=1e-6, rtol=0)
            points = hand.place(hand.forward_kinematics(grasp.pose), hand.surface(1000)).numpy()
            assert -tree.signed_distance(points).max() <= 0.01 + 1e-5
        assert data.title == "demo data in RealDex's layout"


def sphere_clip(gap: float, tmp_path: Path) -> MotionSample:
    """A palm that hangs upright above a ball, `gap` metres from it at the end, 10 cm more at each frame before."""
    hand = load_hand("shadow_e3m5")
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.05)
    ball.export(tmp_path / "ball.obj")
    joints = hand.rest.new_zeros(3, 22)
    down = rotvec_to_rotmat(torch.tensor([[torch.pi, 0.0, 0.0]])).expand(3, 3, 3)  # fingers point down
    lowest = 0.099 + 0.045 + 0.025 + 0.024 + 0.00705  # tip of the middle finger below the palm's origin
    away = torch.tensor([0.2, 0.1, 0.0])
    place = torch.stack([-0.011 * torch.ones(3), torch.zeros(3), 0.05 + gap + lowest + away], dim=1)
    shift = torch.tensor([0.4, -0.2, 0.9]).expand(3, 3)
    pose = HandPose(place + shift, down, joints, hand.name)
    return MotionSample(
        "ball/ball_1/0", "ball", "ball_1", pose, pose[-1], 30.0, torch.zeros(1, 3), torch.eye(3).expand(3, 3, 3), shift,
        tmp_path / "ball.obj", ("palm_from_forearm",),
    )  # fmt: skip


class TestContact:
    @pytest.mark.parametrize("gap", [0.03, 0.009, 0.004])
    def test_distance_of_a_fingertip_above_a_ball(self, tmp_path: Path, gap: float) -> None:
        clip = sphere_clip(gap, tmp_path)
        hand, mesh = load_hand("shadow_e3m5"), trimesh.load(clip.mesh, process=False)
        found = surface_distance(hand, clip.pose, clip.object_rotation, clip.object_translation, mesh, n_points=4000)
        np.testing.assert_allclose(found, gap + np.array([np.inf, 0.1, 0.0]), atol=1e-3)  # the first is out of reach

    def test_the_threshold_is_in_metres_not_squared(self, tmp_path: Path) -> None:
        """RealDex's rule takes 30 mm for contact, because 0.03^2 < 1e-3."""
        assert grasp_samples([sphere_clip(0.03, tmp_path)]) == []
        assert [g.name for g in grasp_samples([sphere_clip(0.008, tmp_path)])] == ["ball/ball_1/0/2"]
        assert grasp_samples([sphere_clip(0.008, tmp_path)], threshold=0.005) == []
        (grasp,) = grasp_samples([sphere_clip(0.004, tmp_path)], threshold=0.0065)
        assert grasp.flags == ("palm_from_forearm",)
        assert grasp.object == "ball"
        assert grasp.pose.translation.tolist() == pytest.approx([-0.011, 0.0, 0.05 + 0.004 + 0.20005], abs=1e-6)

    def test_frames_that_are_not_asked_for_or_out_of_reach_are_infinitely_far(self, tmp_path: Path) -> None:
        clip = sphere_clip(0.0, tmp_path)
        far = replace(clip.pose, translation=clip.pose.translation + torch.tensor([[5.0, 0, 0], [0, 0, 0], [0, 0, 0]]))
        hand, mesh = load_hand("shadow_e3m5"), trimesh.load(clip.mesh, process=False)
        found = surface_distance(hand, far, clip.object_rotation, clip.object_translation, mesh, np.array([0, 2]))
        assert np.isinf(found).tolist() == [True, True, False]

    def test_a_clip_without_a_mesh_has_no_grasps(self, tmp_path: Path) -> None:
        assert grasp_samples([replace(sphere_clip(0.0, tmp_path), mesh=None)]) == []


def test_contact_txt_holds_frame_numbers(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path)
    assert read_contact(folder, 10) is None
    (tmp_path / "contact.txt").write_text("3\n1 3\n9,12")
    frames = read_contact(folder, 10)
    assert frames is not None
    assert frames.tolist() == [1, 3, 9]
    for text, found in (("1.5", "1.5"), ("-2", "-2"), ("x", "could not convert")):
        (tmp_path / "contact.txt").write_text(text)
        with pytest.raises(BadFile, match=rf"contact.txt: expected frame numbers, found {found}"):
            read_contact(folder, 10)
