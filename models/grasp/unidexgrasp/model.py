"""UniDexGrasp's grasp proposal (Xu et al., CVPR 2023): rotation by GraspIPDF, the rest of the pose by GraspGlow."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ....datamodules.types import GraspBatch
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ....hands.products import rotate
from ..base import GraspModel, check_request
from ..contact.model import ContactPredictor
from ..refinement.nearest import Cloud
from ..refinement.terms import Scene, UniDexGraspTerms
from .glow import GraspGlow, likeliest
from .ipdf import GraspIPDF

JOINT_WEIGHTS: Mapping[str, float] = {"contact": 0.02, "penetration": 500.0, "repulsion": 10.0, "table": 50.0}
"""Energy weights of the published joint training (`glow_joint_config`)."""
_PUBLISHED_POINTS = 3000
"""Points per cloud over which the published energy sums; its weights assume this number."""

PARTS = frozenset({"rotation", "pose", "energy"})
"""The terms of the loss that are trained, each on a part of its own."""


class UniDexGrasp(GraspModel):
    """p(rotation | cloud) and p(translation, joints | cloud in the hand's orientation); both clouds relative to the
    centroid.

    The two parts share no parameters, so training them in one run equals training them separately. The joint stage is
    the term `energy`, whose weight the task keeps at 0 for the first part of a run (`warmup`). One convention
    throughout, p' = R^T (p - c) for cloud and palm, R = object_from_hand; the published code mixes two, which shifts
    the hand by the height of the object's origin above the table. The energy is computed in the object frame, which
    does not change its values, and is the frame in which contact predictors are trained.

    Args:
        hand: the hand; the model keeps its joint order and limits.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        grid_level: see `GraspIPDF`.
        n_queries: see `GraspIPDF`.
        draws: number of samples of the flow, of which a grasp is the likeliest.
        energy_draws: poses per cloud whose energy is computed.
        energy_points: number of cloud points for the energy; its sums over points are scaled to 3,000 points.
        contact: makes the trained contact predictor, which stays frozen, for the energy and the refinement; None omits
        the contact term. **glow: see `GraspGlow`.

    Raises ValueError: a number is too small.
    """

    def __init__(
        self,
        hand: Hand,
        *,
        n_object_points: int = 1024,
        grid_level: int = 2,
        n_queries: int = 4096,
        draws: int = 8,
        energy_draws: int = 8,
        energy_points: int = 256,
        contact: Callable[[Hand], ContactPredictor] | None = None,
        **glow: Any,
    ) -> None:
        super().__init__(hand)
        for name, value in (("draws", draws), ("energy_draws", energy_draws), ("energy_points", energy_points)):
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more, found {value}")
        self.draws, self.energy_draws, self.energy_points = draws, energy_draws, energy_points
        self.ipdf = GraspIPDF(n_points=n_object_points, grid_level=grid_level, n_queries=n_queries)
        self.glow = GraspGlow(hand.num_joints, n_points=n_object_points, **glow)
        self.attach_contact_predictor(contact)

    def forward(self, batch: GraspBatch, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
        """The terms of the loss; only those in `wanted`, or all if that is None.

        Returns rotation: -log p of the true rotation (nats, per volume of SO(3) of pi^2); pose: -log p of translation
        and joints given it (nats, per metre^3 and radian^J); energy: weighted by `JOINT_WEIGHTS`, mean over drawn
        poses; with energy_contact (sum over points), energy_penetration (m^2, likewise), energy_repulsion (m), and,
        with a table, energy_table (m): the unweighted terms.
        """
        centre = batch.object_points.mean(dim=1)
        points = batch.object_points - centre.unsqueeze(1)
        terms: dict[str, Tensor] = {}
        wanted = PARTS if wanted is None else wanted
        if "rotation" in wanted:
            terms["rotation"] = self.ipdf.negative_log_likelihood(points, batch.pose.rotation)
        if "pose" in wanted:
            to_hand = batch.pose.rotation.mT
            translation = rotate(to_hand, batch.pose.translation - centre)
            seen = _turned(points, batch.pose.rotation)
            terms["pose"] = self.glow.negative_log_likelihood(seen, translation, batch.pose.joints)
        if "energy" in wanted:
            terms |= self._energy(self._draw(points, centre), batch)
        return terms

    @torch.no_grad()
    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Samples a rotation for each grasp, and takes the likeliest of `draws` poses given it; see
        `GraspModel.sample`.

        Always in eval mode. Temperature divides the logarithm of the rotation's density and scales the flow's noise.
        Raises ValueError: a cloud is empty or has the wrong shape, n is less than 1, or the temperature is negative.
        """
        check_request(points, n)
        # Cloud by cloud, so that the samples of one do not depend on the batching.
        return HandPose.stack([self._propose(cloud, n, generator, temperature) for cloud in points])

    def _propose(self, points: Tensor, n: int, generator: torch.Generator | None, temperature: float) -> HandPose:
        """Grasps (n,) of one cloud (N, 3)."""
        centre = points.mean(dim=0)
        points = (points - centre).unsqueeze(0)
        rotation = self.ipdf.sample(points, n, generator, temperature)[0]
        device = "cpu" if generator is None else generator.device
        noise = torch.randn(n, self.draws, self.glow.size, generator=generator, device=device)
        best = temperature * likeliest(noise).to(points)
        translation, joints = self.glow.decode(_turned(points.expand(n, -1, -1), rotation), best.unsqueeze(1))
        translation = rotate(rotation, translation.squeeze(1)) + centre
        return HandPose(translation, rotation, self.hand.clamp(joints.squeeze(1)), self.hand.name)

    def _draw(self, points: Tensor, centre: Tensor) -> HandPose:
        """HandPose (B, K), object frame: poses at one rotation per cloud, with gradient to the flow.

        `points` (B, N, 3), metres, relative to `centre`; `centre` (B, 3), metres, object frame.
        """
        rotation = self.ipdf.sample(points, 1)
        noise = torch.randn(len(points), self.energy_draws, self.glow.size, device=points.device)
        translation, joints = self.glow.decode(_turned(points, rotation[:, 0]), noise.to(points))
        translation = rotate(rotation, translation) + centre.unsqueeze(1)
        rotation = rotation.expand(-1, self.energy_draws, -1, -1)
        return HandPose(translation, rotation, joints, self.hand.name)

    def _energy(self, drawn: HandPose, batch: GraspBatch) -> dict[str, Tensor]:
        """The energy of poses (B, K) in the object frame, and its terms, see `forward`."""
        objects, k = drawn.shape
        pose = drawn.reshape(objects * k)
        points = batch.object_points[:, : self.energy_points]
        share = _PUBLISHED_POINTS / points.shape[1]
        points = points.repeat_interleave(k, dim=0)
        plane = None if batch.plane is None else batch.plane.repeat_interleave(k, dim=0)
        target = None if self.contact is None else self.contact.intended(points, self.contact.hand_points(pose))
        each = UniDexGraspTerms(self.hand)(pose, Scene(Cloud(points), target, plane=plane))
        means = {
            name: value.mean() * (share if name in ("contact", "penetration") else 1.0) for name, value in each.items()
        }
        total = torch.stack([JOINT_WEIGHTS[name] * value for name, value in means.items()]).sum()
        return {"energy": total} | {f"energy_{name}": value.detach() for name, value in means.items()}


def _turned(points: Tensor, rotation: Tensor) -> Tensor:
    """R^T p for clouds (B, N, 3) and rotations (B, 3, 3)."""
    return points @ rotation
