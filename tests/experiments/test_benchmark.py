"""The harness: ratios, JSON, and what it says of a wrong name or row."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dexzoo.datamodules.grab.files import find_tree
from dexzoo.datamodules.grab.tracks import CACHE, read_tracks
from dexzoo.experiments import bench, benchmark
from dexzoo.experiments.bench import data, grasps
from dexzoo.hands import load_hand

SUITE = """
def rows(quick):
    return [
        {"case": "one", "ours_ms": 2.0, "peer": "peer", "peer_ms": 5.0, "batch": 64},
        {"case": "two" if quick else "slow", "ours_ms": 1.0, "peer": None, "peer_ms": None},
    ]
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(SUITE)
    monkeypatch.setattr(benchmark, "SUITES", tmp_path)
    monkeypatch.setattr(bench, "__path__", [str(tmp_path)])
    yield
    sys.modules.pop("dexzoo.experiments.bench.toy", None)


@pytest.mark.usefixtures("suite")
def test_table_and_json(tmp_path, capsys):
    benchmark.main(["toy", "--quick", "--json", str(tmp_path / "out.json")])
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result) == ["benchmark", "machine", "rows"]
    assert list(result["rows"][0]) == ["case", "ours_ms", "peer", "peer_ms", "ratio", "batch"]
    assert [row["ratio"] for row in result["rows"]] == [2.5, None]
    assert result["rows"][1]["case"] == "two"
    assert {"cpu", "cores", "threads", "torch"} <= set(result["machine"])
    assert "2.5" in capsys.readouterr().out


@pytest.mark.usefixtures("suite")
def test_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match=r"benchmark: expected one of toy, found 'tov'; did you mean 'toy'"):
        benchmark.measure("tov", quick=True)


def test_a_row_without_a_key_is_named():
    with pytest.raises(ValueError, match=r"row 'one': expected the keys .* found no 'peer_ms'"):
        benchmark.complete({"case": "one", "ours_ms": 1.0, "peer": "p"})


@pytest.fixture
def small(monkeypatch):
    """The data suite at a size of seconds."""
    monkeypatch.setattr(data, "OBJECTS", 20 * 12)
    monkeypatch.setattr(data, "SEQUENCES", 20 * 60)
    monkeypatch.setattr(data, "FRAMES", 20 * 60 * 400)
    monkeypatch.setattr(data, "GRASPS", 30)


@pytest.mark.usefixtures("small")
def test_data_rows(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "_memory", lambda *_: iter(()))  # a process of its own: tested below in this one
    found = [benchmark.complete(row) for row in data.rows(quick=True)]
    assert found[0]["case"] == "opening 360 grasps of 12 objects from the cache"
    assert found[0]["cache_mb"] > 360 * 4 * 35 / 1e6  # 13 + 22 numbers of a grasp
    assert found[1]["ratio"] > 1
    assert found[4]["windows_per_s"] == pytest.approx(256e3 / found[4]["ours_ms"], abs=1)
    frames = int(data.sequence_lengths(60).sum())
    assert found[3]["case"] == f"opening 60 sequences of {frames:,} frames from the cache"
    assert found[3]["cache_mb"] == pytest.approx(240e-6 * frames, rel=0.05)  # 4 (51 + 6 + 1) + 8 bytes
    assert not list(tmp_path.glob("benchmark-*"))
    assert os.environ["DEXZOO_CACHE"] == str(tmp_path)


