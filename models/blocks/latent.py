"""The Gaussian latent variable of a variational autoencoder (Kingma and Welling 2014)."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_divergence(mean: Tensor, log_variance: Tensor, free_bits: float = 0.0) -> Tensor:
    """KL of N(mean, exp(log_variance)) from N(0, I): summed over the latent variables, averaged over the batch.

    Args:
        mean: (B, Z).
        log_variance: (B, Z).
        free_bits: nats that each latent variable may carry, on average over the batch, at no cost; below it the
            variable has no gradient, so it is not switched off early (Kingma et al. 2016, "free bits").

    Returns:
        Scalar, nats; at least Z * free_bits.
    """
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return each.mean(dim=0).clamp_min(free_bits).sum()


def draw_posterior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One sample (B, Z) of N(mean, exp(log_variance)), both (B, Z), differentiable to both."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def draw_prior(batch: int, n: int, size: int, generator: torch.Generator | None, temperature: float) -> Tensor:
    """Samples of N(0, temperature^2 I), (batch, n, size), float32, on the device of the generator.

    Object by object: the numbers of one do not depend on how the objects are dealt into batches.
    """
    device = "cpu" if generator is None else generator.device
    draws = [torch.randn(n, size, generator=generator, device=device) for _ in range(batch)]
    return temperature * torch.stack(draws)
