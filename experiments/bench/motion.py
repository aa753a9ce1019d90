"""How reading windows scales: the time of a batch, and the memory of a process that trains, by the number of clips."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch

from ...datamodules.windows import ClipStore, WindowDataset
from ...models import MotionSynthesis
from .models import build, median_ms


def rows(quick: bool) -> Iterator[dict]:
    """Time of fetching 256 windows, and peak memory of a process that trains MotionNet, at 1, 4 and 16 times the clips.

    Args:
        quick: a fifth of the clips.
    """
    base = 60 if quick else 300
    for factor in (1, 4, 16):
        code = f"from dexzoo.experiments.bench.motion import measure; measure({base}, {factor})"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        fetch_ms, clips_mb, peak_mb = (float(x) for x in out.split()[-3:])
        if factor == 1:
            first_ms = fetch_ms
        case = f"fetch of 256 windows, {base * factor} clips ({clips_mb:.0f} MB of clips, peak {peak_mb:.0f} MB)"
        yield {"case": case, "ours_ms": fetch_ms, "peer": f"{base} clips", "peer_ms": first_ms}


def measure(base: int, factor: int) -> None:
    """Prints fetch time in ms, size of the clips and peak memory of this process in MB; run in a process of its own."""
    torch.set_num_threads(1)
    task, data, _ = build("motionnet", overrides=[f"data.clips={base}"])
    # The same clips under other names: copies in memory, as other clips would be.
    samples = [replace(s, pose=s.pose.map(torch.clone)) for s in data.train for _ in range(factor)]
    store = ClipStore.of(samples)
    windows = WindowDataset(store)
    indices = [torch.randint(len(windows), (256,)).tolist() for _ in range(11)]
    fetches = iter(indices)
    fetch_ms = median_ms(lambda: windows.__getitems__(next(fetches)), 10)
    batch = windows.__getitems__(indices[0])
    cast(MotionSynthesis[Any], task).losses(batch)[0].backward()
    tensors = (store.pose.translation, store.pose.rotation, store.pose.joints, store.object_points)
    clips_mb = sum(t.nbytes for t in tensors) / 1e6
    print(fetch_ms, clips_mb, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
