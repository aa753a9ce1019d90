"""TF files made from known joint angles and palms: what comes back, and the message of each defect."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from dexzoo.datamodules import RealDexMotion
from dexzoo.datamodules.realdex.archive import DiskFolder
from dexzoo.datamodules.realdex.final import JOINTS, PALM_FROM_FOREARM
from dexzoo.datamodules.realdex.recording import read_recording
from dexzoo.datamodules.realdex.tf import Edge, hinges, read_edge, read_robot
from dexzoo.files.errors import BadFile

Writer = Callable[..., object]


def read(truth, **options):
    return read_recording(DiskFolder(truth.folder), **options)


def rewrite(file: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Changes the seven numbers of each row."""
    lines = [line.split() for line in file.read_text().splitlines()]
    rows = change(np.array([[float(word) for word in line[1:]] for line in lines]))
    file.write_text(
        "\n".join(" ".join([line[0], *map(repr, row)]) for line, row in zip(lines, rows.tolist(), strict=True))
    )


class TestKnownMotion:
    def test_angles_come_back_to_a_millionth_of_a_radian_and_the_palm_to_a_micrometre(self, write_raw: Writer) -> None:
        truth = write_raw()
        recording = read(truth)
        expected = np.stack([truth.angles[name] for name in ("WRJ2", "WRJ1", *JOINTS)], axis=1)
        assert recording.wrist is not None
        found = np.concatenate([recording.wrist, recording.joints], axis=1)
        assert found.shape == (12, 24)
        assert np.abs(found - expected).max() < 1e-6
        assert np.abs(recording.palm_translation - truth.palm[:, :3, 3]).max() < 1e-6
        assert np.abs(recording.palm_rotation - truth.palm[:, :3, :3]).max() < 1e-6
        np.testing.assert_allclose(recording.object_rotation, truth.object[:, :3, :3], atol=1e-12)
        np.testing.assert_allclose(recording.object_translation, truth.object[:, :3, 3], atol=1e-12)
        assert recording.flags == ()

    def test_the_robot_of_the_specification_has_these_24_joints(self) -> None:
        assert [hinge.joint for hinge in hinges()][:2] == ["WRJ2", "WRJ1"]
        assert sorted(hinge.joint for hinge in hinges()[2:]) == sorted(JOINTS)

    def test_the_wrist_is_part_of_the_palm(self, write_raw: Writer) -> None:
        """Ten degrees of dropped wrist are about 3 cm at the fingertips."""
        truth = write_raw()
        at_zero = truth.forearm[:, :3, 3] + truth.forearm[:, :3, :3] @ PALM_FROM_FOREARM
        assert np.linalg.norm(read(truth).palm_translation - at_zero, axis=1).min() > 1e-3

    @pytest.mark.parametrize("separator", [",", ", ", "\t"])
    def test_commas_and_blanks_separate(self, write_raw: Writer, separator: str) -> None:
        truth = write_raw(separator=separator)
        assert np.abs(read(truth).palm_translation - truth.palm[:, :3, 3]).max() < 1e-6

    def test_the_clock_of_the_robot_is_taken_from_the_time_synchronisation(self, write_raw: Writer) -> None:
        truth = write_raw(offset=40_000_000, synchronised=False)
        late = read(truth)
        assert late.flags == ("clock_assumed",)
        assert read(truth, clock=lambda: 40_000_000).flags == ("clock_found",)
        assert np.abs(late.palm_translation - truth.palm[:, :3, 3]).max() > 1e-3
        meshes = {str(i): f"{s + 40_000_000 + 1_000 * (i - 5)}.ply" for i, s in enumerate(truth.stamps.tolist()[:11])}
        (truth.folder / "scene_to_mesh.json").write_text(json.dumps(meshes | {"11": "None.ply"}))
        assert read(truth).flags == ()
        assert np.abs(read(truth).palm_translation - truth.palm[:, :3, 3]).max() < 1e-6

    def test_an_edge_between_its_rows_is_that_of_scipy(self) -> None:
        rng = np.random.default_rng(3)
        stamp = np.cumsum(rng.integers(10**6, 10**8, 40)) + 1_699_182_594_000_000_000
        turns = Rotation.random(40, random_state=1)
        edge = Edge(Path("x"), stamp, rng.normal(size=(40, 3)), turns.as_quat())
        wanted = rng.integers(stamp[0], stamp[-1], 200)
        places, found = edge.at(wanted)
        expected = Slerp(stamp - stamp[0], turns)(wanted - stamp[0])
        assert (found.inv() * expected).magnitude().max() < 1e-9
        for k in range(3):
            np.testing.assert_allclose(
                places[:, k], np.interp(wanted - stamp[0], stamp - stamp[0], edge.translation[:, k])
            )

    def test_stamps_are_not_rounded(self, tmp_path: Path) -> None:
        (tmp_path / "TF").mkdir()
        (tmp_path / "TF" / "a-b.txt").write_text(
            "1699182594123456789 1 0 0 0 0 0 1\n1699182594123456788 0 0 0 0 0 0 1\n1699182594123456789 3 0 0 0 0 0 1"
        )
        edge = read_edge(DiskFolder(tmp_path), "a-b")
        assert edge.stamp.tolist() == [1699182594123456788, 1699182594123456789]
        assert edge.translation[:, 0].tolist() == [0, 3]  # of two rows with one stamp the last counts

    def test_the_cache_follows_the_files(self, write_raw: Writer) -> None:
        truth = write_raw()
        folder = DiskFolder(truth.folder)
        before = read_robot(folder, truth.stamps)
        rewrite(truth.folder / "TF/world-ra_base_link.txt", lambda rows: rows + np.eye(7)[2])
        after = read_robot(folder, truth.stamps)
        np.testing.assert_allclose(after.palm_translation - before.palm_translation, [[0, 0, 1]] * 12, atol=1e-9)


