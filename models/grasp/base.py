"""Interface of models that propose grasps of an object from its cloud."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...datamodules.grasp_store import GraspStore
from ...datamodules.types import GraspBatch
from ...geometry.rotations import rot6d_to_rotmat
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ..blocks.pointnet import PointEncoder
from ..blocks.standardise import Standardise
from .contact.model import ContactPredictor

_SCALE = 0.1  # metres; coordinates are divided by it


class GraspModel(nn.Module, ABC):
    """Base class of models of p(grasp | cloud); subclasses are networks, trained and tested by a task.

    Attributes:
        hand: whose poses it proposes.
        contact: the trained predictor of contact, for the loss or the refinement; None for a model without one.
    """

    contact: ContactPredictor | None

    def __init__(self, hand: Hand) -> None:
        super().__init__()
        self.hand = hand
        self.contact = None

    def attach_contact_predictor(self, contact: Callable[[Hand], ContactPredictor] | None) -> None:
        """Makes the contact predictor, which stays frozen; None does without."""
        if contact is not None:
            self.contact = contact(self.hand)
            self.contact.freeze()

    def fit_statistics(self, grasps: GraspStore) -> None:
        """Computes means and standard deviations from the training grasps, where there are any; called once.

        Raises ValueError: the objects have no clouds.
        """
        if not grasps.clouds.shape[1]:
            raise ValueError("grasps: expected objects with clouds, found none; this model sees the object")

    @abstractmethod
    def forward(self, batch: GraspBatch, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
        """The terms of the training loss by name: scalars without weights, in SI units.

        `batch`: of training grasps. `wanted`: names of the terms that are used, so that a model may leave out the
        others; None for all.
        """

    @abstractmethod
    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Samples grasps.

        `points` (B, N, 3), metres, clouds of B objects, each in its own object frame. `n`: grasps per object.
        `generator`: the only source of random numbers; PyTorch's global one by default. `temperature`: of the latent
        distribution; 0 gives the most likely grasp n times. Returns HandPose (B, n), object frame, joints within their
        limits. Raises ValueError: a cloud is empty or has the wrong shape, or n is less than 1.
        """

    def within_limits(self, pose: HandPose) -> HandPose:
        """The pose with its joints moved into their limits."""
        return replace(pose, joints=self.hand.clamp(pose.joints))


class CentredGraspModel(GraspModel):
    """Base class of our models: clouds and grasps relative to the cloud's centroid, translation and joints
    standardised.

    Args:
        hand: the hand; the model keeps its joint order and limits.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        widths: layer widths of the cloud encoder; the last one is the size of a cloud's feature.
    """

    def __init__(self, hand: Hand, n_object_points: int, widths: Sequence[int]) -> None:
        super().__init__(hand)
        self.n_object_points = n_object_points
        self.object_encoder = PointEncoder(3, widths)
        self.translation = Standardise(3)
        self.joints = Standardise(hand.num_joints)

    @torch.no_grad()
    def fit_statistics(self, grasps: GraspStore) -> None:
        """Computes the standardisation of translation (relative to the cloud's centroid) and joints."""
        super().fit_statistics(grasps)
        pose = grasps.pose
        of_cloud = torch.from_numpy(grasps.clouds.mean(axis=1))
        index = grasps.object if grasps.cloud is None else grasps.cloud
        centre = of_cloud[torch.from_numpy(index[grasps.indices])] * grasps.scale.unsqueeze(-1)
        self.translation.fit((pose.translation - centre).to(self.translation.mean), floor=0.01)
        self.joints.fit(pose.joints.to(self.joints.mean), floor=0.05)  # about 3 degrees

    def encode(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Centroid (B, 3), metres, and feature (B, F) of clouds (B, N, 3), metres.

        Raises ValueError: a cloud is empty or has the wrong shape.
        """
        check_request(points)
        centre = points.mean(dim=1)
        _, feature = self.object_encoder((points[:, : self.n_object_points] - centre.unsqueeze(1)) / _SCALE)
        return centre, feature

    def to_pose(self, state: Tensor, centre: Tensor) -> HandPose:
        """Pose (...) of a state (..., 9 + J) about `centre` (..., 3), metres; its joints may exceed their limits.

        A state has translation (standardised), 6-D rotation and joints (standardised).
        """
        translation, rotation, joints = state.split([3, 6, self.hand.num_joints], dim=-1)
        place = self.translation.inverse(translation) + centre
        return HandPose(place, rot6d_to_rotmat(rotation), self.joints.inverse(joints), self.hand.name)


def check_request(points: Tensor, n: int = 1) -> None:
    """Checks the arguments of `sample`.

    Raises ValueError: `points` are not clouds (B, N >= 1, 3), or `n` is less than 1.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or not points.shape[1]:
        raise ValueError(
            f"points: expected clouds (B, N, 3) with at least one point, found {tuple(points.shape)}; "
            "a single cloud needs a batch dimension, points[None]"
        )
    if n < 1:
        raise ValueError(f"n: expected 1 or more grasps per object, found {n}")
