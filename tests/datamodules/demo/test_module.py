"""The demo data module: quick, split by object, the same for the same seed, and safe against kills and twins."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from dexzoo.datamodules.demo.module import DemoMotion
from dexzoo.files.cache import cache_dir
from dexzoo.files.errors import DataError
from dexzoo.geometry.meshes import load_mesh
from dexzoo.geometry.sdf import SignedDistance
from dexzoo.synthesis import clips as clips_module

TINY = {"clips": 24, "objects": ("can", "tea_box", "banana"), "n_object_points": 256}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for the module; forked processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield cache_dir()


@pytest.fixture(autouse=True)
def _own_cache(cache):
    """Replaces the one of the folder: here tests share a cache on purpose."""


@pytest.fixture(scope="module")
def data(cache):
    module = DemoMotion(**TINY)
    start = time.process_time()
    module.setup()
    module.seconds = time.process_time() - start
    return module


def test_tiny_data_is_there_in_seconds_and_split_by_object(data):
    assert data.seconds < 5, "of one core"
    assert {s.object for s in data.train} == {"can"}
    assert {s.object for s in data.val} == {"banana"}
    assert {s.object for s in data.test} == {"tea_box"}
    assert len(data.train) == len(data.val) == len(data.test) == 8
    assert data.is_demo
    assert "demo data" in data.title
    assert data.fps == 30


def test_samples_are_consistent(data):
    for sample in data.train + data.val + data.test:
        frames = len(sample.pose.joints)
        assert 35 <= frames <= 64
        assert sample.object_rotation.shape == (frames, 3, 3)
        assert sample.object_translation.shape == (frames, 3)
        assert (sample.object_rotation == sample.object_rotation[0]).all()
        torch.testing.assert_close(sample.goal.to_vector(), sample.pose[-1].to_vector())
        assert sample.object_points.shape == (256, 3)
        distance = SignedDistance(load_mesh(sample.mesh))(sample.object_points)
        assert distance.abs().max() < 1e-5


def test_batches_come_out(data):
    batch = next(iter(data.train_dataloader()))
    assert batch.past.joints.shape[1:] == (5, 22)
    assert next(iter(data.test_dataloader())).goal.joints.shape == (8, 22)


def test_second_load_reads_the_cache_and_is_equal(data, monkeypatch):
    def refuse(*args):
        raise AssertionError("made again")

    monkeypatch.setattr(clips_module, "make_clips", refuse)
    again = DemoMotion(**TINY)
    again.setup()
    assert again.split_hash == data.split_hash
    for a, b in zip(again.train, data.train, strict=True):
        assert torch.equal(a.pose.to_vector(), b.pose.to_vector())


def test_another_seed_gives_other_clips(data):
    other = DemoMotion(**(TINY | {"clip_seed": 1, "clips": 3}))
    other.setup()
    assert not torch.equal(other.train[0].goal.joints, data.train[0].goal.joints)


def _load_and_print_hash(queue):
    module = DemoMotion(**(TINY | {"clips": 6, "clip_seed": 2}))
    module.setup()
    queue.put((module.split_hash, float(sum(s.pose.to_vector().double().sum() for s in module.train))))


@pytest.mark.slow
def test_two_processes_at_once_agree(cache):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    twins = [context.Process(target=_load_and_print_hash, args=(queue,)) for _ in range(2)]
    for twin in twins:
        twin.start()
    first, second = queue.get(timeout=120), queue.get(timeout=120)
    for twin in twins:
        twin.join(timeout=60)
    assert first == second


def _killed_while_writing(folder):
    os.environ["DEXZOO_CACHE"] = folder
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    module = DemoMotion(**(TINY | {"clips": 3}))
    module.setup()


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_half(tmp_path, monkeypatch):
    context = multiprocessing.get_context("spawn")
    victim = context.Process(target=_killed_while_writing, args=(str(tmp_path),))
    victim.start()
    victim.join(timeout=120)
    assert victim.exitcode == -signal.SIGKILL
    assert not list(tmp_path.rglob("*.npz"))
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    module = DemoMotion(**(TINY | {"clips": 3}))
    module.setup()
    assert len(module.train) == 1


def test_wrong_settings_are_named():
    with pytest.raises(DataError, match=r"found 'cup'.*"):
        DemoMotion(objects=["cup"])
    with pytest.raises(DataError, match="clips: expected at least one for each of 14 objects, found 3"):
        DemoMotion(clips=3)
    other = DemoMotion("shadow_e3m5", **TINY)
    with pytest.raises(
        DataError, match=r"(?s)expected grasps of hand 'shadow_e3m5', found 'shadow'.*synthesise --hand"
    ):
        other.setup()
