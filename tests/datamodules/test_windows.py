"""Windows against a plain loop, padding, speeds, and what makes a run repeatable."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch.utils.data import DataLoader

from dexzoo.datamodules.base import EpochSampler, as_is
from dexzoo.datamodules.transforms import HistoryNoise
from dexzoo.datamodules.types import FUTURE, PAST, MotionBatch, MotionSample
from dexzoo.datamodules.windows import ClipDataset, ClipStore, WindowDataset
from dexzoo.files.errors import DataError

Maker = Callable[..., MotionSample]
LENGTHS = (2, 3, 9, 30)


@pytest.fixture
def samples(make_sample: Maker) -> list[MotionSample]:
    return [make_sample("cup", length, seed) for seed, length in enumerate(LENGTHS)]


def naive_windows(samples: list[MotionSample], first: int = 1) -> list[dict[str, object]]:
    """Every window by loops over clips, moments and frames; the first one of each clip `first` times."""
    windows = []
    for clip, sample in enumerate(samples):
        n = len(sample.pose.joints)
        cloud = torch.stack(
            [sample.object_rotation[0] @ p + sample.object_translation[0] for p in sample.object_points]
        )
        for t in [0] * (first - 1) + [*range(n - 1)]:
            past = [sample.pose.to_vector()[max(t - back, 0)] for back in reversed(range(PAST))]
            future = [sample.pose.to_vector()[min(t + k, n - 1)] for k in range(1, FUTURE + 1)]
            windows.append(
                {
                    "past": torch.stack(past),
                    "future": torch.stack(future),
                    "valid": torch.tensor([t + k < n for k in range(1, FUTURE + 1)]),
                    "time_to_go": float(n - 1 - t),
                    "clip": clip,
                    "cloud": cloud,
                }
            )
    return windows


@pytest.mark.parametrize("first", [1, 4])
def test_windows_equal_a_plain_loop(samples: list[MotionSample], first: int) -> None:
    dataset, expected = WindowDataset(ClipStore.of(samples), first_window_weight=first), naive_windows(samples, first)
    assert len(dataset) == len(expected) == sum(LENGTHS) + (first - 2) * len(LENGTHS)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
    batch = dataset.__getitems__(order)
    for row, index in enumerate(order):
        window = expected[index]
        sample = samples[window["clip"]]
        torch.testing.assert_close(batch.past[row].to_vector(), window["past"])
        torch.testing.assert_close(batch.future[row].to_vector(), window["future"])
        assert batch.valid[row].equal(window["valid"])
        assert batch.time_to_go[row] == window["time_to_go"]
        assert batch.clip[row] == window["clip"]
        torch.testing.assert_close(batch.object_points[row], window["cloud"])
        torch.testing.assert_close(batch.goal[row].to_vector(), sample.goal.to_vector())
        assert batch.fps[row] == sample.fps


def test_clips_are_padded_with_their_last_frame(samples: list[MotionSample]) -> None:
    batch = ClipDataset(ClipStore.of(samples)).__getitems__([3, 1])
    assert batch.pose.shape == (2, 30)
    assert batch.length.tolist() == [30, 3]
    assert batch.names == (samples[3].name, samples[1].name)
    assert batch.meshes == (None, None)
    torch.testing.assert_close(batch.pose[1, :3].to_vector(), samples[1].pose.to_vector())
    last = batch.pose.to_vector()[1]
    assert last[3:].equal(last[2].expand(27, -1))
    assert batch.object_rotation[1].equal(samples[1].object_rotation[-1])
    assert batch.object_translation[1].equal(samples[1].object_translation[-1])


def test_a_loader_hands_on_whole_batches(samples: list[MotionSample]) -> None:
    dataset = WindowDataset(ClipStore.of(samples))
    loader = DataLoader(dataset, batch_size=16, sampler=EpochSampler(dataset), collate_fn=as_is)
    batches = list(loader)
    assert [len(batch.clip) for batch in batches] == [16, 16, 8]
    assert all(isinstance(batch, MotionBatch) for batch in batches)


def test_an_epoch_deals_every_window_once(samples: list[MotionSample]) -> None:
    dataset = WindowDataset(ClipStore.of(samples))
    sampler = EpochSampler(dataset, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(i - epoch * len(dataset) for i in order) == list(range(len(dataset)))
        orders.append([i % len(dataset) for i in order])
    assert orders[0] == orders[2] != orders[1]


def test_passes_lengthen_an_epoch(samples: list[MotionSample]) -> None:
    dataset = WindowDataset(ClipStore.of(samples))
    thrice, once = EpochSampler(dataset, passes=3), EpochSampler(dataset)
    thrice.set_epoch(1)
    assert len(list(thrice)) == len(thrice) == 3 * len(dataset)
    expected = []
    for epoch in (3, 4, 5):
        once.set_epoch(epoch)
        expected += list(once)
    assert list(thrice) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_from_seed_and_epoch_alone(samples: list[MotionSample], workers: int) -> None:
    dataset = WindowDataset(ClipStore.of(samples), 5, (0.7, 1.4), [HistoryNoise(0.01, 0.1, 0.1)])

    def epochs(*numbers: int) -> list[torch.Tensor]:
        sampler = EpochSampler(dataset, seed=5)
        loader = DataLoader(dataset, 16, sampler=sampler, collate_fn=as_is, num_workers=workers)
        found = []
        for number in numbers:
            sampler.set_epoch(number)
            torch.rand(number + 1)  # the global generator is somewhere else each time
            found.append(torch.cat([batch.past.to_vector().flatten() for batch in loader]))
        return found

    first, second = epochs(0, 1)
    (again,) = epochs(1)
    assert second.equal(again)
    assert not first.equal(second)


def test_loader_processes_do_not_change_batches(samples: list[MotionSample]) -> None:
    dataset = WindowDataset(ClipStore.of(samples), 5, (0.7, 1.4), [HistoryNoise(0.01, 0.1, 0.1)])
    for alone, helped in zip(
        DataLoader(dataset, 16, collate_fn=as_is),
        DataLoader(dataset, 16, collate_fn=as_is, num_workers=2),
        strict=True,
    ):
        assert alone.past.to_vector().equal(helped.past.to_vector())


def test_speeds_resample_the_clip_and_end_on_its_last_frame(make_sample: Maker) -> None:
    sample = make_sample("cup", 40)
    dataset = WindowDataset(ClipStore.of([sample]), seed=1, speed_range=(0.5, 2.0))
    batch = dataset.__getitems__(range(len(dataset)))
    frames = range(40)
    turns = Slerp(frames, Rotation.from_matrix(sample.pose.rotation.double().numpy()))
    remaining = 39 - torch.arange(39)
    assert batch.time_to_go.equal(batch.time_to_go.round())
    assert (batch.time_to_go >= (remaining / 2).ceil()).all()
    assert (batch.time_to_go <= remaining / 0.5).all()
    assert not batch.time_to_go.equal(remaining.float())
    for t in range(39):
        speed = remaining[t].item() / batch.time_to_go[t].item()
        times = torch.tensor([t + k * speed for k in range(1 - PAST, FUTURE + 1)]).clamp(0, 39)
        rotation = torch.from_numpy(turns(times.numpy()).as_matrix())
        found = torch.cat([batch.past.rotation[t], batch.future.rotation[t]]).double()
        torch.testing.assert_close(found, rotation, atol=1e-5, rtol=0)
        before = times.floor().long().clamp(max=38)
        share = (times - before)[:, None]
        joints = sample.pose.joints[before] * (1 - share) + sample.pose.joints[before + 1] * share
        torch.testing.assert_close(torch.cat([batch.past.joints[t], batch.future.joints[t]]), joints)
        arrival = int(batch.time_to_go[t])
        assert batch.valid[t].sum() == min(arrival, FUTURE)
        if arrival <= FUTURE:
            torch.testing.assert_close(batch.future.joints[t, arrival - 1], sample.goal.joints)


def test_history_noise_moves_the_past_only_and_by_what_it_says(make_sample: Maker) -> None:
    dataset = WindowDataset(ClipStore.of([make_sample("cup", 3000)]))
    clean = dataset.__getitems__(range(2999))
    noisy = HistoryNoise(0.02, 0.1, 0.3, jitter=0.5)(clean, torch.Generator().manual_seed(0))
    assert replace(noisy, past=clean.past) == clean
    moved = noisy.past.translation - clean.past.translation
    turned = Rotation.from_matrix((clean.past.rotation.mT @ noisy.past.rotation).reshape(-1, 3, 3)).as_rotvec()
    total = (1 + 0.5**2) ** 0.5
    assert moved.std() == pytest.approx(0.02 * total, rel=0.03)
    assert turned.std() == pytest.approx(0.1 * total, rel=0.03)
    assert (noisy.past.joints - clean.past.joints).std() == pytest.approx(0.3 * total, rel=0.03)
    assert moved.mean(dim=1).std() == pytest.approx(0.02 * (1 + 0.5**2 / PAST) ** 0.5, rel=0.03)


def test_batches_of_256_take_less_than_two_milliseconds(make_sample: Maker) -> None:
    dataset = WindowDataset(ClipStore.of([make_sample("cup", 60, seed, n_points=1024) for seed in range(100)]))
    indices = [torch.randint(len(dataset), (256,)).tolist() for _ in range(50)]
    times = []
    for batch in indices:
        start = time.perf_counter()
        dataset.__getitems__(batch)
        times.append(time.perf_counter() - start)
    assert min(times) < 2e-3  # the best of many: other processes may share the machine


def test_bad_clips_and_settings_are_named(make_sample: Maker) -> None:
    good = make_sample("cup", 5)
    store = ClipStore.of([good])
    with pytest.raises(DataError, match=r"clips: expected at least one, found none"):
        ClipStore.of([])
    with pytest.raises(DataError, match=r"cup/0: expected a clip of at least 2 frames, found 1"):
        ClipStore.of([make_sample("cup", 1)])
    with pytest.raises(DataError, match=r"object points: expected the same for all clips, found \[7, 8\]"):
        ClipStore.of([good, make_sample("cup", 5, n_points=8)])
    with pytest.raises(DataError, match=r"speed_range: .* 0 < low <= 1 <= high, found \[1.1, 1.4\]"):
        WindowDataset(store, speed_range=(1.1, 1.4))
    with pytest.raises(DataError, match=r"joint_std: expected a standard deviation >= 0, found -0.1"):
        HistoryNoise(joint_std=-0.1)


def test_first_window_weight_are_counted_from_one(samples: list[MotionSample]) -> None:
    with pytest.raises(DataError, match="first_window_weight: expected 1 or more, found 0"):
        WindowDataset(ClipStore.of(samples), first_window_weight=0)