def test_data_reads_the_same_grasp_as_its_peer(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    hand = load_hand("shadow")
    data.write_grasps(tmp_path / "tree", 3, per_object=1)
    files = sorted((tmp_path / "tree" / "dataset").iterdir())
    for k, one in enumerate(data.grasps(tmp_path / "tree", 0).load()):
        peer = data.read_randomly(files[k : k + 1], hand)
        torch.testing.assert_close(one.pose.joints, peer.joints[0])
        torch.testing.assert_close(one.pose.rotation, peer.rotation[9])
        torch.testing.assert_close(one.pose.translation, peer.translation[255])
        assert one.scale == pytest.approx((0.06, 0.08, 0.10)[k])


def test_data_has_the_published_size_of_grab():
    lengths = data.sequence_lengths(data.SEQUENCES)
    assert len(lengths) == 1334
    assert lengths.sum() == pytest.approx(1.62e6, rel=0.01)
    assert np.ptp(lengths) > 1000


def test_data_keeps_what_the_reader_of_grab_keeps(tmp_path, monkeypatch):
    """Names, types and widths of an entry that the reader makes, against those that the benchmark writes."""
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    widths = {"transl": 3, "global_orient": 3, "fullpose": 45, "body_pose": 63}
    params = {"params": {key: np.zeros((8, width)) for key, width in widths.items()}}
    labels = {"object": np.zeros((8, 5), np.int8), "body": np.zeros((8, 10475), np.int8)}
    content = {"framerate": 120.0, "n_frames": 8, "body": params, "contact": labels}
    content |= {"rhand": params | {"vtemp": "hand.ply"}, "object": params | {"object_mesh": "mug.ply"}}
    boxed = {key: np.empty((), dtype=object) for key in content}
    for key, value in content.items():
        boxed[key][()] = value
    path = tmp_path / "grab" / "s1" / "mug_lift.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **boxed)  # type: ignore[arg-type]
    read_tracks(find_tree(tmp_path), path)
    with np.load(next((tmp_path / "cache" / CACHE).iterdir())) as file:
        real = {name: (a.dtype.kind, a.dtype.itemsize, a.shape[1:]) for name, a in file.items() if name != "names"}
    ours = data.sequence(300, seed=0)
    assert {name: (a.dtype.kind, a.dtype.itemsize, a.shape[1:]) for name, a in ours.items() if name != "names"} == real


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells")
def test_data_memory_counts_what_is_allocated(tmp_path, monkeypatch, capsys):
    before = data.memory()
    held = np.ones(64_000_000, np.uint8)
    after = data.memory()
    assert after["Rss"] - before["Rss"] == pytest.approx(64, abs=4)
    assert after["Pss_Anon"] - before["Pss_Anon"] == pytest.approx(held.nbytes / 1e6, abs=4)
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    data.watch(data.motions(60, workers=1))
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["ms", "batches", "start_mb", "end_mb", "worker_mb"]
    assert 0 < found["worker_mb"] < found["end_mb"]


def test_grasps_trains_and_samples_as_configured(monkeypatch):
    monkeypatch.setattr(grasps, "OBJECTS", 3)
    data_ms, own_ms, batch = grasps.train(["model=grasp_cvae_official", "data.batch_size=2"], steps=1)
    assert 0 < data_ms
    assert 0 < own_ms
    assert batch == 2
    assert grasps._sampler("grasp_cvae")().shape == (3, 10)
    for model in ("grasp_cvae", "grasp_cvae_official"):
        terms = {"contact", "penetration"}
        for changes, wanted in (((), terms), (grasps._ALONE, set())):
            task, _, _ = grasps.build([f"model={model}", *changes])
            assert task.network.active & terms == wanted
            assert (task.network.contact is not None) == bool(wanted)


def test_grasps_counts_steps_after_the_first(monkeypatch):
    now = iter([0.0, 9.0, 10.0, 10.002, 11.0, 11.004, 12.0, 12.003])
    monkeypatch.setattr(grasps.time, "perf_counter", lambda: next(now))
    clock = grasps.Clock()
    for _ in range(4):
        with clock.profile("[loop].run_training_batch"):
            pass
    assert clock.median("run_training_batch") == pytest.approx(3)  # of 9000, 2, 4 and 3 ms


def test_grasps_rows_are_brought_to_one_batch(monkeypatch):
    calls = []

    def train(overrides, steps):
        calls.append((overrides, steps))
        return (1.0, 3.0, 8) if "data.batch_size=8" in overrides else (2.0, 8.0, 64)

    monkeypatch.setattr(grasps, "train", train)
    found = [benchmark.complete(row) for row in grasps._training(5, 2)]
    assert [row["case"].partition(", ")[2] for row in found] == list(grasps._CASES)
    assert {(row["ours_ms"], row["peer_ms"], row["ratio"]) for row in found} == {(10.0, 32.0, 3.2)}
    assert {(row["steps_per_s"], row["data_share"]) for row in found} == {(100.0, 0.2)}
    assert calls[:2] == [(["model=contact_map"], 5), (["model=contact_map_official", "data.batch_size=8"], 2)]
