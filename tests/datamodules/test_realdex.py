"""The RealDex reader: poses and joints against closed forms, splits, and the message of each bad input."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.datamodules import RealDexMotion
from dexzoo.datamodules.errors import DatasetNotFound
from dexzoo.datamodules.realdex.recording import find_recordings
from dexzoo.files.errors import BadFile, DataError, UnknownName
from dexzoo.files.unpickle import PickleFileError, UnsafePickleError
from dexzoo.hands.load import load_hand

Writer = Callable[..., Path]

FLIPPED = (0, 4, 20, 21)  # FFJ4, MFJ4, THJ2, THJ1 of the robot turn the other way in the MJCF


def loaded(root: Path, **options: object) -> RealDexMotion:
    data = RealDexMotion(root, **({"split": "recordings", "n_folds": 2, "n_object_points": 32} | options))
    data.setup()
    return data


def read(root: Path, **options: object) -> list:
    return RealDexMotion(root, **({"n_object_points": 32} | options)).load()


def tip(*links: tuple[str, float, float]) -> np.ndarray:
    """End of a chain of links (axis, angle, length along z), in the frame of its base."""
    point = np.zeros(3)
    for axis, angle, length in reversed(links):
        point = Rotation.from_euler(axis, angle).apply(np.add(point, (0, 0, length)))
    return point


def fingertips(q: np.ndarray) -> dict[int, np.ndarray]:
    """Tips of FF, MF, RF and TH in the palm's frame for robot angles, by the offsets and axes of the MJCF hand."""
    bases = ((0.033, 0, 0.095), (0.011, 0, 0.099), (-0.011, 0, 0.095))
    tips = {}
    for number, (base, side) in enumerate(zip(bases, (-1, -1, 1), strict=True)):
        a, b, c, d = q[4 * number : 4 * number + 4]
        tips[number] = base + tip(("y", side * a, 0), ("x", b, 0.045), ("x", c, 0.025), ("x", d, 0.026))
    a, b, c, d, e = q[17:]
    thumb = tip(("z", -a, 0), ("x", b, 0.038), ("x", c, 0), ("y", -d, 0.032), ("y", -e, 0.0275))
    tips[4] = np.add(Rotation.from_quat([0, 0.382499, 0, 0.923956]).apply(thumb), (0.034, -0.009, 0.029))
    return tips


