"""Every model of conf/model at one batch: training step, rollouts or candidates, parameters and memory.

All are as their configs say, on the demo data; a file that is added to conf/model appears without a change here. The
ratios compare recipes, not two ways to compute the same. Each model is measured in a process of its own.

Times are those of the processor, with one thread, so that other programs on the machine hardly matter.
"""

import ctypes
import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra import compose, initialize_config_module
from hydra.utils import get_class, instantiate
from lightning.pytorch.profilers import Profiler

from ...datamodules.types import FUTURE
from ...datamodules.windows import ClipStore
from ...models import Task
from ..training import tracking
from ..training.data import build_data
from .timing import Row, median_ms, peak_mb, row

CONF = Path(__file__).parents[1] / "conf" / "model"
WINDOWS, GRASPS = 256, 64
"""In a training batch."""
CLIPS, SECONDS, CLOUDS, CANDIDATES = 64, 2, 8, 10
"""Of a rollout; of a draw of grasps."""
SLOW = ("contact_map_official", "grasp_cvae_official", "saga", "saga_grasp", "unidexgrasp")
"""Models that take seconds for the whole batch. They are measured on few clips or grasps, and drawn from for one cloud;
the time is brought to the whole batch."""
FEW, FEWER = 8, 3
"""Clips or grasps of such models, and where it has to be quick."""
_WARM = 1  # first steps, not counted


def rows(quick: bool) -> list[Row]:
    """Two rows for each model: a training step, where it is trained, and its use; medians of one run, `quick` of fewer
    repeats, in under 40 s.

    `ours_ms` is without the batch from the loader, whose share of the whole step is `data_share`. `parameters` are the
    trained ones. `step_mb` is what a step needs beside them, see `Memory`; it is brought to a batch as the time is.
    """
    tracking.quieten()
    size = (1, FEWER) if quick else (10, FEW)
    found = {name: in_a_process(measure, name, *size) for name in model_names()}
    return [row for rank in (0, 1) for name in found for row in _rows(name, found, rank)]


def model_names() -> list[str]:
    """The choices of conf/model."""
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a copy of this process, and returns what it returns; its errors are raised here."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, arguments)


def _rows(name: str, found: dict[str, Row], rank: int) -> Iterator[Row]:
    """The row of a model's training step (rank 0) or of its use (rank 1), beside its peer's."""
    key, mine = ("step", "use")[rank], found[name]
    peer = mine["peer"]
    if f"{key}_ms" not in mine:
        return
    shown = ("parameters", "step_mb", "data_share") if key == "step" else ()
    beside = () if peer == name else (peer, found[peer][f"{key}_ms"])
    yield row(f"{name}: {mine[key]}", mine[f"{key}_ms"], *beside, **{column: mine[column] for column in shown})


