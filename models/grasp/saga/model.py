"""SAGA's first stage as a generator of hand grasps (Wu et al., ECCV 2022, section 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ....datamodules.types import GraspBatch
from ....geometry.cloud_surface import cloud_normals, signed_point_distance
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ....hands.products import rotate
from ...blocks.latent import draw_posterior, draw_prior, kl_divergence
from ...blocks.material_points import MaterialPoints
from ...published.saga_grasp import SeenObject, WholeGraspPose
from ..base import GraspModel, check_request
from .fit import FitTargets, GraspFit

CONTACT = 0.005
"""Metres from the other surface within which a point is in contact."""
_OBJECT_TOUCH, _HAND_TOUCH = 3.0, 5.0  # factors by which points in contact count more than others (SAGA)


class SagaGrasp(GraspModel):
    """A cVAE of hand points and of the contact of hand and object, and a fit of poses to them.

    SAGA's whole-body network without the body: hand points instead of markers, no height of the object above a floor,
    one model, normals estimated from the cloud, and no object rotation among its features, since that is the same for
    every grasp in the object frame. Everything is relative to the cloud's centroid, in metres.

    Args:
        hand: the hand; the model keeps its joint order, limits and surface points.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        n_hand_points: number of points on the hand's surface; 143 like the body's markers, so that the weights of the
            loss, which sums over them, keep their meaning.
        latent: number of latent variables.
        width: width of the network's features (SAGA: 512).
        centres, neighbours, radii, dropout: see `WholeGraspPose`.
        fit: turns points into poses; None takes SAGA's settings.
    """

    def __init__(
        self,
        hand: Hand,
        *,
        n_object_points: int = 1024,
        n_hand_points: int = 143,
        latent: int = 16,
        width: int = 512,
        centres: Sequence[int] = (256, 128),
        neighbours: Sequence[int] = (32, 64),
        radii: Sequence[float] = (0.2, 0.25),
        dropout: float = 0.1,
        fit: GraspFit | None = None,
    ) -> None:
        super().__init__(hand)
        self.n_object_points = n_object_points
        self.surface = MaterialPoints(hand.surface(n_hand_points))
        self.net = WholeGraspPose(n_hand_points, 3, False, latent, width, centres, neighbours, radii, dropout)
        self.fit = fit or GraspFit()

    def forward(self, batch: GraspBatch, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
        """The terms of the loss.

        Returns points: absolute error summed over the coordinates of the hand's points, mean over the batch (m);
        object_contact, hand_contact: cross-entropies, with points in contact weighted 3 and 5 times (nats);
        hand_to_object, object_to_hand: mean difference of the signed distances of the predicted and the true hand, over
        the points in contact, with 0 for the others (m); kl (nats).
        """
        centre, seen = self._see(batch.object_points)
        pose = batch.pose.moved_by(torch.eye(3, device=centre.device, dtype=centre.dtype), -centre)
        links = self.hand.forward_kinematics(pose)
        points = self.hand.place(links, self.surface())
        object_contact = (self.hand.signed_distance(links, seen.points) <= CONTACT).to(points)
        true_gap = signed_point_distance(points, seen.points, seen.features)
        contact = (true_gap.abs() <= CONTACT).to(points)
        mean, deviation = self.net.encode(seen, points, contact, object_contact)
        spread = 2 * deviation.log()
        out = self.net.decode(draw_posterior(mean, spread), seen)
        # Predicted points have no normals: the true hand's decide on which side of them an object point is.
        normals = rotate(links.rotation[:, self.surface().link], self.surface().normal)
        true_reach, reach = (signed_point_distance(seen.points, hand, normals) for hand in (points, out.points))
        gap = signed_point_distance(out.points, seen.points, seen.features)
        return {
            "points": (out.points - points).abs().sum((-1, -2)).mean(),
            "object_contact": _cross_entropy(out.object_contact, object_contact, _OBJECT_TOUCH),
            "hand_contact": _cross_entropy(out.contact, contact, _HAND_TOUCH),
            "hand_to_object": ((gap - true_gap).abs() * contact).mean(),
            "object_to_hand": ((reach - true_reach).abs() * object_contact).mean(),
            "kl": kl_divergence(mean, spread),
        }

    @torch.no_grad()
    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Samples z ~ N(0, temperature^2 I), decodes points and contacts, and fits poses; see `GraspModel.sample`."""
        check_request(points, n)
        centre, seen = self._see(points)
        z = draw_prior(len(points), n, self.net.latent, generator, temperature).to(points)
        each = seen.repeat(n)
        out = self.net.decode(z.flatten(0, 1), each)
        targets = FitTargets(
            points=out.points,
            contact=out.contact.sigmoid(),
            object_points=each.points,
            object_contact=out.object_contact.sigmoid(),
        )
        pose = self.fit(self.hand, self.surface(), targets).reshape(len(points), n)
        return pose.moved_by(torch.eye(3, device=centre.device, dtype=centre.dtype), centre.unsqueeze(1))

    def _see(self, points: Tensor) -> tuple[Tensor, SeenObject]:
        """Centroid (B, 3), metres, and the cloud relative to it, with its normals."""
        centre = points.mean(dim=1)
        cloud = points[:, : self.n_object_points] - centre.unsqueeze(1)
        return centre, self.net.encode_object(cloud, cloud_normals(cloud))


def _cross_entropy(logits: Tensor, target: Tensor, positive: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, target, pos_weight=target.new_full((), positive))
