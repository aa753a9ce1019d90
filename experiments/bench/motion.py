"""Speed and memory of MotionNet on the demo data: training step, share of data, rollouts, and how memory scales."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import hydra
import torch
from hydra import compose, initialize_config_module

from ...datamodules import DemoMotion, MotionBatch
from ...datamodules.windows import ClipStore, WindowDataset
from ...models import MotionSynthesis


def rows(quick: bool) -> list[dict]:
    """The rows of the table; times are medians of one run, in ms."""
    task, data = _as_configured(clips=120 if quick else 600)
    repeats = 5 if quick else 30
    return [*_training(task, data, repeats), *_rollouts(task, data, repeats), *_scaling(quick)]


def _as_configured(clips: int) -> tuple[MotionSynthesis, DemoMotion]:
    """The model and the data of `run.py model=motionnet data=demo`, with that many clips and batches of 256 windows."""
    with initialize_config_module("dexzoo.experiments.conf", version_base=None):
        cfg = compose("config", [f"data.clips={clips}", "data.batch_size=256"])
        task, data = hydra.utils.instantiate(cfg.model, hand=cfg.hand), hydra.utils.instantiate(cfg.data)
    data.prepare_data()
    task.network.fit_statistics(data.train, [next(iter(data.train_dataloader()))])
    return task, data


def _row(case: str, ours_ms: float, peer: str, peer_ms: float) -> dict:
    return {"case": case, "ours_ms": ours_ms, "peer": peer, "peer_ms": peer_ms, "ratio": peer_ms / ours_ms}


def _median_ms(function: Callable[[], object], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def _endless(loader: Iterable[MotionBatch]) -> Iterator[MotionBatch]:
    while True:
        yield from loader


def _training(task: MotionSynthesis, data: DemoMotion, repeats: int) -> Iterator[dict]:
    batches = _endless(data.train_dataloader())
    optimiser = torch.optim.AdamW(task.network.parameters(), lr=1e-4)

    def step() -> None:
        batch = next(batches)
        optimiser.zero_grad()
        task.loss(task.network(batch), batch.future, batch.past)[0].backward()
        optimiser.step()

    step_ms, data_ms = _median_ms(step, repeats), _median_ms(lambda: next(batches), repeats)
    yield _row(f"training step, 256 windows ({256e3 / step_ms:.0f} windows/s)", step_ms, "a second: steps/s", 1000.0)
    yield _row(f"data of the step ({data_ms / step_ms:.1%} of it)", data_ms, "whole step", step_ms)


def _rollouts(task: MotionSynthesis, data: DemoMotion, repeats: int) -> Iterator[dict]:
    task.network.eval()
    batch = ClipStore.of(data.train[:64]).clips(range(64))
    frames = torch.full((64,), 60)

    def roll(n: int) -> Callable[[], object]:
        one = (batch.pose[:n, :1], batch.goal[:n], frames[:n], batch.object_points[:n], batch.fps[:n])
        return lambda: task.network.rollout(*one)

    single, many = _median_ms(roll(1), repeats), _median_ms(roll(64), repeats)
    yield _row("rollout of a 2 s clip", single, "real time", 2000.0)
    yield _row("rollout of 64 clips of 2 s at once", many, "64 x one clip", 64 * single)


def _scaling(quick: bool) -> Iterator[dict]:
    """Time of fetching 256 windows, and peak memory of a process that trains, at 1x, 4x and 16x as many clips."""
    base = 60 if quick else 300
    for factor in (1, 4, 16):
        code = f"from dexzoo.experiments.bench.motion import measure; measure({base}, {factor})"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        fetch_ms, clips_mb, peak_mb = (float(x) for x in out.split()[-3:])
        if factor == 1:
            first_ms = fetch_ms
        case = f"fetch of 256 windows, {base * factor} clips ({clips_mb:.0f} MB of clips, peak {peak_mb:.0f} MB)"
        yield _row(case, fetch_ms, f"{base} clips", first_ms)


def measure(base: int, factor: int) -> None:
    """Prints fetch time in ms, size of the clips and peak memory of this process in MB; run in a process of its own."""
    torch.set_num_threads(1)
    task, data = _as_configured(base)
    # The same clips under other names: copies in memory, as other clips would be.
    samples = [replace(s, pose=s.pose.map(torch.clone)) for s in data.train for _ in range(factor)]
    store = ClipStore.of(samples)
    windows = WindowDataset(store)
    indices = [torch.randint(len(windows), (256,)).tolist() for _ in range(11)]
    fetches = iter(indices)
    fetch_ms = _median_ms(lambda: windows.__getitems__(next(fetches)), 10)
    batch = windows.__getitems__(indices[0])
    task.loss(task.network(batch), batch.future, batch.past)[0].backward()
    tensors = (store.pose.translation, store.pose.rotation, store.pose.joints, store.object_points)
    clips_mb = sum(t.nbytes for t in tensors) / 1e6
    print(fetch_ms, clips_mb, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
