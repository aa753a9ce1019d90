"""Every model in one process or two, for test_several_processes.py: python -m tests.models.several_processes FOLDER.

With RANK and WORLD_SIZE set it is one of several processes. It writes what became of the models into the folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning as L
import torch
import torch.distributed as ranks
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dexzoo.datamodules import ClipDataset, ClipStore, DemoGrasps, MotionDataModule, PerturbHand
from dexzoo.datamodules.splits import Split
from dexzoo.hands.pose import HandPose
from dexzoo.losses.weighted import weighted_sum
from dexzoo.models import ContactPrediction, GraspGeneration, MotionSynthesis
from dexzoo.models.grasp import OfficialContactMap
from dexzoo.models.grasp.unidexgrasp import ipdf
from tests.models.conftest import make_clips, make_windows
from tests.models.zoo import CONTACT, GRASP, MOTION, Case
from tests.oracles.grasps import random_grasps, store_of

MAP = partial(ContactPrediction, perturb=PerturbHand(translation_std=0.03, joint_std=0.1), n_points=48)
CASES = MOTION | GRASP
CASES |= {
    "contact_map": Case(CONTACT, MAP),
    "contact_map_official": Case(partial(OfficialContactMap, n_hand_points=32), MAP),
}
TRAINABLE = [name for name, case in CASES.items() if case.make().trainable]
SAMPLES = 8
STEPS = 3
EXACT = [name for name in CASES if name not in GRASP]
"""Models whose validation draws nothing, or the same for a sample whichever process has it."""


class Clips(MotionDataModule):
    """Clips of three lengths; three to validate and three to test, so that two processes can't have equally many."""

    title = "clips"

    def load(self) -> list[Any]:
        return [
            replace(clip, name=f"{kind}{i}", recording=f"{kind}{i}", pose=clip.pose[:length])
            for kind, length in (("a", 21), ("b", 18), ("c", 13))
            for i, clip in enumerate(make_clips(_hand(), torch.Generator().manual_seed(len(kind) + length)))
        ]

    def split(self, samples: list[Any]) -> Split:
        self.split_group = "recording"
        val, test = {"a0", "b1", "c2"}, {"a1", "b2", "c3"}
        cut = [replace(s, object_rotation=s.object_rotation[: len(s.pose.joints)]) for s in samples]
        cut = [replace(s, object_translation=s.object_translation[: len(s.pose.joints)]) for s in cut]
        return Split(
            [s for s in cut if s.name not in val | test],
            [s for s in cut if s.name in val],
            [s for s in cut if s.name in test],
        )


def _hand() -> Any:
    return CASES["motionnet"].make().hand


def world() -> tuple[int, int]:
    """How many processes, and which this is."""
    return int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))


# ---------------------------------------------------------------------------------------------------------- gradients


class Step(nn.Module):
    """The loss of a task as the forward of a module, for DDP."""

    def __init__(self, task: Any) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Any) -> Tensor:
        task = self.task
        if isinstance(task, MotionSynthesis):
            return task.losses(batch)[0]
        if isinstance(task, GraspGeneration):
            terms = task.network(batch)
            weights = task.weights_at(1.0)
            return weighted_sum({name: terms[name] for name in weights}, weights)
        return task.network.loss(*task._predict(batch, torch.default_generator))


def joint_samples(task: Any) -> Any:
    """What both processes together take a step on, float64; the task has the statistics of it."""
    generator = torch.Generator().manual_seed(3)
    if isinstance(task, MotionSynthesis):
        clips = make_clips(task.hand, generator)
        windows = make_windows(clips)
        task.network.fit_statistics(clips, [windows])
        return windows if task.clips_per_batch is None else ClipDataset(ClipStore.of(clips)).__getitems__(range(6))
    grasps = random_grasps(task.hand, SAMPLES, generator)
    if isinstance(task, GraspGeneration):
        task.network.fit_statistics(store_of(grasps))
    return grasps


