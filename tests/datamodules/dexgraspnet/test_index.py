"""The cache of grasps: what is read again, what is not, and what a killed run leaves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dexzoo.datamodules.dexgraspnet import DexGraspNet, module

from .conftest import grasp, write_npy


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the objects whose files were parsed."""
    calls: list[str] = []
    read = module.read_dexgraspnet

    def counted(file, hand):
        calls.append(file.stem)
        return read(file, hand)

    monkeypatch.setattr(module, "read_dexgraspnet", counted)
    return calls


def _load(root: Path):
    return DexGraspNet(root, object_points="none").load()


def test_files_are_parsed_once(tree: Path, reads: list[str]) -> None:
    first, second = _load(tree), _load(tree)
    assert len(reads) == 3
    np.testing.assert_array_equal(first.numbers, second.numbers)
    assert first.hash == second.hash


def test_a_changed_file_is_read_again_and_only_that(tree: Path, reads: list[str]) -> None:
    """Even one of the same size and time of writing, as some tools restore it."""
    path = tree / "dataset" / "sem-Car-2.npy"
    before, stat = _load(tree), path.stat()
    table = np.load(path, allow_pickle=True)
    table[0]["qpos"]["WRJTx"] += 0.01
    write_npy(path, list(table))
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = _load(tree)
    assert reads[3:] == ["sem-Car-2"]
    moved = np.asarray(after.numbers) - np.asarray(before.numbers)
    assert np.argwhere(np.abs(moved) > 1e-6).tolist() == [[int(np.flatnonzero(before.object == 2)[0]), 0]]
    assert moved.max() == pytest.approx(0.01, abs=1e-6)


def test_a_copied_download_is_not_parsed_again(tree: Path, tmp_path: Path, reads: list[str]) -> None:
    _load(tree)
    shutil.copytree(tree, tmp_path / "copy")
    assert len(_load(tmp_path / "copy")) == 15
    assert len(reads) == 3


def test_a_killed_run_goes_on(tree: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = module.read_dexgraspnet

    def killed(file, hand):
        if file.stem == "sem-Car-2":
            raise KeyboardInterrupt
        return read(file, hand)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_dexgraspnet", killed)
        with pytest.raises(KeyboardInterrupt):
            _load(tree)
    assert len(_load(tree)) == 15
    assert sorted(reads) == ["core-mug-1", "ddg-gd_box_3", "sem-Car-2"]


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:200])])
def test_a_damaged_cache_is_made_again(tree: Path, own_cache: Path, damage) -> None:
    whole = np.array(_load(tree).numbers)
    (file,) = own_cache.rglob("grasp_index*/*.npy")
    damage(file)
    np.testing.assert_array_equal(_load(tree).numbers, whole)


def test_the_hash_of_the_grasps_follows_their_content_not_their_order(tree: Path) -> None:
    store = _load(tree)
    assert store.take(np.arange(15)[::-1]).hash == store.hash
    assert store[:14].hash != store.hash


def test_the_numbers_are_mapped_not_copied(tree: Path) -> None:
    assert isinstance(_load(tree).numbers, np.memmap)
    assert isinstance(_load(tree)[:3].numbers, np.memmap)


def test_one_file_of_many_grasps_in_a_second_run(tmp_path: Path, reads: list[str]) -> None:
    write_npy(tmp_path / "dataset" / "core-a-1.npy", [grasp(i) for i in range(50)])
    assert [s.name for s in _load(tmp_path)[48:]] == ["core-a-1/48", "core-a-1/49"]
    assert reads == ["core-a-1"]
