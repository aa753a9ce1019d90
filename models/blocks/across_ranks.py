"""Batch statistics across processes, so that a distributed training step equals that of one process with all samples.

Lightning's DDP takes the mean of the processes' gradients. That is the gradient of the joint batch if the loss is a
mean over samples; batch statistics inside the network or the loss must be those of the joint batch. With one process,
none of this has any effect. Losses do not communicate outside a training step (without gradients), nor do networks in
eval mode, so processes may validate different numbers of batches.
"""

from typing import Any

import torch
import torch.distributed as ranks
from torch import Tensor, nn

from ...datamodules.base import n_ranks, this_rank


class _Sum(torch.autograd.Function):
    """Sum over all processes. Each process has its own loss, so the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        ranks.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        ranks.all_reduce(total)
        return total


def step_ranks() -> int:
    """Number of processes that share a training step; 1 outside of it."""
    return n_ranks() if torch.is_grad_enabled() else 1


def mean_over_ranks(x: Tensor) -> Tensor:
    """Mean of a tensor of any shape over the processes of a training step, differentiable."""
    n = step_ranks()
    return x if n == 1 else sum_over_ranks(x) / n


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum of a tensor of any shape over all processes, differentiable."""
    return x if n_ranks() == 1 else _Sum.apply(x)  # type: ignore[return-value]


def joint_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count and mean per feature and sum of squares about it, over the batches of all processes, differentiable.

    The batches may differ in size. The moments of each process are merged, which loses no digits if a mean is large
    (Chan, Golub and LeVeque 1979), and takes one communication.
    `x` (B, C), the batch of this process. Returns scalar, (C,) and (C,).
    """
    mean = x.mean(0)
    mine = torch.stack([torch.full_like(mean, len(x)), mean, (x - mean).square().sum(0)])
    place = torch.zeros(n_ranks(), *mine.shape).to(mine)
    place[this_rank()] = 1
    count, means, squares = sum_over_ranks(place * mine).unbind(1)
    total = count.sum(0)
    mean = (count * means).sum(0) / total
    return total[0], mean, (squares + count * (means - mean).square()).sum(0)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm over the joint batch of all processes, on any device; PyTorch's if there is only one process.

    PyTorch's `SyncBatchNorm` does the same but only on GPUs, and must be requested.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (B, C) or (B, C, L) per channel C."""
        if not self.training or n_ranks() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        flat = (input if input.ndim == 2 else input.transpose(1, 2).flatten(0, 1)).to(self.weight.dtype)
        count, mean, squares = joint_moments(flat)
        self._learn(count.detach(), mean.detach(), squares.detach())
        out = ((flat - mean) * (squares / count + self.eps).rsqrt() * self.weight + self.bias).to(input.dtype)
        return out if input.ndim == 2 else out.unflatten(0, (len(input), -1)).transpose(1, 2)

    @torch.no_grad()
    def _learn(self, count: Tensor, mean: Tensor, squares: Tensor) -> None:
        """Updates the running statistics, with the unbiased variance like PyTorch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(squares / (count - 1), share)