class TestReading:
    def test_a_recording_of_known_palm_poses_comes_back(self, write_recording: Writer, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        hand, n = load_hand("shadow"), 20
        palm, turn = rng.normal(size=(n, 3)), Rotation.from_rotvec(rng.normal(size=(n, 3)))
        joints = rng.uniform(0.0, 0.2, (n, 22))
        qpos = joints.copy()
        qpos[:, FLIPPED] *= -1
        forearm = palm - turn.apply([0.0, -0.010, 0.24701])
        write_recording(n_frames=n, qpos=qpos, global_transl=forearm, global_orient=turn.as_matrix())
        (sample,) = read(tmp_path)
        assert sample.pose.hand == hand.name == "shadow"
        torch.testing.assert_close(sample.pose.translation.double(), torch.from_numpy(palm), atol=1e-6, rtol=0)
        torch.testing.assert_close(sample.pose.rotation.double(), torch.from_numpy(turn.as_matrix()), atol=1e-6, rtol=0)
        torch.testing.assert_close(sample.pose.joints.double(), torch.from_numpy(joints), atol=1e-6, rtol=0)
        assert sample.goal.joints.equal(sample.pose.joints[-1])
        assert sample.flags == ("palm_from_forearm",)
        assert (sample.name, sample.object, sample.recording) == ("mug/mug_1_20240101/0", "mug", "mug_1_20240101")

    def test_fingertips_of_robot_angles_lie_where_the_chain_puts_them(
        self, write_recording: Writer, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(1)
        qpos = rng.uniform(0.05, 0.3, (3, 22))
        qpos[:, 20] = [0.2, -0.3, 0.4]
        still = {"global_transl": np.zeros((3, 3)), "global_orient": np.tile(np.eye(3), (3, 1, 1))}
        write_recording(n_frames=3, qpos=qpos, **still)
        (sample,) = read(tmp_path)
        hand = load_hand("shadow")
        found = hand.keypoints(hand.forward_kinematics(sample.pose))[:, -5:].double().numpy()
        for frame, q in enumerate(qpos):
            for number, expected in fingertips(q).items():
                np.testing.assert_allclose(found[frame, number], np.add(expected, (0, -0.010, 0.24701)), atol=2e-6)

    def test_the_robots_own_hand_keeps_its_angles(self, write_recording: Writer, tmp_path: Path) -> None:
        qpos = np.random.default_rng(2).uniform(0.0, 0.2, (4, 22))
        write_recording(n_frames=4, qpos=qpos)
        (sample,) = read(tmp_path, hand="shadow_e3m5")
        np.testing.assert_allclose(sample.pose.joints.numpy(), qpos, atol=1e-6)

    def test_each_row_of_segments_is_a_half_open_clip(self, write_recording: Writer, tmp_path: Path) -> None:
        write_recording(n_frames=12, segment="0 5\n7,12\n")
        clips = read(tmp_path)
        assert [len(clip.pose.joints) for clip in clips] == [5, 5]
        whole = read(tmp_path.parent / tmp_path.name)
        assert [clip.name for clip in whole] == ["mug/mug_1_20240101/0", "mug/mug_1_20240101/1"]
        assert clips[1].object_translation.shape == (5, 3)

    def test_frame_rate_is_the_median_step_of_the_stamps(self, write_recording: Writer, tmp_path: Path) -> None:
        stamps = "1699182594000000000\n1699182594033333333\n1699182594066666666\n1699182599000000000\n"
        write_recording(rgbimage_timestamp=stamps)
        assert read(tmp_path)[0].fps == pytest.approx(30.0, abs=1e-3)
        assert read(tmp_path, fps=12.5)[0].fps == 12.5

    def test_a_shorter_object_track_drops_the_tail_and_says_so(
        self, write_recording: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_recording(object_transl=np.zeros((9, 3)), object_orient=np.tile(np.eye(3), (9, 1, 1)))
        (sample,) = read(tmp_path)
        assert len(sample.pose.joints) == len(sample.object_rotation) == 9
        assert "hand has 12 frames, object 9; aligned by index, dropping the tail" in caplog.text

    def test_object_points_lie_on_the_mesh(self, write_recording: Writer, tmp_path: Path) -> None:
        write_recording()
        (sample,) = read(tmp_path, n_object_points=200)
        assert sample.mesh == tmp_path / "models" / "mug.obj"
        radius = sample.object_points.norm(dim=1)  # of a sphere of 5 cm in triangles
        assert sample.object_points.shape == (200, 3)
        assert 0.048 < radius.min()
        assert radius.max() < 0.0501

    def test_recordings_are_found_at_any_depth_and_behind_links(self, write_recording: Writer, tmp_path: Path) -> None:
        write_recording("with space/bags/mug/mug_10")
        write_recording("with space/bags/mug/mug_2")
        (tmp_path / "link").symlink_to(tmp_path / "with space")
        (tmp_path / "with space" / "loop").symlink_to(tmp_path)
        assert [folder.name for folder in find_recordings(tmp_path / "link")] == ["mug_2", "mug_10"]

    def test_without_a_mesh_clouds_are_empty_if_asked_for(self, write_recording: Writer, tmp_path: Path) -> None:
        write_recording()
        (tmp_path / "models" / "mug.obj").unlink()
        (sample,) = read(tmp_path, object_points="none")
        assert sample.mesh is None
        assert sample.object_points.shape == (0, 3)


class TestSplits:
    def test_a_single_object_is_split_by_recording(self, write_recording: Writer, tmp_path: Path) -> None:
        for number in range(1, 7):
            write_recording(f"mug/mug_{number}")
        data = RealDexMotion(tmp_path, fold=1, n_folds=3, n_object_points=32)
        assert data.fold_ids() == [0, 1, 2]  # before the clips are read: run.py asks for it first
        data.setup()
        assert [clip.recording for clip in data.test] == ["mug_2", "mug_5"]
        assert len(data.train) == 4

    def test_several_objects_take_the_papers_split_or_folds(self, write_recording: Writer, tmp_path: Path) -> None:
        for name in ("soba", "goji_jar", "midew_remover"):
            write_recording(f"{name}/{name}_1")
        data = loaded(tmp_path, split="auto", object_points="none")
        assert data.fold_ids() == [None]
        assert [[c.object for c in part] for part in (data.train, data.val, data.test)] == [
            ["soba"],
            ["goji_jar"],
            ["mildew_remover"],
        ]
        folds = loaded(tmp_path, split="objects", object_points="none")
        assert [clip.object for clip in folds.test] == ["goji_jar", "soba"]
        assert folds.split_hash != data.split_hash

    def test_an_unknown_name_is_answered_with_the_nearest(self) -> None:
        with pytest.raises(UnknownName, match=r"^split: .* found 'papers'; did you mean 'paper'"):
            RealDexMotion("x", split="papers")
        with pytest.raises(UnknownName, match=r"^on_bad: .* found 'skp'; did you mean 'skip'"):
            RealDexMotion("x", on_bad="skp")
        with pytest.raises(UnknownName, match=r"^object_points: .* found 'meshes'; did you mean 'mesh'"):
            RealDexMotion("x", object_points="meshes")


class TestRoot:
    @pytest.mark.parametrize("case", ["unset", "absent", "file", "empty", "other"])
    def test_a_missing_data_set_says_where_to_get_it(self, tmp_path: Path, case: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "empty").mkdir()
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "readme.md").touch()
        found = {
            "unset": "`root` is not set",
            "absent": "no such folder",
            "file": "not a folder",
            "empty": "searched for final_data.npy at any depth and found none; it is empty",
            "other": "searched for final_data.npy at any depth and found none; it holds readme.md",
        }
        with pytest.raises(DatasetNotFound) as error:
            read(None if case == "unset" else tmp_path / case)
        message = str(error.value)
        assert found[case] in message
        for part in ("github.com/4DVLab/RealDex", "licence", "root=", "the demo data", "<object>/<object>_<n>"):
            assert part in message
        assert case == "unset" or str(tmp_path / case) in message


class TestBadFiles:
    """Each names the file, what was expected and what was found."""

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (
                {"qpos": np.zeros((12, 20))},
                r"final_data.npy, qpos: expected \(T, 22\) numbers, found \(12, 20\) of float64; "
                r"the columns are the 22 finger joints FFJ4 to THJ1",
            ),
            ({"global_orient": np.zeros((12, 3))}, r"global_orient: expected \(T, 3, 3\) numbers, found \(12, 3\)"),
            ({"global_orient": np.ones((12, 3, 3))}, "global_orient: expected rotation matrices, found .* at frame 0"),
            ({"global_transl": np.zeros((11, 3))}, "global_transl: expected 12 frames as in qpos, found 11"),
            ({"object_transl": None}, r"object_transl: expected \(T, 3\) numbers, found \(\) of object"),
            ({"segment": "3 20"}, "segment.txt, row 0: expected 0 <= start < end <= 12, .* found 3 20"),
            ({"segment": "0 5\n4 5"}, "segment.txt, row 1: expected a segment of at least 2 frames"),
            ({"segment": ""}, "segment.txt: expected rows of two frame numbers.* found an empty file"),
            ({"segment": "0 5\n3"}, "segment.txt: expected rows of two frame numbers"),
            ({"segment": "start end"}, "segment.txt: expected rows .*, found could not convert string to float"),
            ({"segment": None}, "segment.txt: .* found no such file; set whole_recordings=True"),
            ({"rgbimage_timestamp": None}, "rgbimage_timestamp.txt: .* found no such file; or set `fps`"),
            ({"rgbimage_timestamp": "1.5\n1.6"}, "found 2 rows with a median step of 0.1 ns; or set `fps`"),
        ],
    )
    def test_is_named(self, write_recording: Writer, tmp_path: Path, parts: dict, message: str) -> None:
        write_recording(**parts)
        with pytest.raises(BadFile, match=message):
            read(tmp_path)

    def test_not_a_number_is_found_by_frame_and_joint(self, write_recording: Writer, tmp_path: Path) -> None:
        qpos = np.zeros((12, 22))
        qpos[3, 5] = qpos[7, 1] = np.nan
        write_recording(qpos=qpos)
        with pytest.raises(BadFile, match=r"expected finite numbers, found nan at frame 3, MFJ3 and 1 other places"):
            read(tmp_path)

    def test_missing_keys(self, write_recording: Writer, tmp_path: Path) -> None:
        folder = write_recording()
        np.save(folder / "final_data.npy", {"qpos": np.zeros((3, 22))}, allow_pickle=True)
        with pytest.raises(BadFile, match=r"found no global_transl, global_orient, .* among .'qpos'."):
            read(tmp_path)
        np.save(folder / "final_data.npy", np.zeros((3, 22)))
        with pytest.raises(BadFile, match=r"expected a dict of qpos, .* found an array of shape \(3, 22\)"):
            read(tmp_path)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_truncated(self, write_recording: Writer, tmp_path: Path, share: float) -> None:
        path = write_recording() / "final_data.npy"
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(PickleFileError, match=r"final_data.npy: expected a complete"):
            read(tmp_path)

    def test_a_pickle_that_runs_code_is_refused_and_never_skipped(
        self, write_recording: Writer, tmp_path: Path
    ) -> None:
        marker = tmp_path / "executed"

        class Evil:
            def __reduce__(self) -> tuple:
                return os.system, (f"touch '{marker}'",)

        folder = write_recording()
        np.save(folder / "final_data.npy", {"qpos": Evil()}, allow_pickle=True)
        for on_bad in ("raise", "skip"):
            with pytest.raises(UnsafePickleError, match=r"final_data.npy: refused to load `\w+.system`"):
                read(tmp_path, on_bad=on_bad)
        assert not marker.exists()

    def test_a_goal_outside_the_limits_names_joint_and_range(self, write_recording: Writer, tmp_path: Path) -> None:
        qpos = np.zeros((12, 22))
        qpos[:11, 1] = 2.5  # only the goal is a pose to hold
        write_recording(qpos=qpos)
        read(tmp_path)
        qpos[11, 1] = 1.571 + 0.36
        np.save(
            tmp_path / "mug/mug_1_20240101/final_data.npy",
            np.load(tmp_path / "mug/mug_1_20240101/final_data.npy", allow_pickle=True).item() | {"qpos": qpos},
            allow_pickle=True,
        )
        with pytest.raises(BadFile, match=r"goal of segment \[0, 12\).*FFJ3.*`limit_tolerance` is 0.35 rad") as error:
            read(tmp_path)
        for number in ("-0.26", "1.93", "1.57"):
            assert number in str(error.value)
        assert len(read(tmp_path, limit_tolerance=0.4)) == 1

    def test_no_mesh_of_the_object(self, write_recording: Writer, tmp_path: Path) -> None:
        write_recording()
        (tmp_path / "models" / "mug.obj").rename(tmp_path / "models" / "cup.obj")
        with pytest.raises(BadFile, match=r"mug.obj: expected the mesh of mug, found cup there; set models="):
            read(tmp_path)
        with pytest.raises(BadFile, match=r"found no such folder; .* object_points='none'"):
            read(tmp_path, models=tmp_path / "absent")

    def test_skipped_recordings_are_logged_and_counted(
        self, write_recording: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_recording("mug/mug_1")
        write_recording("mug/mug_2", qpos=np.zeros((12, 20)))
        data = RealDexMotion(tmp_path, on_bad="skip", n_object_points=32)
        with caplog.at_level(logging.WARNING):
            assert [clip.recording for clip in data.load()] == ["mug_1"]
        assert "left out 1 of 2 recordings" in caplog.text
        assert len(data.skipped) == 1
        assert "mug_2" in data.skipped[0]

    def test_nothing_good(self, write_recording: Writer, tmp_path: Path) -> None:
        write_recording(qpos=np.zeros((12, 20)))
        with pytest.raises(
            DataError, match=r"expected at least one good recording, found 1 bad ones, first: .*\(12, 20"
        ):
            read(tmp_path, on_bad="skip")


class TestRealRecordings:
    def test_fifteen_reaches_to_a_door_handle(self, real_root: Path) -> None:
        data = RealDexMotion(real_root)
        data.setup()
        assert (len(data.train), len(data.val), len(data.test)) == (10, 0, 5)
        assert data.fps == 30.0
        assert data.fold_ids() == [0, 1, 2]
        assert data.flags == ("palm_from_forearm",)
        assert not data.skipped
        assert {sample.object for sample in data.train} == {"door_handle"}
        assert {18 <= len(sample.pose.joints) <= 32 for sample in data.train + data.test} == {True}

    def test_every_recording_is_tested_in_one_fold(self, real_root: Path) -> None:
        tested = []
        for fold in range(3):
            data = loaded(real_root, fold=fold, n_folds=3)
            tested += [clip.recording for clip in data.test]
        assert len(tested) == len(set(tested)) == 15
