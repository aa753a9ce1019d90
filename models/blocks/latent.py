"""The Gaussian latent variable of a variational autoencoder (Kingma and Welling 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .across_ranks import mean_over_ranks

Source = torch.Generator | Sequence[torch.Generator] | None
"""What random numbers of a batch are drawn from: one generator, one of each of its objects, or PyTorch's own."""


def kl_divergence(mean: Tensor, log_variance: Tensor, free_bits: float = 0.0) -> Tensor:
    """KL of N(mean, exp(log_variance)) from N(0, I): summed over the latent variables, averaged over the batch.

    Args:
        mean: (B, Z).
        log_variance: (B, Z).
        free_bits: nats that each latent variable may carry, on average over the batch, at no cost; below it the
            variable has no gradient, so it is not switched off early (Kingma et al. 2016, "free bits"). The batch of a
            training step is that of all processes together.

    Returns:
        Scalar, nats; at least Z * free_bits.
    """
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return mean_over_ranks(each.mean(dim=0)).clamp_min(free_bits).sum()


def draw_posterior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One sample (B, Z) of N(mean, exp(log_variance)), both (B, Z), differentiable to both."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def draw_prior(batch: int, n: int, size: int, generator: Source, temperature: float) -> Tensor:
    """Samples of N(0, temperature^2 I), (batch, n, size), float32, on the device of the generator.

    Object by object: the numbers of one do not depend on how the objects are dealt into batches where each has a
    generator of its own, nor with one for all if they are in one order.

    Raises:
        ValueError: another number of generators than objects.
    """
    each = [*generator] if isinstance(generator, Sequence) else [generator] * batch
    if len(each) != batch:
        raise ValueError(f"generator: expected one of each of {batch} objects, found {len(each)}")
    devices = ["cpu" if one is None else one.device for one in each]
    draws = [torch.randn(n, size, generator=one, device=at) for one, at in zip(each, devices, strict=True)]
    return temperature * torch.stack(draws)
