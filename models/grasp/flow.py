"""GraspFlow: grasp candidates by conditional flow matching (Lipman et al., ICLR 2023), straight paths."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...datamodules.types import GraspBatch
from ...geometry.rotations import rotmat_to_rot6d
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ..blocks.latent import draw_prior
from ..blocks.velocity_field import VelocityField
from .base import CentredGraspModel, check_request
from .contact.model import ContactPredictor


class GraspFlow(CentredGraspModel):
    """Carries Gaussian noise to grasps along a learned velocity; everything relative to the cloud's centroid.

    In training a state x lies on the straight line x_t = (1 - t) noise + t x_1 to a true grasp x_1, whose velocity is
    x_1 - noise.

    Args:
        hand: the hand; the model keeps its joint order and limits.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        widths: layer widths of the cloud encoder; the last one is the size of a cloud's feature.
        width: channels of the velocity network.
        blocks: number of its residual blocks.
        dropout: share of a block's output that is dropped in training.
        draws: pairs of noise and time per grasp of a training batch; they share the encoded cloud.
        steps: midpoint steps from noise to grasp; each costs two evaluations of the velocity.
        contact: makes the trained contact predictor for the refinement; not used in training.

    Raises ValueError: `draws` or `steps` is less than 1.
    """

    def __init__(
        self,
        hand: Hand,
        *,
        n_object_points: int = 256,
        widths: Sequence[int] = (32, 64, 128),
        width: int = 256,
        blocks: int = 3,
        dropout: float = 0.0,
        draws: int = 4,
        steps: int = 16,
        contact: Callable[[Hand], ContactPredictor] | None = None,
    ) -> None:
        super().__init__(hand, n_object_points, widths)
        for name, value in (("draws", draws), ("steps", steps)):
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more, found {value}")
        self.draws, self.steps = draws, steps
        self.size = 9 + hand.num_joints
        self.velocity = VelocityField(self.size, self.object_encoder.n_features, width, blocks, dropout)
        self.attach_contact_predictor(contact)

    def forward(self, batch: GraspBatch, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
        """Terms of the loss, at fresh noise and uniform times.

        Returns flow: squared error of the velocity, mean over dimensions, in units of the standardised state;
        flow_translation, flow_rotation, flow_joints: the same over the dimensions of one part.
        """
        centre, feature = self.encode(batch.object_points)
        end = self._encode(batch.pose, centre).repeat(self.draws, 1)
        noise = torch.randn_like(end)
        time = torch.rand_like(end[:, :1])
        predicted = self.velocity(noise.lerp(end, time), time, feature.repeat(self.draws, 1))
        error = (predicted - (end - noise)).square().mean(dim=0)
        translation, rotation, joints = error.split([3, 6, self.hand.num_joints])
        return {
            "flow": error.mean(),
            "flow_translation": translation.mean(),
            "flow_rotation": rotation.mean(),
            "flow_joints": joints.mean(),
        }

    @torch.no_grad()
    def sample(
        self, points: Tensor, n: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> HandPose:
        """Samples noise ~ N(0, temperature^2 I) for all objects and transports it to grasps; see `GraspModel.sample`.

        Temperature 0 starts at the mean of the noise, which is not exactly the most likely grasp.
        Raises ValueError: a cloud is empty or has the wrong shape, or n is less than 1.
        """
        check_request(points, n)
        centre, feature = self.encode(points)
        noise = draw_prior(len(points), n, self.size, generator, temperature).to(points)
        end = self._integrate(noise, feature.unsqueeze(1).expand(-1, n, -1))
        return self.within_limits(self.to_pose(end, centre.unsqueeze(1)))

    def _encode(self, pose: HandPose, centre: Tensor) -> Tensor:
        """State (B, 9 + J) of poses (B,), relative to `centre` (B, 3)."""
        parts = self.translation(pose.translation - centre), rotmat_to_rot6d(pose.rotation), self.joints(pose.joints)
        return torch.cat(parts, dim=-1)

    def _integrate(self, x: Tensor, feature: Tensor) -> Tensor:
        """Integrates states (..., D) from time 0 to 1. The midpoint rule never evaluates the velocity at time 1."""
        length = 1 / self.steps
        for step in range(self.steps):
            time = x.new_full((*x.shape[:-1], 1), step * length)
            middle = x + length / 2 * self.velocity(x, time, feature)
            x = x + length * self.velocity(middle, time + length / 2, feature)
        return x
