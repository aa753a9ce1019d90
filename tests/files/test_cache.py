"""The cache: made once, never half, safe with several processes."""

from __future__ import annotations

import logging
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from dexzoo.files import cache
from dexzoo.files.cache import Arrays, CacheError, cached, content_key

FORK = multiprocessing.get_context("fork")


def race(barrier: Barrier) -> None:
    def make() -> Arrays:
        barrier.wait(30)  # both have seen that there is no entry
        return {"a": np.arange(100_000)}

    assert cached("race", "key", make)["a"].sum() == 4_999_950_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_is_made_once() -> None:
    calls = []

    def make() -> Arrays:
        calls.append(1)
        return {"a": np.arange(3), "b": np.ones((2, 2), np.float32)}

    first, second = cached("kind", "key", make), cached("kind", "key", make)
    assert len(calls) == 1
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].dtype == second[name].dtype


def test_a_killed_run_leaves_no_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", killed)  # after the bytes are written, before the entry has its name
        with pytest.raises(KeyboardInterrupt):
            cached("kind", "key", lambda: {"a": np.arange(3)})
    assert list(folder.rglob("*.*")) == []
    assert cached("kind", "key", lambda: {"a": np.arange(4)})["a"].tolist() == [0, 1, 2, 3]


def test_a_damaged_entry_is_made_again_and_said_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    cached("kind", "key", lambda: {"a": np.arange(1000)})
    entry = folder / "kind" / "key.npz"
    entry.write_bytes(entry.read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        assert len(cached("kind", "key", lambda: {"a": np.arange(2)})["a"]) == 2
    assert "key.npz is unreadable" in caplog.text
    assert len(cached("kind", "key", lambda: {"a": np.arange(3)})["a"]) == 2


def test_two_processes_make_the_same_entry(folder: Path) -> None:
    barrier = FORK.Barrier(2)
    racers = [FORK.Process(target=race, args=(barrier,)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    assert [path.name for path in (folder / "race").iterdir()] == ["key.npz"]


def test_keys_tell_contents_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    assert content_key(one, 1) == content_key(two, 1) == content_key(b"x", 1)
    two.write_bytes(b"y")
    keys = [content_key(*parts) for parts in ((one,), (two,), (one, 1), (one, 2), (b"ab", b"c"), (b"a", b"bc"))]
    assert len(set(keys)) == len(keys)


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"can't write to .*file/kind \(.*\); set DEXZOO_CACHE"):
        cached("kind", "key", lambda: {"a": np.arange(3)})