class TestQuaternionOrder:
    def test_the_order_is_x_y_z_w(self, write_raw: Writer) -> None:
        """A turn of the first finger by 0.3 about +x, written by hand: w = cos, in the last column."""
        truth = write_raw()
        rewrite(
            truth.folder / "TF/rh_ffknuckle-rh_ffproximal.txt",
            lambda rows: np.tile([0, 0, 0, np.sin(0.15), 0, 0, np.cos(0.15)], (len(rows), 1)),
        )
        np.testing.assert_allclose(read(truth).joints[:, JOINTS.index("FFJ3")], 0.3, atol=1e-12)

    def test_files_with_w_first_are_refused(self, write_raw: Writer) -> None:
        truth = write_raw()
        for file in (truth.folder / "TF").iterdir():
            rewrite(file, lambda rows: rows[:, [0, 1, 2, 6, 3, 4, 5]])
        with pytest.raises(BadFile, match=r"a turn about the axis .* found one that is .* rad off it.*qx qy qz qw"):
            read(truth)

    def test_a_turned_tree_turns_the_palm(self, write_raw: Writer) -> None:
        truth = write_raw()
        quarter = Rotation.from_euler("z", 90, degrees=True)

        def turned(rows: np.ndarray) -> np.ndarray:
            turns = quarter * Rotation.from_quat(rows[:, 3:])
            return np.hstack([quarter.apply(rows[:, :3]), turns.as_quat()])

        rewrite(truth.folder / "TF/world-ra_base_link.txt", turned)
        palm = read(truth).palm_translation
        np.testing.assert_allclose(palm, truth.palm[:, [1, 0, 2], 3] * [-1, 1, 1], atol=1e-6)


class TestLengths:
    def test_a_shorter_object_track_drops_the_tail(self, write_raw: Writer, caplog: pytest.LogCaptureFixture) -> None:
        truth = write_raw(n_object=9)
        recording = read(truth)
        assert len(recording.joints) == len(recording.object_rotation) == 9
        assert recording.wrist is not None
        assert len(recording.wrist) == 9
        assert recording.segments == ((0, 9),)
        assert "hand has 12 frames, object 9; aligned by index, dropping the tail" in caplog.text

    def test_clips_keep_one_length(self, write_raw: Writer, tmp_path: Path) -> None:
        write_raw(n_object=9)
        (clip,) = RealDexMotion(tmp_path, n_object_points=16).load()
        assert len(clip.pose.joints) == len(clip.object_translation) == 9
        assert clip.flags == ()

    def test_a_segment_without_rows_of_the_robot_is_refused(self, write_raw: Writer) -> None:
        truth = write_raw(n_frames=40)
        for file in (truth.folder / "TF").iterdir():
            lines = [x for x in file.read_text().splitlines() if int(x.split()[0]) < truth.stamps[20]]
            file.write_text("\n".join(lines))
        with pytest.raises(BadFile, match=r"TF: expected rows of the robot throughout segment 0 .*found none for 1\d "):
            read(truth)
        (truth.folder / "segment.txt").write_text("0 20")
        assert read(truth).segments == ((0, 20),)

    def test_an_edge_that_never_moves_needs_one_row(self, write_raw: Writer) -> None:
        truth = write_raw()
        file = truth.folder / "TF/world-ra_base_link.txt"
        lines = file.read_text().splitlines()
        file.write_text("17 " + lines[0].split(maxsplit=1)[1] + "\n")
        assert len(read(truth).joints) == 12


