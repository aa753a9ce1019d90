"""GOAL's residual blocks written out in plain matrix products, from their tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WrittenOut:
    """Layers of a network in eval mode, from its state dict."""

    weights: Mapping[str, Tensor]

    def linear(self, x: Tensor, key: str) -> Tensor:
        return x @ self.weights[f"{key}.weight"].T + self.weights[f"{key}.bias"]

    def norm(self, x: Tensor, key: str) -> Tensor:
        w = self.weights
        standard = (x - w[f"{key}.running_mean"]) / (w[f"{key}.running_var"] + 1e-5).sqrt()
        return standard * w[f"{key}.weight"] + w[f"{key}.bias"]

    def block(self, x: Tensor, key: str) -> Tensor:
        hidden = leaky(self.norm(self.linear(x, f"{key}.fc1"), f"{key}.bn1"))
        branch = self.norm(self.linear(hidden, f"{key}.fc2"), f"{key}.bn2")
        skip = leaky(self.linear(x, f"{key}.fc3")) if f"{key}.fc3.weight" in self.weights else x
        return leaky(skip + branch)


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)
