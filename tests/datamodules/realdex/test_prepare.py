"""The command that reads a download once: whole files, resumed, and read back as the raw data are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from dexzoo.datamodules import RealDexMotion
from dexzoo.datamodules.base import DEMO_MARK
from dexzoo.datamodules.realdex.prepare import prepare, report
from dexzoo.datamodules.realdex.recording import SOURCES, find_recordings, read_recording
from dexzoo.experiments.commands.prepare import SOURCES as SHOWN
from dexzoo.files import cache
from dexzoo.files.errors import BadFile, DataError
from tests.verbs import status_of


@pytest.fixture
def raw(write_raw: Callable, tmp_path: Path) -> Path:
    """Three good recordings of two objects, and one of each kind of damage."""
    for name in ("mug/mug_1_20240101", "mug/mug_2_20240101", "duck_toy/duck_toy_1"):
        write_raw(f"raw/{name}")
    broken = write_raw("raw/box/box_1").folder
    (broken / "TF/rh_palm-rh_thbase.txt").unlink()
    (tmp_path / "raw/soba.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "models").rename(tmp_path / "raw/models")
    return tmp_path / "raw"


def test_what_it_writes_reads_as_the_raw_data_do(raw: Path, tmp_path: Path) -> None:
    outcome = prepare(raw, tmp_path / "out")
    assert len(outcome.made) == 3
    assert outcome.kept == outcome.without_mesh == []
    before = RealDexMotion(raw, on_bad="skip", n_object_points=16).load()
    after = RealDexMotion(tmp_path / "out", n_object_points=16).load()
    assert [clip.name for clip in before] == [clip.name for clip in after]
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a.pose.to_vector(), b.pose.to_vector())
        assert torch.equal(a.object_rotation, b.object_rotation)
        assert torch.equal(a.object_points, b.object_points)
        assert (a.fps, a.flags, a.object, a.recording) == (b.fps, b.flags, b.object, b.recording)
    (folder,) = (f for f in find_recordings(tmp_path / "out") if f.name == "mug_2_20240101")
    (source,) = (f for f in find_recordings(raw, []) if f.name == "mug_2_20240101")
    np.testing.assert_array_equal(read_recording(folder).wrist, read_recording(source).wrist)
    assert read_recording(folder, fps=12.0).fps == 12.0


def test_what_is_left_out_is_said_with_its_reason(raw: Path, tmp_path: Path) -> None:
    outcome = prepare(raw, tmp_path / "out")
    reasons = dict(outcome.skipped)
    assert set(reasons) == {str(raw / "box/box_1"), str(raw / "soba.zip")}
    assert "rh_palm-rh_thbase.txt" in reasons[str(raw / "box/box_1")]
    assert "expected a complete zip" in reasons[str(raw / "soba.zip")]
    console = Console(width=300, record=True, file=io.StringIO())
    report(outcome, tmp_path / "out", console)
    text = console.export_text()
    for part in (
        "2 left out",
        "soba.zip",
        "rh_palm-rh_thbase.txt",
        "3 recordings prepared",
        f"data.root={tmp_path}/out",
    ):
        assert part in text


def test_started_again_it_makes_only_what_is_absent_or_changed(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare(raw, out)
    times = {path: path.stat().st_mtime_ns for path in first.made}
    again = prepare(raw, out)
    assert again.made == []
    assert sorted(again.kept) == sorted(first.made)
    assert {path: path.stat().st_mtime_ns for path in first.made} == times
    first.made[0].unlink()
    first.made[1].write_bytes(first.made[1].read_bytes()[:500])
    (raw / "mug/mug_2_20240101/segment.txt").write_text("1 11\n")
    third = prepare(raw, out)
    assert sorted(third.made) == sorted(first.made)
    assert [c.name for c in RealDexMotion(out, n_object_points=16).load()] == [
        "duck_toy/duck_toy_1/0", "mug/mug_1_20240101/0", "mug/mug_2_20240101/0",
    ]  # fmt: skip


def test_a_killed_run_leaves_no_half_file(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(source: object, target: object) -> None:
        raise KeyboardInterrupt

    prepare(raw, tmp_path / "out", only=["mug"])
    monkeypatch.setattr(cache.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "out")
    monkeypatch.undo()
    assert len(list((tmp_path / "out").rglob("recording.npz"))) == 2
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_reaches_are_searched_without_segment_txt(raw: Path, tmp_path: Path) -> None:
    (raw / "mug/mug_1_20240101/segment.txt").unlink()
    outcome = prepare(raw, tmp_path / "out", only=["mug"])
    assert [Path(name).name for name, _ in outcome.skipped] == ["mug_1_20240101", "soba.zip"][::-1]
    assert "no reach was found by contact" in dict(outcome.skipped)[str(raw / "mug/mug_1_20240101")]


def test_objects_without_a_mesh_are_prepared_and_named(raw: Path, tmp_path: Path) -> None:
    (raw / "models/mug.obj").unlink()
    outcome = prepare(raw, tmp_path / "out")
    assert outcome.without_mesh == ["mug"]
    assert len(outcome.made) == 3
    with pytest.raises(BadFile, match=r"out/models/mug.obj: expected the mesh of mug, found box, duck_toy there"):
        RealDexMotion(tmp_path / "out", n_object_points=16).load()


def test_results_do_not_go_into_the_download(raw: Path) -> None:
    with pytest.raises(DataError, match=r"--out: expected a folder outside of"):
        prepare(raw, raw / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": np.zeros((12, 21))}, r"joints: expected \(12, 22\) finite float64 numbers, found \(12, 21\)"),
        ({"palm_translation": np.full((12, 3), np.nan)}, r"palm_translation: expected \(12, 3\) finite"),
        ({"palm_rotation": np.ones((12, 3, 3))}, r"palm_rotation: expected rotation matrices"),
        ({"segments": np.array([[0, 40]])}, r"segments: expected 0 <= start < end - 1 < 12, found 0 40"),
        ({"version": np.array(99)}, r"expected version \d+, found 99; prepare it again"),
        ({"fps": None}, r"expected arrays that `prepare` writes, found no fps; prepare it again"),
        ({"fps": np.array(np.nan)}, r"fps: expected a positive number, found nan"),
        ({"fps": np.array("x")}, r"fps: expected 0 dimensions of kind 'f', found \(\) of <U1"),
        ({"flags": np.zeros(3)}, r"flags: expected 1 dimensions of kind 'U', found \(3,\) of float64"),
    ],
)
def test_a_damaged_result_is_named(raw: Path, tmp_path: Path, change: dict, message: str) -> None:
    (path,) = prepare(raw, tmp_path / "out", only=["duck_toy"]).made
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(BadFile, match=rf"recording.npz.*{message}"):
        RealDexMotion(tmp_path / "out", n_object_points=16).load()


class TestCommand:
    def test_it_says_where_the_results_are(
        self, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.chdir(tmp_path)
        assert status_of("prepare", str(raw), "--out", "out") == 0
        printed = capsys.readouterr().out
        for part in ("3 recordings prepared, 0 were up to date, in out", "data.root=out", "2 left out"):
            assert part in printed

    def test_it_fails_where_nothing_is_good(
        self, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        assert status_of("prepare", str(raw), "--out", str(tmp_path / "out"), "--objects", "box") == 1
        assert status_of("prepare", str(tmp_path / "absent"), "--out", str(tmp_path / "out")) == 1
        assert "absent: expected a folder or a zip, found nothing there" in capsys.readouterr().err

    def test_the_choices_of_the_help_are_those_of_the_reader(self) -> None:
        assert SHOWN == SOURCES


def test_what_is_prepared_from_demo_data_says_so(raw: Path, tmp_path: Path) -> None:
    (raw / DEMO_MARK).write_text("demo data in RealDex's layout\n")
    prepare(raw, tmp_path / "out")
    data = RealDexMotion(tmp_path / "out")
    assert (data.is_demo, data.title) == (True, "demo data in RealDex's layout")
    assert not RealDexMotion(tmp_path).is_demo
