"""The harness: ratios, JSON, and what it says of a wrong name or row."""

import json
import os
import sys
from pathlib import Path

import hydra
import lightning as L
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from dexzoo.datamodules.grab.files import find_tree
from dexzoo.datamodules.grab.tracks import CACHE, read_tracks
from dexzoo.experiments import bench
from dexzoo.experiments.bench import data, harness, models
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
    monkeypatch.setattr(bench, "__path__", [str(tmp_path)])
    yield
    sys.modules.pop("dexzoo.experiments.bench.toy", None)


@pytest.mark.usefixtures("suite")
def test_table_and_json(tmp_path, capsys):
    harness.bench("toy", True, None, None, tmp_path / "out.json")
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
        harness.measure("tov", quick=True)


def test_a_row_without_a_key_is_named():
    with pytest.raises(ValueError, match=r"row 'one': expected the keys .* found no 'peer_ms'"):
        harness.complete({"case": "one", "ours_ms": 1.0, "peer": "p"})


@pytest.fixture
def small(monkeypatch):
    """The data suite at a size of seconds."""
    monkeypatch.setattr(data, "OBJECTS", 20 * 12)
    monkeypatch.setattr(data, "SEQUENCES", 20 * 60)
    monkeypatch.setattr(data, "FRAMES", 20 * 60 * 400)
    monkeypatch.setattr(data, "GRASPS", 30)


@pytest.mark.usefixtures("small")
@pytest.mark.slow
def test_data_rows(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "_memory", lambda *_: iter(()))  # a process of its own: tested below in this one
    found = [harness.complete(row) for row in data.rows(quick=True)]
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
@pytest.mark.slow
def test_data_memory_counts_what_is_allocated(tmp_path, monkeypatch, capsys):
    before = data.memory()
    held = np.ones(64_000_000, np.uint8)
    after = data.memory()
    assert after["Rss"] - before["Rss"] == pytest.approx(64, abs=4)
    assert after["Pss_Anon"] - before["Pss_Anon"] == pytest.approx(held.nbytes / 1e6, abs=4)
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    data.watch(data.SyntheticGrab(60, workers=1))
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["ms", "batches", "start_mb", "end_mb", "worker_mb"]
    assert 0 < found["worker_mb"] < found["end_mb"]


@pytest.fixture
def tiny(monkeypatch):
    """The models suite at a size of seconds."""
    for name, size in {"WINDOWS": 8, "GRASPS": 4, "CLIPS": 2, "CLOUDS": 2, "CANDIDATES": 3}.items():
        monkeypatch.setattr(models, name, size)
    whole = models.build
    small = {name: ["data.clips=40"] for name in ("motionnet", "timed", "saga")}
    monkeypatch.setattr(models, "build", lambda name, few=2: whole(name, few, small.get(name, [])))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("name", "step", "use"),
    [
        ("motionnet", "step of 8 windows", "rollout of 2 clips of 2 s"),
        ("timed", None, "rollout of 2 clips of 2 s"),
        ("grasp_cvae", "step of 4 grasps", "3 grasps of each of 2 clouds"),
        ("contact_map", "step of 4 grasps", "contact maps of 2 grasps"),
    ],
)
def test_models_are_trained_and_used_as_configured(name, step, use):
    found = models.measure(name, 1, 2)
    assert (found.get("step"), found["use"]) == (step, use)
    assert found["peer"] == {"motionnet": "goal", "timed": "goal", "grasp_cvae": "grasp_cvae_official"}.get(
        name, "contact_map_official"
    )
    assert found["use_ms"] > 0
    if step is None:
        assert "step_ms" not in found
    else:
        assert found["step_ms"] > 0
        assert 0 < found["data_share"] < 1


