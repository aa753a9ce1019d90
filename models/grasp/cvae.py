"""GraspCVAE: grasp candidates from a contact-aware conditional VAE (RealDex, IJCAI-24, section 4.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...datamodules.types import GraspBatch
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...losses.contact import soft_contact
from ...losses.functional import joint_error, limit_excess, point_error, rotation_error
from ..blocks.latent import draw_posterior, draw_prior, kl_divergence
from ..blocks.material_points import MaterialPoints
from ..blocks.pointnet import PointEncoder, mlp
from .base import CentredGraspModel, check_request
from .contact.model import ContactPredictor

_SCALE = 0.1  # metres; coordinates are divided by it
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the decoder's rotation is learned relative to it


@dataclass(frozen=True)
class _Object:
    """Encoded cloud: `points` (B, N, 3) and `centre` (B, 3), metres, `feature` (B, F)."""

    points: Tensor
    centre: Tensor
    feature: Tensor


class GraspCVAE(CentredGraspModel):
    """q(z | surface points of the hand, cloud) and p(pose | z, cloud), everything relative to the cloud's centroid.

    A small version of the paper's generator. Translation and joints are standardised by the training grasps, the
    rotation is 6-D, the latent variable is sampled, and the contact predictor is trained beforehand and frozen.

    Args:
        hand: the hand; the model keeps its joint order, limits and surface points.
        latent: number of latent variables.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        n_hand_points: number of points on the hand's surface.
        widths: layer widths of the cloud encoders; the last one is the size of a cloud's feature.
        hidden: layer widths of the posterior, and in reverse order of the decoder.
        free_bits: free nats per latent variable, see `kl_divergence`.
        contact: makes the trained contact predictor for the term `contact`; None omits that term.
    """

    at_rest: Tensor

    def __init__(
        self,
        hand: Hand,
        *,
        latent: int = 32,
        n_object_points: int = 256,
        n_hand_points: int = 192,
        widths: Sequence[int] = (32, 64, 128),
        hidden: Sequence[int] = (256, 512),
        free_bits: float = 0.05,
        contact: Callable[[Hand], ContactPredictor] | None = None,
    ) -> None:
        super().__init__(hand, n_object_points, widths)
        self.latent, self.free_bits = latent, free_bits
        self.surface = MaterialPoints(hand.surface(n_hand_points))
        self.hand_encoder = PointEncoder(3, widths)
        feature = self.object_encoder.n_features
        self.posterior = nn.Sequential(*mlp(2 * feature, *hidden[::-1]), nn.Linear(hidden[0], 2 * latent))
        self.decoder = nn.Sequential(*mlp(latent + feature, *hidden), nn.Linear(hidden[-1], 9 + hand.num_joints))
        at_rest = torch.cat([torch.zeros(3), torch.tensor(_IDENTITY), torch.zeros(hand.num_joints)])
        self.register_buffer("at_rest", at_rest, persistent=False)
        self.attach_contact_predictor(contact)

    def forward(self, batch: GraspBatch, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
        """The terms of the loss; those of `contact` and `penetration` only if `wanted` has them or is None.

        Returns translation (m), rotation (chordal, rad), joints (rad), points (mean distance of corresponding points on
        the hand, m), kl (nats), limits (mean excess, rad), penetration (mean depth of the object's points in the hand,
        m), contact (mean squared difference of the contact of the predicted hand and the frozen predictor's expectation
        for the true hand).
        """
        obj = self._see(batch.object_points)
        true_links = self.hand.forward_kinematics(batch.pose)
        true_surface = self.hand.place(true_links, self.surface())
        mean, log_variance = self._infer(true_surface, obj)
        pose = self._decode(draw_posterior(mean, log_variance), obj.feature, obj.centre)
        links = self.hand.forward_kinematics(pose)
        terms = {
            "translation": point_error(pose.translation, batch.pose.translation),
            "rotation": rotation_error(pose.rotation, batch.pose.rotation),
            "joints": joint_error(pose.joints, batch.pose.joints),
            "points": point_error(self.hand.place(links, self.surface()), true_surface),
            "kl": kl_divergence(mean, log_variance, self.free_bits),
            "limits": limit_excess(pose.joints, self.hand.lower, self.hand.upper),
        }
        costly = {"penetration"} | ({"contact"} if self.contact is not None else set())
        costly = costly if wanted is None else costly & wanted
        if costly:
            distance = self.hand.signed_distance(links, obj.points)
            if "penetration" in costly:
                terms["penetration"] = (-distance).clamp_min(0).mean()
            if self.contact is not None and "contact" in costly:
                meant = self.contact.intended(obj.points, self.contact.hand_points(batch.pose))
                terms["contact"] = (soft_contact(distance) - meant).square().mean()
        return terms

    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Samples z ~ N(0, temperature^2 I) for all objects and decodes it; see `GraspModel.sample`.

        Raises ValueError: a cloud is empty or has the wrong shape, or n is less than 1.
        """
        check_request(points, n)
        obj = self._see(points)
        z = draw_prior(len(points), n, self.latent, generator, temperature).to(points)
        return self.within_limits(self._decode(z, obj.feature.unsqueeze(1).expand(-1, n, -1), obj.centre.unsqueeze(1)))

    def _see(self, points: Tensor) -> _Object:
        centre, feature = self.encode(points)
        return _Object(points[:, : self.n_object_points], centre, feature)

    def _infer(self, surface: Tensor, obj: _Object) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, Z) of the posterior of hands with these surface points (B, H, 3), metres."""
        _, hand = self.hand_encoder((surface - obj.centre.unsqueeze(1)) / _SCALE)
        mean, log_variance = self.posterior(torch.cat([hand, obj.feature], dim=-1)).chunk(2, dim=-1)
        return mean, log_variance

    def _decode(self, z: Tensor, feature: Tensor, centre: Tensor) -> HandPose:
        """Pose (...) of latents (..., Z) and features (..., F), moved to `centre` (..., 3); joints are not clamped."""
        return self.to_pose(self.decoder(torch.cat([z, feature], dim=-1)) + self.at_rest, centre)
