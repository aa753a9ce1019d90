"""Zips are read in place, like folders; what would leave them or the root is refused."""

from __future__ import annotations

import logging
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dexzoo.datamodules import DataError, DatasetNotFound, RealDexMotion
from dexzoo.datamodules.realdex.archive import DiskFolder, ZipFolder, ZipIndex, open_folder
from dexzoo.datamodules.realdex.recording import find_recordings
from dexzoo.files.errors import BadFile

PREFIX = "storage/group/lab/bags/mug"


def zipped(source: Path, target: Path, prefix: str = PREFIX) -> Path:
    """Packs a folder and adds a picture that listings must not see."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.rglob("*")):
            if file.is_file():
                archive.write(file, f"{prefix}/{file.relative_to(source)}")
        archive.writestr(f"{prefix}/{source.name}/cam0/rgb/image_raw/0.png", b"not read")
    return target


def with_member(path: Path, name: str, content: bytes = b"x", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize("prefix", [PREFIX, "mug", "a b/c/d/e/f/g/mug"])
def test_zip_and_folder_give_the_same_clips(write_raw: Callable, tmp_path: Path, prefix: str) -> None:
    for number in (10, 2, 1):
        write_raw(f"data/mug/mug_{number}_20240101")
    (tmp_path / "models").rename(tmp_path / "data/models")
    zipped(tmp_path / "data/mug", tmp_path / "zips/mug.zip", prefix)
    zipped(tmp_path / "data/models", tmp_path / "zips/models.zip", "storage/models")
    from_disk = RealDexMotion(tmp_path / "data", n_object_points=16).load()
    before = sorted(tmp_path.rglob("*"))
    from_zip = RealDexMotion(tmp_path / "zips", n_object_points=16).load()
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked
    assert [c.name for c in from_disk] == [c.name for c in from_zip] == [f"mug/mug_{n}_20240101/0" for n in (1, 2, 10)]
    for a, b in zip(from_disk, from_zip, strict=True):
        assert (a.object, a.recording, a.fps, a.flags) == (b.object, b.recording, b.fps, b.flags)
        for part in ("object_points", "object_rotation", "object_translation"):
            assert torch.equal(getattr(a, part), getattr(b, part))
        for part in ("translation", "rotation", "joints"):
            assert torch.equal(getattr(a.pose, part), getattr(b.pose, part))
            assert torch.equal(getattr(a.goal, part), getattr(b.goal, part))
        assert a.mesh is not None
        assert b.mesh is not None
        assert a.mesh.read_bytes() == b.mesh.read_bytes()


def test_zip_and_folder_give_the_same_clips_of_final_data(write_recording: Callable, tmp_path: Path) -> None:
    write_recording("data/mug/mug_1")
    zipped(tmp_path / "data/mug", tmp_path / "mug.zip")
    options = {"models": tmp_path / "models", "n_object_points": 16}
    (a,), (b,) = (RealDexMotion(tmp_path / place, **options).load() for place in ("data", "mug.zip"))
    assert torch.equal(a.pose.to_vector(), b.pose.to_vector())
    assert a.flags == b.flags == ("palm_from_forearm",)


def test_listings_and_contents_are_those_of_the_folder(write_raw: Callable, tmp_path: Path) -> None:
    truth = write_raw("data/mug/mug_1_20240101")
    disk = DiskFolder(tmp_path / "data/mug/mug_1_20240101")
    packed = ZipFolder(ZipIndex(zipped(truth.folder, tmp_path / "x.zip", "a/b")), "a/b")
    for folder in ("", "TF", "TF/", "absent"):
        assert [name for name in packed.list(folder) if name != "mug_1_20240101/"] == disk.list(folder)
    assert packed.list("mug_1_20240101/cam0/rgb/image_raw") == []
    assert packed.read("mug_1_20240101/cam0/rgb/image_raw/0.png") == b"not read"
    for name in ("segment.txt", "TF/world-ra_base_link.txt", "absent.txt", "TF"):
        assert packed.exists(name) == disk.exists(name)
    assert packed.open("segment.txt").read() == disk.open("segment.txt").read() == b"0 12\n"
    for folder in (packed, disk):
        with pytest.raises(BadFile, match=r"absent.txt: expected a file, found no such file"):
            folder.read("absent.txt")


def test_of_a_recording_in_a_zip_and_unpacked_the_folder_counts(
    write_raw: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_raw("root/mug/mug_1_20240101")
    zipped(tmp_path / "root/mug", tmp_path / "root/all/mug.zip")
    (folder,) = find_recordings(tmp_path / "root")
    assert isinstance(folder, DiskFolder)
    assert "the same recording as" in caplog.text


class TestRefused:
    @pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/etc/passwd", "C:/x", "a\\..\\b"])
    def test_members_that_leave_the_zip(self, tmp_path: Path, name: str) -> None:
        path = with_member(tmp_path / "mug.zip", name)
        with pytest.raises(BadFile, match=r"mug.zip: expected members that stay inside the zip, found one called"):
            RealDexMotion(tmp_path).load()
        with pytest.raises(BadFile, match=r"mug.zip"):
            open_folder(path)

    def test_links_in_a_zip(self, tmp_path: Path) -> None:
        path = with_member(tmp_path / "mug.zip", "mug/mug_1/final_data.npy", b"/etc/passwd", stat.S_IFLNK | 0o777)
        with pytest.raises(BadFile, match=r"mug.zip/mug/mug_1/final_data.npy: expected a file, found a link"):
            RealDexMotion(path).load()

    def test_links_out_of_the_root(self, write_raw: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        truth = write_raw("root/mug/mug_1_20240101")
        outside = tmp_path / "segment.txt"
        (truth.folder / "segment.txt").rename(outside)
        (truth.folder / "segment.txt").symlink_to(outside)
        with pytest.raises(BadFile, match=rf"segment.txt: expected a file inside .*root, found a link to {outside}"):
            RealDexMotion(tmp_path / "root", models=tmp_path / "models").load()
        (tmp_path / "root/all").symlink_to(tmp_path / "models")
        assert DiskFolder(tmp_path / "root").list() == ["mug/"]
        assert "root/all: a link out of" in caplog.text

    def test_a_file_that_would_fill_the_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "mug.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mug/mug_1/final_data.npy", bytes(65 << 20))
        with pytest.raises(BadFile, match=r"final_data.npy: expected at most 64 MB, found 65 MB"):
            RealDexMotion(path).load()
        (tmp_path / "mug_1").mkdir()
        with open(tmp_path / "mug_1" / "final_data.npy", "wb") as file:
            os.truncate(file.fileno(), 65 << 20)
        with pytest.raises(BadFile, match=r"final_data.npy: expected at most 64 MB, found 65 MB"):
            RealDexMotion(tmp_path / "mug_1").load()


class TestDamaged:
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
    def test_a_truncated_zip(self, write_raw: Callable, tmp_path: Path, share: float) -> None:
        path = zipped(write_raw("data/mug/mug_1_20240101").folder, tmp_path / "root/mug.zip")
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(BadFile, match=r"mug.zip: expected a complete zip, found .*download it again"):
            RealDexMotion(tmp_path / "root").load()

    def test_a_damaged_member(self, write_raw: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))  # which knows a whole file of this checksum
        path = zipped(write_raw("data/mug/mug_1_20240101").folder, tmp_path / "mug.zip", f"{PREFIX}/mug_1_20240101")
        with zipfile.ZipFile(path) as archive:
            start = archive.getinfo(f"{PREFIX}/mug_1_20240101/TF/world-ra_base_link.txt").header_offset
        content = bytearray(path.read_bytes())
        content[start + 150 : start + 400] = bytes(250)
        path.write_bytes(content)
        with pytest.raises(BadFile, match=r"world-ra_base_link.txt: expected a complete member of the zip, found"):
            RealDexMotion(path, models=tmp_path / "models").load()

    def test_bad_zips_are_skipped_logged_and_kept_in_mind(
        self, write_raw: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_raw()
        (tmp_path / "duck.zip").write_bytes(b"PK")
        data = RealDexMotion(tmp_path, on_bad="skip", n_object_points=16)
        with caplog.at_level(logging.WARNING):
            assert len(data.load()) == 1
        assert len(data.skipped) == 1
        assert "duck.zip: expected a complete zip" in data.skipped[0]
        assert "duck.zip" in caplog.text

    def test_a_zip_without_recordings(self, tmp_path: Path) -> None:
        path = with_member(tmp_path / "mug.zip", "mug/readme.txt")
        with pytest.raises(DatasetNotFound, match=r"it holds mug.zip, and no folder TF, also in zips"):
            RealDexMotion(path).load()


def test_a_recording_without_reach_or_final_data(write_raw: Callable, tmp_path: Path) -> None:
    truth = write_raw()
    np.savetxt(truth.folder / "segment.txt", [[0, 12]], "%d")
    for file in (truth.folder / "TF").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"final_data.npy: expected a file, found no such file"):
        RealDexMotion(tmp_path).load()
