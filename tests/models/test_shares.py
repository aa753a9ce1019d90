"""How an evaluation is dealt out to processes: draws that do not tell which, samples that two of them have."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from dexzoo.datamodules import base
from dexzoo.datamodules.base import EpochSampler
from dexzoo.models.blocks.latent import draw_prior
from dexzoo.models.task import Task, draw_generator
from tests.models.several_processes import Clips, data_of
from tests.models.zoo import GRASP, MOTION


def test_draws_follow_from_seed_and_name_alone() -> None:
    places = [(0, "jar"), (0, "spray"), (1, "jar"), (1, "spray"), (7919, "jar")]
    draws = [torch.randn(4, generator=draw_generator(*place)).tolist() for place in places]
    assert draws == [torch.randn(4, generator=draw_generator(*place)).tolist() for place in places]
    assert len({value for draw in draws for value in draw}) == 4 * len(places)


def test_a_generator_of_each_object_makes_draws_independent_of_the_batch() -> None:
    def made(names: str) -> list[Any]:
        return [*draw_prior(len(names), 2, 3, [draw_generator(0, name) for name in names], 1.0)]

    abc, ca, b = made("abc"), made("ca"), made("b")
    assert all(x.equal(y) for x, y in zip(abc, [ca[1], b[0], ca[0]], strict=True))
    with pytest.raises(ValueError, match="generator: expected one for each of 3 objects, found 2"):
        draw_prior(3, 1, 1, [draw_generator(0, name) for name in "ab"], 1.0)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_test_of_a_model_that_draws_does_not_depend_on_its_batches(batch_size: int, tmp_path: Any) -> None:
    def tested(size: int) -> dict[str, Any]:
        task, data = MOTION["motion_flow"].make(), Clips(min_windows_per_epoch=0, eval_batch_size=size)
        L.Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path).test(task, data, verbose=False)
        return {row["clip"]: row["mpjpe_cm"] for row in task.results if row["refine"] == "off"}

    all_at_once = tested(64)
    assert len(set(all_at_once.values())) == len(all_at_once) == 3
    assert tested(batch_size) == pytest.approx(all_at_once, rel=1e-5)


def test_objects_of_a_test_do_not_share_their_draws(tmp_path: Any) -> None:
    task = GRASP["grasp_cvae"].make()
    task.candidates = replace(task.candidates, metrics=("contact",), n_samples=2)
    task.has_contact.fill_(True)
    seeds: list[float] = []
    sample = task.network.sample
    task.network.sample = lambda points, n, generator, t: (
        seeds.append(generator.initial_seed()),
        sample(points, n, generator, t),
    )[1]
    L.Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path).test(task, data_of(task), verbose=False)
    assert len(set(seeds)) == len(seeds) == 3


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 9])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_repeated_samples_are_left_out_of_a_validation(world: int, n: int, size: int) -> None:
    """Against the indices that PyTorch deals out: without the repeats, every sample is there once."""
    left: list[int] = []
    for rank in range(world):
        loader = DataLoader(range(n), size, sampler=DistributedSampler(range(n), world, rank, shuffle=False))
        task: Any = SimpleNamespace(trainer=SimpleNamespace(val_dataloaders=loader))
        for index, batch in enumerate(loader):
            samples = batch.tolist()
            left += samples[: len(samples) - Task.repeats(task, index)]
    assert sorted(left) == list(range(n))


def test_rows_of_two_processes_are_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"refine": "off", "clip": name, "x": float(i)} for i, name in enumerate("abc")]

    def all_gather_object(out: list[Any], mine: Any) -> None:
        out[:] = [[rows[0], rows[2]], [rows[1], rows[0]]]  # as the samples of three are dealt to two

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    task: Any = SimpleNamespace(trainer=SimpleNamespace(world_size=2), row_keys=("refine", "clip"))
    assert sorted(Task.gather(task, []), key=lambda row: row["clip"]) == rows


def test_first_batches_are_those_of_one_process_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(world: int, rank: int, size: int) -> list[Any]:
        monkeypatch.setattr(base, "n_ranks", lambda: world)
        monkeypatch.setattr(base, "this_rank", lambda: rank)
        data = Clips(batch_size=size, min_windows_per_epoch=0, speed_range=(0.8, 1.2))
        data.setup()
        return [(b.clip.tolist(), b.future.translation.tolist()) for b in data.first_batches(3)]

    one = first(1, 0, 8)
    assert len(one) == 3
    assert first(2, 0, 4) == first(2, 1, 4) == one


def test_batches_of_two_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, b = range(24), 3

    def dealt(world: int, rank: int) -> list[int]:
        monkeypatch.setattr(base, "n_ranks", lambda: world)
        monkeypatch.setattr(base, "this_rank", lambda: rank)
        sampler = EpochSampler(samples, seed=1, passes=2)  # type: ignore[arg-type]
        sampler.set_epoch(2)
        return list(sampler)

    one, shares = dealt(1, 0), [dealt(2, rank) for rank in (0, 1)]
    for k in range(math.ceil(len(one) / (2 * b))):
        joint = {index for share in shares for index in share[k * b : (k + 1) * b]}
        assert joint == set(one[2 * k * b : 2 * (k + 1) * b])