class TestDefects:
    def test_missing_edges_are_named(self, write_raw: Writer) -> None:
        truth = write_raw()
        for name in ("rh_palm-rh_thbase", "rh_forearm-rh_wrist", "ra_base_link-ra_upper_arm_link"):
            (truth.folder / "TF" / f"{name}.txt").unlink()
        with pytest.raises(BadFile) as error:
            read(truth)
        message = str(error.value)
        for part in ("rh_palm-rh_thbase.txt", "rh_forearm-rh_wrist.txt", "<parent>-ra_upper_arm_link.txt"):
            assert part in message
        assert f"{truth.folder}/TF: expected the edges from world to rh_palm and of the hand" in message

    def test_final_data_steps_in_and_says_so(self, write_raw: Writer, caplog: pytest.LogCaptureFixture) -> None:
        truth = write_raw()
        final = {
            "qpos": np.stack([truth.angles[name] for name in JOINTS], axis=1),
            "global_transl": truth.forearm[:, :3, 3],
            "global_orient": truth.forearm[:, :3, :3],
            "object_transl": truth.object[:, :3, 3],
            "object_orient": truth.object[:, :3, :3],
        }
        np.save(truth.folder / "final_data.npy", final, allow_pickle=True)  # type: ignore[arg-type]
        assert read(truth).flags == ()
        assert "disagree" not in caplog.text
        assert read(truth, source="final_data").flags == ("palm_from_forearm",)
        (truth.folder / "TF/rh_palm-rh_thbase.txt").unlink()
        assert read(truth).flags == ("palm_from_forearm",)
        assert "rh_palm-rh_thbase.txt" in caplog.text
        with pytest.raises(BadFile, match=r"rh_palm-rh_thbase.txt"):
            read(truth, source="tf")

    def test_a_wrong_clock_shows_beside_final_data(self, write_raw: Writer, caplog: pytest.LogCaptureFixture) -> None:
        truth = write_raw()
        final = {
            "qpos": np.stack([truth.angles[name] for name in JOINTS], axis=1),
            "global_transl": truth.forearm[:, :3, 3] + 0.1,
            "global_orient": truth.forearm[:, :3, :3],
            "object_transl": truth.object[:, :3, 3],
            "object_orient": truth.object[:, :3, :3],
        }
        np.save(truth.folder / "final_data.npy", final, allow_pickle=True)  # type: ignore[arg-type]
        read(truth)
        assert "disagree on the forearm by a median 0.17 m; is the clock right?" in caplog.text

    def test_a_joint_off_its_axis(self, write_raw: Writer) -> None:
        truth = write_raw()
        tilt = Rotation.from_euler("z", 0.02)
        rewrite(
            truth.folder / "TF/rh_ffproximal-rh_ffmiddle.txt",
            lambda rows: np.hstack([rows[:, :3], (tilt * Rotation.from_quat(rows[:, 3:])).as_quat()]),
        )
        with pytest.raises(BadFile, match=r"rh_ffmiddle.txt: expected a turn about the axis \(1 0 0\) of FFJ2, found "):
            read(truth)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"expected rows of a stamp in ns and 7 numbers, found an empty file"),
            ("1 2 3", r"found .*3"),
            ("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 1", r"found .*7"),
            ("a b c d e f g h", r"found "),
            ("1 nan 0 0 0 0 0 1", r"row 0: expected finite numbers, found nan"),
            ("1 1e30 0 0 0 0 0 1", r"row 0: expected numbers below 1000, found 1e.30"),
            ("1 0 0 0 0 0 0 2", r"row 0: expected quaternions of length 1, found 2"),
            ("99999999999999999999999 0 0 0 0 0 0 1", r"found the stamp 1e.23"),
            ("-5 0 0 0 0 0 0 1", r"found the stamp -5"),
        ],
    )
    def test_damaged_rows(self, write_raw: Writer, text: str, message: str) -> None:
        truth = write_raw()
        (truth.folder / "TF/world-ra_base_link.txt").write_text(text)
        with pytest.raises(BadFile, match=rf"world-ra_base_link.txt.*{message}"):
            read(truth)

    def test_damaged_object_poses(self, write_raw: Writer) -> None:
        truth = write_raw()
        file = truth.folder / "tracking_result/gt_pose.txt"
        file.write_text("0 0 0 0 0 0 1\n0 0 0 1 1 0 0")
        with pytest.raises(BadFile, match=r"gt_pose.txt, row 1: expected quaternions of length 1, found 1.41"):
            read(truth)
        file.write_text("0 0 0 0 0 0")
        with pytest.raises(BadFile, match=r"gt_pose.txt: expected rows of 7 numbers, found 6 in a row"):
            read(truth)
        file.unlink()
        with pytest.raises(BadFile, match=r"gt_pose.txt: expected a file, found no such file"):
            read(truth)

    @pytest.mark.parametrize("text", ["[]", "{", '{"a": "1.ply"}', '{"0": 3}', '{"0": "x.ply"}'])
    def test_damaged_synchronisation(self, write_raw: Writer, text: str) -> None:
        truth = write_raw()
        (truth.folder / "scene_to_mesh.json").write_text(text)
        with pytest.raises(BadFile, match=r'scene_to_mesh.json: expected a JSON object {"<frame>": "<stamp>.ply"}'):
            read(truth)


def test_it_logs_nothing_about_good_files(write_raw: Writer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read(write_raw())
    assert not caplog.records
