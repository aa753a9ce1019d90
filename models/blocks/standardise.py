"""Standardisation with statistics that are part of the model, so a checkpoint cannot be used with the wrong ones."""

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """x -> (x - mean) / sd per feature; the identity until `fit` was called."""

    mean: Tensor
    sd: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("sd", torch.ones(shape))

    @torch.no_grad()
    def fit(self, samples: Tensor, floor: float) -> None:
        """Takes mean and standard deviation from (S, *shape).

        `samples` (S, *shape). `floor`: smallest standard deviation used. A feature that hardly varies in the training
        data must not become huge if it varies slightly more elsewhere.
        """
        self.mean.copy_(samples.mean(0))
        self.sd.copy_(samples.std(0).clamp_min(floor))

    def forward(self, x: Tensor) -> Tensor:
        """Standardises (..., *shape)."""
        return (x - self.mean) / self.sd

    def inverse(self, x: Tensor) -> Tensor:
        """Undoes `forward`."""
        return x * self.sd + self.mean
