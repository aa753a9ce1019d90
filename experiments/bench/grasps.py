"""Speed of the contact predictor and the cVAE on the demo grasps, against the published networks in the same run.

Both sides are as their configs say. The published networks are larger and see 1024 points of object and hand, so the
ratios compare recipes, not two ways to compute the same.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hydra
import lightning as L
import torch
from hydra import compose, initialize_config_module
from lightning.pytorch.profilers import Profiler

from ...models import ContactPrediction, GraspGeneration
from .. import tracking

OBJECTS, CANDIDATES = 64, 10
PEER_BATCH = 8
"""Grasps in a step of the published networks, which take seconds with more; their time is brought to our batch."""
_WARM = 1  # first steps, not counted
_ALONE = ("model.network.contact=null", "model.loss.contact=0", "model.loss.penetration=0")
_CASES = {
    "contact predictor": ("contact_map", ()),
    "cVAE with contact and penetration": ("grasp_cvae", ()),
    "cVAE without": ("grasp_cvae", _ALONE),
}


def rows(quick: bool) -> list[dict]:
    """The rows of the table: training steps as Lightning takes them, and sampling; medians of one run, in ms."""
    tracking.quieten()
    steps, peer_steps, draws, peer_draws = (12, 1, 5, 1) if quick else (100, 10, 20, 3)
    return [*_training(steps, peer_steps), *_sampling(draws, peer_draws)]


class Clock(Profiler):
    """Durations of everything that Lightning does, in ms by name."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, float] = {}
        self.found: dict[str, list[float]] = defaultdict(list)

    def start(self, action_name: str) -> None:
        """Notes when an action begins."""
        self.begun[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """Notes how long it took."""
        self.found[action_name].append(1e3 * (time.perf_counter() - self.begun.pop(action_name)))

    def median(self, ending: str) -> float:
        """Of the action whose name ends so, without the first steps."""
        (times,) = (times for name, times in self.found.items() if name.endswith(ending))
        return statistics.median(times[_WARM:])


def train(overrides: Sequence[str], steps: int) -> tuple[float, float, int]:
    """Trains a model of the config for some steps.

    Args:
        overrides: of the command.
        steps: that are counted.

    Returns:
        Milliseconds of the data of a step (batch from the loader), of the rest of it, and grasps in it.
    """
    task, data, cfg = build(overrides)
    clock = Clock()
    trainer = L.Trainer(
        max_steps=steps + _WARM,
        gradient_clip_val=cfg.trainer.gradient_clip_val,
        accelerator="cpu",
        profiler=clock,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data)
    return clock.median("train_dataloader_next"), clock.median("run_training_batch"), cfg.data.batch_size


def build(overrides: Sequence[str]) -> tuple[ContactPrediction | GraspGeneration, Any, Any]:
    """The task, the data and the config of a command; a contact predictor inside counts as trained."""
    with initialize_config_module("dexzoo.experiments.conf", version_base=None):
        cfg = compose("config", list(overrides))
        task, data = hydra.utils.instantiate(cfg.model, hand=cfg.hand), hydra.utils.instantiate(cfg.data)
    if getattr(task.network, "contact", None) is not None:
        task.take_contact(task.network.contact.state_dict())
    return task, data, cfg


def _training(steps: int, peer_steps: int) -> Iterator[dict]:
    for name, (model, changes) in _CASES.items():
        data_ms, own_ms, batch = train([f"model={model}", *changes], steps)
        few = [f"model={model}_official", f"data.batch_size={PEER_BATCH}", *changes]
        peer_data_ms, peer_own_ms, _ = train(few, peer_steps)
        step_ms = data_ms + own_ms
        yield {
            "case": f"training step of {batch} grasps, {name}",
            "ours_ms": step_ms,
            "peer": f"published network, {PEER_BATCH} grasps brought to {batch}",
            "peer_ms": (peer_data_ms + peer_own_ms) * batch / PEER_BATCH,
            "steps_per_s": 1e3 / step_ms,
            "data_share": data_ms / step_ms,
        }


def _sampling(repeats: int, peer_repeats: int) -> Iterator[dict]:
    ours, theirs = _sampler("grasp_cvae"), _sampler("grasp_cvae_official")
    ms = _median_ms(ours, repeats)
    yield {
        "case": f"sampling {CANDIDATES} grasps of each of {OBJECTS} objects",
        "ours_ms": ms,
        "peer": "published network",
        "peer_ms": _median_ms(theirs, peer_repeats),
        "grasps_per_s": 1e3 * OBJECTS * CANDIDATES / ms,
    }


def _sampler(model: str) -> Callable[[], object]:
    task, data, _ = build([f"model={model}", f"data.batch_size={OBJECTS}"])
    data.prepare_data()
    network = task.network.eval()
    network.fit_statistics(data.train)
    points = next(iter(data.train_dataloader())).object_points
    return lambda: network.sample(points, CANDIDATES)


@torch.no_grad()
def _median_ms(function: Callable[[], object], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)
