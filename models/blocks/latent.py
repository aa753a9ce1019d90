"""The Gaussian latent variable of a variational autoencoder (Kingma and Welling 2014)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .across_ranks import mean_over_ranks

Source = torch.Generator | Sequence[torch.Generator] | None
"""Source of a batch's random numbers: one generator, one for each of its objects, or PyTorch's global one."""


def kl_divergence(mean: Tensor, log_variance: Tensor, free_bits: float = 0.0) -> Tensor:
    """KL of N(mean, exp(log_variance)) from N(0, I): summed over the latent variables, averaged over the batch.

    Args:
        mean: (B, Z).
        log_variance: (B, Z).
        free_bits: nats that each latent variable may carry, on average over the batch, at no cost; below that the
            variable has no gradient, so it does not collapse early (Kingma et al. 2016, "free bits"). In a training
            step, the batch is that of all processes together.

    Returns scalar, nats; at least Z * free_bits.
    """
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return mean_over_ranks(each.mean(dim=0)).clamp_min(free_bits).sum()


def draw_posterior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One sample (B, Z) of N(mean, exp(log_variance)), both (B, Z), differentiable in both."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def draw_prior(batch: int, n: int, size: int, generator: Source, temperature: float) -> Tensor:
    """Samples of N(0, temperature^2 I), (batch, n, size), float32, on the device of the generator.

    Drawn object by object: an object's numbers do not depend on how objects are batched, if each has its own generator,
    or if they share one and keep their order.
    Raises ValueError: the numbers of generators and objects differ.
    """
    each = [*generator] if isinstance(generator, Sequence) else [generator] * batch
    if len(each) != batch:
        raise ValueError(f"generator: expected one for each of {batch} objects, found {len(each)}")
    devices = ["cpu" if one is None else one.device for one in each]
    draws = [torch.randn(n, size, generator=one, device=at) for one, at in zip(each, devices, strict=True)]
    return temperature * torch.stack(draws)