@pytest.mark.usefixtures("tiny")
def test_models_count_what_is_trained():
    found = models.measure("grasp_cvae", 1, 2)["parameters"]
    task, _, _ = models.build("grasp_cvae")
    sizes = {name: value.numel() for name, value in task.network.named_parameters()}
    frozen = sum(size for name, size in sizes.items() if name.startswith("contact."))
    assert frozen > 0
    assert found == sum(sizes.values()) - frozen


@pytest.mark.usefixtures("tiny")
def test_models_of_whole_clips_see_as_many_frames(monkeypatch):
    monkeypatch.setattr(models, "WINDOWS", 30)
    task, data, _ = models.build("saga", 2)
    brought, what = models._step(task, data)
    frames = sum(len(clip.pose.joints) for clip in data.train)
    assert brought * 2 * frames / len(data.train) == pytest.approx(300)
    assert task.clips_per_batch == data.clips_per_batch == 2
    assert what == f"step of {2 * brought:.0f} clips, as many frames as 30 windows predict, from 2"


def test_models_bring_published_networks_to_one_batch():
    for name, batch, brought in (("grasp_cvae_official", 4, 16), ("grasp_cvae", 64, 1)):
        task, data, cfg = models.build(name, 4)
        assert models._step(task, data)[0] == brought
        assert data.batch_size == cfg.data.batch_size == batch


def test_models_rows_have_their_peers_beside_them(monkeypatch):
    def measure(name, repeats, few):
        assert (repeats, few) == (10, 8)
        found = {"peer": "goal", "use": "rollout", "use_ms": 2.0 if name == "goal" else 1.0}
        if name != "linear":
            found |= {"step": "step", "step_ms": 30.0 if name == "goal" else 10.0, "step_mb": 7.0}
            found |= {"data_share": 0.1, "parameters": 5}
        return found

    monkeypatch.setattr(models, "measure", measure)
    monkeypatch.setattr(models, "in_a_process", lambda function, *given: function(*given))
    monkeypatch.setattr(models, "model_names", lambda: ["goal", "linear", "motionnet"])
    found = [harness.complete(row) for row in models.rows(quick=False)]
    assert [(row["case"], row["ours_ms"], row["peer"], row["ratio"]) for row in found] == [
        ("goal: step", 30.0, None, None),
        ("motionnet: step", 10.0, "goal", 3.0),
        ("goal: rollout", 2.0, None, None),
        ("linear: rollout", 1.0, "goal", 2.0),
        ("motionnet: rollout", 1.0, "goal", 2.0),
    ]
    assert {row.get("parameters") for row in found} == {5, None}


def test_models_are_those_of_the_config():
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        wanted = GlobalHydra.instance().config_loader().get_group_options("model")
    assert models.model_names() == wanted
    assert {"goal", "grasp_cvae_official", "contact_map_official"} <= set(wanted)  # the peers


def test_models_time_steps_after_the_first(monkeypatch):
    now = iter([0.0, 9.0, 10.0, 10.002, 11.0, 11.004, 12.0, 12.003])
    monkeypatch.setattr(models.time, "process_time", lambda: next(now))
    clock = models.Clock()
    for _ in range(4):
        with clock.profile("[loop].run_training_batch"):
            pass
    assert clock.median("run_training_batch") == pytest.approx(3)  # of 9000, 2, 4 and 3 ms


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_models_memory_is_the_peak_of_the_second_step():
    memory, trainer, module = models.Memory(), L.Trainer(logger=False), L.LightningModule()
    for step, size in enumerate((128_000_000, 64_000_000, 256_000_000)):
        memory.on_train_batch_start(trainer, module, None, step)
        held = np.ones(size, np.uint8)
        del held
        memory.on_train_batch_end(trainer, module, None, None, step)
    assert memory.step_mb == pytest.approx(64, abs=8)


def test_models_processes_return_their_value_and_raise_their_error():
    assert models.in_a_process(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="model 'x': no"):
        models.in_a_process(_refuse, "x")


def _refuse(name):
    raise ValueError(f"model {name!r}: no")