def taken(batch: Any, rows: list[int]) -> Any:
    """These rows of a batch, floats in float64."""

    def part(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[rows].double() if value.is_floating_point() else value[rows]
        if isinstance(value, HandPose):
            return value.map(lambda x: x[rows].double())
        return tuple(value[i] for i in rows) if isinstance(value, tuple) else value

    return replace(batch, **{f.name: part(getattr(batch, f.name)) for f in fields(batch)})


@contextmanager
def same_noise_per_sample(share: int) -> Iterator[None]:
    """Gives a sample the random numbers that it has in one process with all of them.

    Rows of a tensor are taken for the samples of this process where their number is a multiple of `share`, theirs;
    other tensors are drawn alike everywhere.
    """
    n, rank = world()
    randn, rand, rotations = torch.randn, torch.rand, ipdf.random_rotations

    def drawn(make: Callable[..., Tensor], *shape: int, **options: Any) -> Tensor:
        if not shape or shape[0] % share or shape[0] > 100 * share:
            return make(*shape, **options)
        options.pop("generator", None)
        whole = make(shape[0] // share, share * n, *shape[1:], dtype=torch.float64)
        return whole[:, rank::n].reshape(shape).to(options.get("dtype", torch.float64))

    def alike(*args: Any, **options: Any) -> Tensor:
        with patch("torch.randn", randn):
            return rotations(*args, **options).double()

    def flat(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*shape: Any, **options: Any) -> Tensor:
            shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
            return drawn(make, *shape, **options)

        return call

    with (
        patch("torch.randn", flat(randn)),
        patch.object(ipdf, "random_rotations", alike),  # queries, which all samples share
        patch("torch.randn_like", lambda x: drawn(randn, *x.shape)),
        patch("torch.rand_like", lambda x: drawn(rand, *x.shape)),
        patch("torch.multinomial", lambda p, k, **_: p.argsort(descending=True)[:k]),
    ):
        yield


def trained(name: str) -> dict[str, Tensor]:
    """Gradients of the first step and the state after some, of two halves of a batch or the whole."""
    n, rank = world()
    task = CASES[name].make()
    batch = joint_samples(task)
    size = len(getattr(batch, "names", None) or batch.clip)
    rows = list(range(rank, size, n))
    task.double().train()
    for module in task.modules():  # dropout draws a mask that nothing here can deal out
        if hasattr(module, "drop"):
            module.drop = 0.0
    step: nn.Module = Step(task)
    step = DistributedDataParallel(step) if n > 1 else step
    trained = [p for p in task.network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-3)
    found: dict[str, Tensor] = {}
    for k in range(STEPS):
        torch.manual_seed(k)
        optimiser.zero_grad()
        with same_noise_per_sample(len(rows)):
            step(taken(batch, rows)).backward()
        if k == 0:
            named = task.network.named_parameters()
            found = {f"gradient {key}": p.grad.clone() for key, p in named if p.grad is not None}
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
    found |= {f"state {key}": value.clone() for key, value in task.network.state_dict().items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in found.items()}


# ------------------------------------------------------------------------------------------------------ under Lightning


def data_of(task: Any) -> Any:
    """The same samples a step whatever the number of processes."""
    options: dict[str, Any] = {"batch_size": SAMPLES // world()[0], "eval_batch_size": 1}
    if isinstance(task, MotionSynthesis):
        return Clips(min_windows_per_epoch=0, clips_per_batch=task.clips_per_batch, **options)
    objects = ["mug", "bottle", "bowl", "jar", "tea_box", "spray"]
    return DemoGrasps(objects=objects, min_grasps_per_epoch=0, n_object_points=64, eval_grasps=2, **options)


def fingerprint(task: nn.Module) -> str:
    """Of all weights and buffers, bit for bit."""
    parts = [value.contiguous().numpy().tobytes() for value in task.state_dict().values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def evaluated(name: str, folder: Path) -> dict[str, Any]:
    """A test, a validation and a training of a task."""
    case = CASES[name]
    options = {"metrics": ["contact"], "n_samples": 2} if name in GRASP else {}
    options |= {"goal_refine": ("off", "linear")} if name in MOTION else {}
    task = replace(case, task=partial(case.task, **options)).make()
    if name in GRASP:
        task.has_contact.fill_(True)
    data, n = data_of(task), world()[0]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    quiet |= {"default_root_dir": folder, "devices": n, "strategy": "ddp" if n > 1 else "auto"}
    make = partial(L.Trainer, **quiet, enable_checkpointing=False, max_epochs=1, limit_train_batches=2)
    make().test(task, data, verbose=False)
    out: dict[str, Any] = {"rows": task.results, "fitted": fingerprint(task)}
    (found,) = make().validate(task, data, verbose=False)
    out["validated"] = found
    if task.trainable:
        trainer = make(max_epochs=2)
        trainer.fit(task, data)
        out["trained"] = fingerprint(task)
        out["logged"] = {k: v.clone() for k, v in trainer.callback_metrics.items()}
    return out


def main(folder: Path, names: list[str]) -> None:
    """All models, into FOLDER/RANK_of_WORLD.pt."""
    torch.set_num_threads(1)
    n, rank = world()
    if n > 1:
        ranks.init_process_group("gloo")
    out: dict[str, Any] = {}
    for name in names or CASES:
        out[name] = {"step": trained(name) if name in TRAINABLE else {}, **evaluated(name, folder)}
        torch.save(out, folder / f"{rank}_of_{n}.pt")
    if n > 1:
        ranks.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
