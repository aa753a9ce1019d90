"""What processes exchange in a training step, with two threads in place of two processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dexzoo.models.blocks import across_ranks
from dexzoo.models.blocks.across_ranks import BatchNorm1d, joint_moments, mean_over_ranks
from dexzoo.models.blocks.latent import kl_divergence
from dexzoo.models.motion.saga.loss import robust_kl
from dexzoo.models.published.unidexgrasp_glow import ActNorm

Both = Callable[[Callable[[int], Any]], list[Any]]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both:
    """Calls a function of the rank in two threads that are two processes to `across_ranks`."""
    place, meet, given = threading.local(), threading.Barrier(2, timeout=20), [torch.empty(0)] * 2

    def all_reduce(x: Tensor) -> None:
        given[place.rank] = x.clone()
        meet.wait()
        total = given[0] + given[1]
        meet.wait()
        x.copy_(total)

    def call(function: Callable[[int], Any], rank: int) -> Any:
        place.rank = rank
        return function(rank)

    def run(function: Callable[[int], Any]) -> list[Any]:
        monkeypatch.setattr(across_ranks, "n_ranks", lambda: 2)
        monkeypatch.setattr(across_ranks, "this_rank", lambda: place.rank)
        monkeypatch.setattr(across_ranks, "ranks", SimpleNamespace(all_reduce=all_reduce))
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(call, function, rank) for rank in (0, 1)]
            out = [one.result() for one in done]
        monkeypatch.undo()
        return out

    return run


def draw(*shape: int) -> Tensor:
    return 100 + 3 * torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 6)])
def test_batch_norm_is_that_of_all_samples(shape: tuple[int, ...], both: Both) -> None:
    """Of unequal shares; output, running statistics and gradients of the sum of the losses against PyTorch."""
    whole, weight = draw(*shape).requires_grad_(), draw(*shape)
    shares = [whole.detach()[:5].clone().requires_grad_(), whole.detach()[5:].clone().requires_grad_()]
    weights = [weight[:5], weight[5:]]
    norms = [BatchNorm1d(4).double() for _ in range(2)]
    theirs = nn.BatchNorm1d(4).double()
    for norm in (*norms, theirs):
        nn.init.uniform_(norm.weight, 0.5, 2, torch.Generator().manual_seed(1))
    expected = theirs(whole)
    (expected * weight).sum().backward()

    def step(rank: int) -> Tensor:
        out = norms[rank](shares[rank])
        (out * weights[rank]).sum().backward()
        return out

    torch.testing.assert_close(torch.cat(both(step)), expected)
    torch.testing.assert_close(torch.cat([share.grad for share in shares]), whole.grad)
    for name in ("weight", "bias"):
        gradients = [getattr(norm, name).grad for norm in norms]
        torch.testing.assert_close(gradients[0] + gradients[1], getattr(theirs, name).grad)
    for norm in norms:
        assert norm.state_dict().keys() == theirs.state_dict().keys()
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(norm.state_dict()[key], value)


def test_batch_norm_of_one_process_and_of_a_test_is_that_of_pytorch(both: Both) -> None:
    ours, theirs, x = BatchNorm1d(4), nn.BatchNorm1d(4), torch.randn(6, 4)
    assert ours(x).equal(theirs(x))
    ours.eval()
    theirs.eval()
    assert all(out.equal(theirs(x)) for out in both(lambda rank: ours(x)))


def test_moments_lose_no_digits_to_a_large_mean(both: Both) -> None:
    x = (1e6 + torch.randn(9, 2, dtype=torch.float64)).float()
    for count, mean, squares in both(lambda rank: joint_moments(x[:7] if rank == 0 else x[7:])):
        assert count == 9
        torch.testing.assert_close(mean.double(), x.double().mean(0), rtol=1e-7, atol=0)
        torch.testing.assert_close(squares.double(), x.double().var(0) * 8, rtol=0.1, atol=0)


def test_act_norm_standardises_the_batches_of_all(both: Both) -> None:
    x, layers = draw(8, 3), [ActNorm(3).double() for _ in range(2)]
    out = torch.cat(both(lambda rank: layers[rank](x[4 * rank : 4 * rank + 4], x)))
    torch.testing.assert_close(out.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(out.std(0), torch.ones(3, dtype=torch.float64))
    assert layers[0].log_scale.equal(layers[1].log_scale)


@pytest.mark.parametrize("divergence", [lambda m, s: kl_divergence(m, s, 0.5), robust_kl])
def test_divergences_that_bend_are_of_the_mean_over_all(divergence: Callable[..., Tensor], both: Both) -> None:
    """Free bits: the mean of the samples is above the threshold, that of a half of them below."""
    mean = torch.tensor([[0.1, 0.2], [0.2, 0.1], [2.0, 0.1], [1.5, 0.3]], dtype=torch.float64).requires_grad_()
    spread = torch.full_like(mean, -0.1)
    expected = divergence(mean, spread)
    expected.backward()
    halves = [mean.detach()[2 * rank : 2 * rank + 2].clone().requires_grad_() for rank in (0, 1)]

    def step(rank: int) -> Tensor:
        out = divergence(halves[rank], spread[:2])
        out.backward()
        return out

    assert all(out.detach() == pytest.approx(float(expected.detach())) for out in both(step))
    joint = torch.cat([half.grad for half in halves]) / 2  # as DDP takes the mean
    torch.testing.assert_close(joint, mean.grad)


def test_nothing_is_exchanged_outside_a_training_step(both: Both) -> None:
    def alone(rank: int) -> Tensor:
        with torch.no_grad():
            return mean_over_ranks(torch.tensor(float(rank)))

    assert [float(x) for x in both(alone)] == [0.0, 1.0]
    assert [float(x) for x in both(lambda rank: mean_over_ranks(torch.tensor(float(rank))))] == [0.5, 0.5]
