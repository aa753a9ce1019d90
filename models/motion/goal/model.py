"""GOAL-hand: the motion network of GOAL (Taheri et al., CVPR 2022, section 3.3), applied to a hand."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ....datamodules.types import FUTURE, PAST, MotionState
from ....geometry.neighbours import bps_basis, bps_encode
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ...published.goal_mnet import MNet
from ..base import MotionModel
from ..features import MotionFeatures, motion_features, offsets_to_pose

_CENTIMETRE = 0.01
_NEARNESS = 5.0  # per metre, rate of the exponential distance


@dataclass(frozen=True)
class GoalPrediction:
    """Outputs of the network for the frames t+1..t+10; points in the frame of the current palm.

    Attributes:
        pose: HandPose (B, 10), world frame; the head that a rollout uses.
        points: (B, 10, N, 3), metres, surface points predicted by the points head.
        displacement: (B, 10, N, 3), metres, offsets of those points from their goal positions, predicted by the
            distance head.
        features: inputs of the network.
    """

    pose: HandPose
    points: Tensor
    displacement: Tensor
    features: MotionFeatures


class GoalHand(MotionModel):
    """MNet with every input and output of the body replaced by its counterpart for a free hand.

    Inputs: joints, wrist rotation and translation of five frames, velocity and position of the surface points, their
    offset e to the goal and exp(-5 |e|), and the basis point set of the goal hand about the object's centroid. Heads:
    the pose, and two that only help train the trunk: points, and offsets to the goal. All outputs are offsets from
    frame t.

    Differences from the body network: no shape vector; a body is rotated to its heading because it stands on a floor, a
    free hand has neither, so everything is in the frame of the current palm; all points are on the hand; the wrist
    rotation head is an offset from the identity, so that an output of zero holds the hand still.

    Args:
        hand, n_points: see `MotionModel`.
        n_basis: number of basis points.
        basis_radius: radius of the ball of basis points, metres.
        width: width of the trunk.
        bottleneck: width within a residual block.
        dropout: probability in the trunk.
        gravity: whether the direction of the world's z axis is an input, as in MotionNet. GOAL knows it from its
            upright frame, unlike in the frame of a palm.
        time_to_go: whether the time left until the last frame is an input. GOAL has no such input and decides itself
            when to stop; RealDex's protocol gives the number of frames to all models.
    """

    basis: Tensor

    def __init__(
        self,
        hand: Hand,
        n_points: int = 225,
        n_basis: int = 1024,
        basis_radius: float = 0.15,
        width: int = 2048,
        bottleneck: int = 256,
        dropout: float = 0.3,
        gravity: bool = False,
        time_to_go: bool = False,
    ) -> None:
        super().__init__(hand, n_points)
        self.register_buffer("basis", bps_basis(n_basis, basis_radius))
        n_pose = 6 + hand.num_joints
        self.gravity, self.time_to_go = gravity, time_to_go
        n_input = PAST * (n_pose + 3) + (3 + 1 + 3 + 3) * n_points + 3 * n_basis + 3 * gravity + time_to_go
        heads = {"pose": FUTURE * n_pose, "trans": FUTURE * 3, "xyz": FUTURE * 3 * n_points}
        self.mnet = MNet(n_input, heads | {"dist": heads["xyz"]}, width, bottleneck, dropout)

    def forward(self, state: MotionState) -> HandPose:
        """Predicts the frames t+1..t+10 of each window as HandPose (B, 10), world frame.

        Raises ValueError: there is no cloud, on whose centroid the basis is centred.
        """
        return self.predict(state).pose

    def predict(self, state: MotionState) -> GoalPrediction:
        """Outputs of all heads, each of which is trained. Raises like `forward`."""
        features = motion_features(self.hand, self.surface, state)
        heads = {name: out.unflatten(-1, (FUTURE, -1)) for name, out in self.mnet(self.input(features)).items()}
        no_turn = torch.eye(3, device=self.basis.device, dtype=self.basis.dtype)[:, :2].mT.flatten()
        turn = heads["pose"][..., :6] + no_turn
        offsets = torch.cat([heads["trans"], turn, heads["pose"][..., 6:]], dim=-1)
        moved, corrected = (_CENTIMETRE * heads[name].unflatten(-1, (-1, 3)) for name in ("xyz", "dist"))
        return GoalPrediction(
            pose=offsets_to_pose(offsets, state.past[:, -1]),
            points=features.points[:, None] + moved,
            displacement=corrected - features.displacement[:, None],
            features=features,
        )

    def input(self, features: MotionFeatures) -> Tensor:
        """MNet's input vector (B, n_input), unnormalised: its batch norm standardises it. Raises like `forward`."""
        if not features.object_points.shape[-2]:
            raise ValueError(
                "object_points: expected at least one point, found none; GOAL's basis stands about the object's "
                "centroid: give it a mesh (object_points='mesh')"
            )
        centroid = features.object_points.mean(-2, keepdim=True)
        parts = [
            features.history[..., 3:],
            features.history[..., :3],
            features.velocity,
            torch.exp(-_NEARNESS * features.displacement.norm(dim=-1)),
            features.points,
            -features.displacement,
            bps_encode(features.target_points - centroid, self.basis),
        ]
        parts += [features.up] * self.gravity + [features.time_to_go] * self.time_to_go
        return torch.cat([part.flatten(1) for part in parts], dim=-1)
