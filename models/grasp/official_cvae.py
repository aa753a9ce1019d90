"""The published cVAE of RealDex as a grasp model: its network, its terms, its reductions, its weights."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ...datamodules.types import GraspBatch
from ...geometry.neighbours import knn
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...losses.contact import palmar_penetration, soft_contact
from ..blocks.across_ranks import step_ranks
from ..blocks.latent import draw_posterior, draw_prior
from ..blocks.material_points import MaterialPoints
from ..published.affordance_cvae import AffordanceNetwork
from ..published.checkpoints import Report, load_official
from ..published.pointnet import initialise
from .base import GraspModel, check_request
from .contact.model import ContactPredictor, OfficialContactMap


class OfficialGraspCVAE(GraspModel):
    """The cVAE as published, with one hand convention.

    Kept because the weights are tuned to it: squared errors without standardisation, axis-angle differences without
    wrapping at pi, uncentred clouds, the KL summed over the batch, the chamfer distance divided by the batch size
    twice, and contact that falls off inside the hand. Not kept: the latent variable multiplied by zero at inference,
    and the random, training contact predictor.

    Args:
        hand: the hand; the model keeps its joint order, limits and surface points.
        latent: number of latent variables.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        n_hand_points: number of points on the hand's surface.
        contact: makes the trained contact predictor, which is frozen; None omits the term `contact`.
    """

    def __init__(
        self,
        hand: Hand,
        *,
        latent: int = 64,
        n_object_points: int = 1024,
        n_hand_points: int = 1024,
        contact: Callable[[Hand], ContactPredictor] | None = None,
    ) -> None:
        super().__init__(hand)
        self.latent, self.n_object_points = latent, n_object_points
        self.surface = MaterialPoints(hand.surface(n_hand_points))
        self.net = AffordanceNetwork(6 + hand.num_joints, latent)
        initialise(self.net)
        self.attach_contact_predictor(contact)

    def load(self, path: str | Path, with_contact: bool = True) -> Report:
        """Loads a published file of the cVAE.

        `path`: the file. `with_contact`: also load its contact network, if this model has one of the same kind;
        otherwise that is skipped. The released contact network was never trained, so use a trained one.
        Raises CheckpointError: see `load_official`.
        """
        name = type(self).__name__
        if with_contact and isinstance(self.contact, OfficialContactMap):
            both = nn.ModuleDict({"contact_net": self.contact.net, "net": self.net})
            return load_official(path, both, name=f"{name} and its contact predictor")
        return load_official(path, nn.ModuleDict({"net": self.net}), ignore=["contact_net."], name=name)

    def forward(self, batch: GraspBatch, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
        """The terms of the loss; those of `contact` and `penetration` only if `wanted` has them or is None.

        Returns translation (m^2), rotation (rad^2) and joints (rad^2): mean squared differences; points: squared
        chamfer distance of the hands' surface points, summed over the points, divided by B^2 (m^2); kl: summed over
        batch and latent variables (nats), where B is the batch of all processes of a training step; penetration: sum
        over the points in the hand of the squared distance to the palmar line, over B (m^2); contact: mean squared
        difference of the contact of the predicted hand and the frozen predictor's expectation for the true hand.
        """
        points = self._some(batch.object_points)
        true_links = self.hand.forward_kinematics(batch.pose)
        true_surface = self.hand.place(true_links, self.surface())
        condition = self.net.condition(points)
        mean, log_variance = self.net.encode(true_surface, condition)
        vector = self.net.decode(draw_posterior(mean, log_variance), condition)
        links = self.hand.forward_kinematics(HandPose.from_vector(vector, self.hand.name))
        error = (vector - batch.pose.to_vector()).square()
        terms = {
            "translation": error[:, :3].mean(),
            "rotation": error[:, 3:6].mean(),
            "joints": error[:, 6:].mean(),
            "points": _chamfer(self.hand.place(links, self.surface()), true_surface) / (step_ranks() * len(points)),
            "kl": step_ranks() * 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(),
        }
        if wanted is None or "penetration" in wanted:
            squared = palmar_penetration(self.hand, links, points)
            terms["penetration"] = squared.clamp_min(0).sum() / len(points)
        if self.contact is not None and (wanted is None or "contact" in wanted):
            gap = (self.hand.signed_distance(links, points).square() + 1e-8).sqrt()
            terms["contact"] = mse_loss(soft_contact(gap), self.contact.intended(points, true_surface))
        return terms

    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Samples z ~ N(0, temperature^2 I) and decodes it; see `GraspModel.sample`. The release uses temperature 0."""
        check_request(points, n)
        condition = self.net.condition(self._some(points)).unsqueeze(1).expand(-1, n, -1)
        z = draw_prior(len(points), n, self.latent, generator, temperature).to(points)
        return self.within_limits(HandPose.from_vector(self.net.decode(z, condition), self.hand.name))

    def _some(self, points: Tensor) -> Tensor:
        return points[:, : self.n_object_points]


def _chamfer(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of points to the nearest of the other cloud, summed both ways, averaged over the batch."""
    return (knn(a, b, 1)[0].square().sum() + knn(b, a, 1)[0].square().sum()) / len(a)
