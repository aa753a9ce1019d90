"""The contract of every model that proposes grasps of an object from its cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..datamodules.grasp_store import GraspStore
from ..datamodules.types import GraspBatch
from ..hands.hand import Hand
from ..hands.pose import HandPose


class GraspModel(nn.Module, ABC):
    """Learns p(grasp | cloud); a subclass is a network, and the task around it trains and tests it.

    Attributes:
        hand: whose poses it proposes.
        active: names of the terms that the task weighs; a model may leave out the others in `forward`.
    """

    active: frozenset[str] | None = None

    def __init__(self, hand: Hand) -> None:
        super().__init__()
        self.hand = hand

    def fit_statistics(self, grasps: GraspStore) -> None:
        """Takes means and standard deviations from the training grasps; called once before training."""

    @abstractmethod
    def forward(self, batch: GraspBatch) -> dict[str, Tensor]:
        """The terms of the training loss by name: scalars without weights, in SI units."""

    @abstractmethod
    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Draws grasps.

        Args:
            points: (B, N, 3), metres, clouds of B objects, each in its own frame.
            n: grasps of each object.
            generator: the only source of random numbers; PyTorch's own by default.
            temperature: of the latent distribution; 0 gives the most likely grasp n times.

        Returns:
            HandPose (B, n), frame of the object, joints within their limits.
        """
