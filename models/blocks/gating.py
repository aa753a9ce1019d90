"""A gate that blends the weights of experts (Neural State Machine; Starke et al. 2019)."""

import math

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """MLP on a subset of the motion features, followed by a softmax over experts."""

    def __init__(self, in_features: int, num_experts: int, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, num_experts)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, in_features) to blending weights (B, K) that sum to 1."""
        return self.layers(features).softmax(-1)


class BlendedLinear(nn.Module):
    """A linear layer whose weight and bias are blended per sample: y = (sum_k a_k W_k) x + sum_k a_k b_k.

    Blending the weights equals blending the outputs, a_k W_k x, which is one matrix product for all experts and never
    builds a weight matrix per sample.
    """

    def __init__(self, in_features: int, out_features: int, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(num_experts * out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(num_experts * out_features))

    def forward(self, x: Tensor, blend: Tensor) -> Tensor:
        """Maps x (B, in_features) with blending weights (B, K) to (B, out_features)."""
        outputs = nn.functional.linear(x, self.weight, self.bias).unflatten(-1, (self.num_experts, -1))
        return (blend.unsqueeze(-1) * outputs).sum(-2)  # batched products this thin would be computed one by one