class Clock(Profiler):
    """Processor time of everything that Lightning does, in ms by name."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, float] = {}
        self.found: dict[str, list[float]] = defaultdict(list)

    def start(self, action_name: str) -> None:
        self.begun[action_name] = time.process_time()

    def stop(self, action_name: str) -> None:
        self.found[action_name].append(1e3 * (time.process_time() - self.begun.pop(action_name)))

    def median(self, ending: str) -> float:
        """Of the action whose name ends so, without the first steps."""
        (times,) = (times for name, times in self.found.items() if name.endswith(ending))
        return statistics.median(times[_WARM:])


class Memory(L.Callback):
    """Rise of the resident memory in the second step, `step_mb`: activations and gradients at their peak.

    The first step has made the optimiser's state, 8 bytes for each parameter with Adam, which stays. Only Linux tells
    the peak; elsewhere it is None.
    """

    step_mb: float | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Empties what is kept for later use, and lets the peak start anew."""
        if batch_idx == _WARM and Path("/proc/self/clear_refs").exists():
            pl_module.zero_grad()
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            self.before = peak_mb()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Reads the peak."""
        if batch_idx == _WARM and Path("/proc/self/clear_refs").exists():
            self.step_mb = peak_mb() - self.before


def build(name: str, few: int = FEW, overrides: Sequence[str] = ()) -> tuple[Task[Any, Any], Any, Any]:
    """The task, the data and the config of a choice of conf/model; a contact predictor inside counts as trained. The
    training batches of a `SLOW` model have `few` clips or grasps.
    """
    with initialize_config_module("dexzoo.experiments.conf", version_base=None):
        cfg = compose("config", [f"model={name}", *overrides])
        if cfg.model.get("clips_per_batch"):
            cfg.model.clips_per_batch = few
        else:
            motions = get_class(cfg.model._target_).supports_rollouts
            cfg.data.batch_size = WINDOWS if motions else _size(name, GRASPS, few)[0]
        task, data = instantiate(cfg.model, hand=cfg.hand), build_data(cfg.data)
    if task.supports_sampling and task.contact_predictor is not None:
        task.load_contact_weights(task.contact_predictor.state_dict())
    data.prepare_data()
    return task, data, cfg


def peer_of(task: Task[Any, Any]) -> str:
    """Model that those of a kind are compared with."""
    if task.supports_rollouts:
        return "goal"
    return "grasp_cvae_official" if task.supports_sampling else "contact_map_official"


def measure(name: str, repeats: int, few: int) -> Row:
    """Times a choice of conf/model, `repeats` times, with `few` clips or grasps of a `SLOW` one; run it in a process of
    its own. Gives `use` (what was done), `use_ms` and `peer`, and of a model that is trained `step`, `step_ms`,
    `step_mb`, `data_share` and `parameters`.
    """
    torch.set_num_threads(1)
    task, data, cfg = build(name, few)
    found: Row = {"peer": peer_of(task)}
    if task.trainable:
        found |= _train(task, data, cfg.trainer.gradient_clip_val, repeats)
    else:
        task.network.fit_statistics(data.train, islice(data.train_dataloader(), 1))
    brought, what, use = _use(task, data, few)
    with torch.no_grad():
        return found | {"use": what, "use_ms": brought * median_ms(use, repeats, time.process_time)}


def _train(task: Task[Any, Any], data: Any, clip_gradients: float | None, repeats: int) -> Row:
    brought, what = _step(task, data)
    clock, memory = Clock(), Memory()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
    limits: Any = {"max_steps": repeats + _WARM, "gradient_clip_val": clip_gradients, "limit_val_batches": 0}
    trainer = L.Trainer(accelerator="cpu", profiler=clock, callbacks=[memory], **limits, **quiet)
    trainer.fit(task, data)
    data_ms, own_ms = clock.median("train_dataloader_next"), clock.median("run_training_batch")
    return {
        "step": what,
        "step_ms": brought * own_ms,
        "step_mb": None if memory.step_mb is None else brought * memory.step_mb,
        "data_share": data_ms / (data_ms + own_ms),
        "parameters": sum(p.numel() for p in task.network.parameters() if p.requires_grad),
    }


def _step(task: Task[Any, Any], data: Any) -> tuple[float, str]:
    """Factor on the time and memory of a training step, and the step in words."""
    if not task.supports_rollouts:
        note = "" if data.batch_size == GRASPS else f", from {data.batch_size}"
        return GRASPS / data.batch_size, f"step of {GRASPS} grasps{note}"
    few = data.clips_per_batch
    if few is None:
        return 1.0, f"step of {WINDOWS} windows"
    clips = WINDOWS * FUTURE * len(data.train) / sum(len(clip.pose.joints) for clip in data.train)
    return clips / few, f"step of {clips:.0f} clips, as many frames as {WINDOWS} windows predict, from {few}"


def _size(name: str, whole: int, few: int) -> tuple[int, str]:
    """Part of a whole that is measured, and the note on it in the case."""
    return (few, f", from {few}") if name in SLOW else (whole, "")


def _use(task: Task[Any, Any], data: Any, few: int) -> tuple[float, str, Callable[[], object]]:
    """Factor on the time, the model's use in words, and a function that does it once."""
    network, draw = task.network.eval(), torch.Generator().manual_seed(0)
    if task.supports_rollouts:
        clips, note = _size(task.method, CLIPS, few)
        batch = ClipStore.of(data.train[:clips]).clips(range(clips))
        frames = (SECONDS * batch.fps).round().long()
        given = (batch.pose[:, :1], batch.goal, frames, batch.object_points, batch.fps)
        what = f"rollout of {CLIPS} clips of {SECONDS} s{note}"
        return CLIPS / clips, what, lambda: network.rollout(*given, generator=draw)
    clouds, note = _size(task.method, CLOUDS, 1)
    batch = next(iter(data.train_dataloader())).first(clouds)
    points = batch.object_points
    if task.supports_sampling:
        what = f"{CANDIDATES} grasps of each of {CLOUDS} clouds{note}"
        return CLOUDS / clouds, what, lambda: network.sample(points, CANDIDATES, draw)
    hand_points = network.hand_points(batch.pose)
    return CLOUDS / clouds, f"contact maps of {CLOUDS} grasps{note}", lambda: network(points, hand_points)
