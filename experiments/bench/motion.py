"""Cost of reading windows by the number of clips: time of a batch, and memory of a process that trains."""

import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch

from ...datamodules.windows import ClipStore, WindowDataset
from ...models import MotionSynthesis
from .models import build
from .timing import Row, median_ms, printed_by, row


def rows(quick: bool) -> Iterator[Row]:
    """Time of fetching 256 windows, and peak memory of a process that trains MotionNet, at 1, 4 and 16 times the clips;
    `quick` takes a fifth of the clips.
    """
    base, first_ms = 60 if quick else 300, None
    for factor in (1, 4, 16):
        code = f"from dexzoo.experiments.bench.motion import measure; measure({base}, {factor})"
        fetch_ms, clips_mb, peak_mb = map(float, printed_by(code)[-1].split())
        first_ms = fetch_ms if first_ms is None else first_ms
        case = f"fetch of 256 windows, {base * factor} clips ({clips_mb:.0f} MB of clips, peak {peak_mb:.0f} MB)"
        yield row(case, fetch_ms, f"{base} clips", first_ms)


def measure(base: int, factor: int) -> None:
    """Prints fetch time in ms, size of the clips and peak memory of this process in MB; run in a process of its own."""
    torch.set_num_threads(1)
    task, data, _ = build("motionnet", overrides=[f"data.clips={base}"])
    # The same clips under other names: copies in memory, as other clips would be.
    store = ClipStore.of([replace(s, pose=s.pose.map(torch.clone)) for s in data.train for _ in range(factor)])
    windows = WindowDataset(store)
    indices = [torch.randint(len(windows), (256,)).tolist() for _ in range(11)]
    fetches = iter(indices)
    fetch_ms = median_ms(lambda: windows.__getitems__(next(fetches)), 10, time.process_time)
    batch = windows.__getitems__(indices[0])
    cast(MotionSynthesis[Any], task).losses(batch)[0].backward()
    tensors = (store.pose.translation, store.pose.rotation, store.pose.joints, store.object_points)
    print(fetch_ms, sum(t.nbytes for t in tensors) / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
