"""MotionNet: autoregressive reach-to-grasp motion of a dexterous hand (RealDex, IJCAI-24, section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ..datamodules.types import FUTURE, PAST, MotionBatch, MotionSample, MotionState
from ..hands.hand import Hand
from ..hands.pose import HandPose
from .autoregressive import MotionModel
from .blocks.attention import JointAttention
from .blocks.gating import BlendedLinear, Gate
from .blocks.motion_features import MotionFeatures, motion_features, offsets_to_pose, pose_to_offsets
from .blocks.pointnet import PointNet
from .blocks.standardise import Standardise


class MotionNet(MotionModel):
    """M_in = (F^J_{t-4:t}, phi_{t-4:t}, P^h_t, its velocity, F^h_tgt, d^h_t) -> offsets of phi_{t+1:t+10} from t.

    Equations 1 to 3 of the paper: joint coordinates of five frames pass a sinusoidal code and self-attention over the
    joints (F^J); the surface points of the goal pose and the cloud of the object pass a PointNet each; everything is in
    the frame of the current palm. A gate on velocity, displacement and distance to the goal blends the weights of
    `num_experts` experts: the paper names a gating mechanism and gives no details, this one follows the Neural State
    Machine that it cites.

    Args:
        hand: the hand; its joint order, limits and surface points are those of the model.
        n_points: surface points P^h.
        n_object_points: points of the object's cloud that are used; the first ones, which are a farthest-point subset.
        hidden: width of the trunk.
        num_experts: experts K; 1 is the ablation without a gate.
        joint_attention: False replaces the attention over joints by a per-joint projection.
        object_feature: whether the object's cloud is seen (the text of section 4.3 has it, equation 2 does not).
        gravity: whether the direction of the world's z axis is seen. Not in the paper: in the palm's frame a model
            cannot know what is up, and reaches rise above a table.
        time_to_go: whether the time left until the last frame is seen. Equation 2 does not have it, but the paper's
            protocol gives the number of frames (section 5.3), every interpolation uses it, and without it a model
            cannot know from a start pose how fast this reach will be.
        dropout: probability in the trunk.
    """

    def __init__(
        self,
        hand: Hand,
        n_points: int = 64,
        n_object_points: int = 64,
        hidden: int = 384,
        num_experts: int = 4,
        joint_attention: bool = True,
        object_feature: bool = True,
        gravity: bool = True,
        time_to_go: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(hand, n_points)
        self.n_object_points = n_object_points
        self.gravity, self.time_to_go = gravity, time_to_go
        n_pose = 9 + hand.num_joints

        self.attention = JointAttention(len(hand.keypoint_names), attend=joint_attention)
        self.target_encoder = PointNet()
        self.object_encoder = PointNet() if object_feature else None
        n_motion = PAST * n_pose + 3 * 3 * n_points + 1 + 3 * gravity + time_to_go
        self.motion = Standardise(n_motion)
        self.offsets = Standardise(FUTURE, n_pose)
        n_input = n_motion + PAST * 64 + (1 + object_feature) * self.target_encoder.n_features

        n_gate = 2 * n_points + 1
        self.gate_input = Standardise(n_gate)
        self.gate = Gate(n_gate, num_experts) if num_experts > 1 else None
        self.entry = nn.Sequential(nn.Linear(n_input, hidden), nn.ELU(), nn.Dropout(dropout))
        self.trunk = nn.ModuleList(BlendedLinear(hidden, hidden, num_experts) for _ in range(2))
        self.exit = BlendedLinear(hidden, FUTURE * n_pose, num_experts)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: MotionState) -> HandPose:
        """Predicts the frames t+1..t+10 of each window as HandPose (B, 10), world frame.

        Raises:
            ValueError: the model sees the object, and there is no cloud.
        """
        features = self._features(state)
        encoded = [
            self.motion(self._motion_vector(features)),
            self.attention(features.keypoints).flatten(1),
            self.target_encoder(features.target_points),
        ]
        if self.object_encoder is not None:
            encoded.append(self.object_encoder(_some(features.object_points)[:, : self.n_object_points]))
        hidden = self.entry(torch.cat(encoded, dim=-1))
        blend = self.blend(features)
        for layer in self.trunk:
            hidden = hidden + self.dropout(nn.functional.elu(layer(hidden, blend)))
        offsets = self.exit(hidden, blend).unflatten(-1, (FUTURE, -1))
        return offsets_to_pose(self.offsets.inverse(offsets), state.past[:, -1])

    def blend(self, features: MotionFeatures) -> Tensor:
        """Blending weights (B, K) of the experts: the phase of the motion as the gate sees it."""
        if self.gate is None:
            return torch.ones(len(features.history), 1, device=features.history.device, dtype=features.history.dtype)
        return self.gate(self.gate_input(self._gate_vector(features)))

    def _features(self, state: MotionState) -> MotionFeatures:
        return motion_features(self.hand, self.surface, state)

    def _motion_vector(self, features: MotionFeatures) -> Tensor:
        parts = [features.history, features.points, features.velocity, features.displacement, features.goal_distance]
        parts += [features.up] * self.gravity + [features.time_to_go] * self.time_to_go
        return torch.cat([part.flatten(1) for part in parts], dim=-1)

    def _gate_vector(self, features: MotionFeatures) -> Tensor:
        """Speeds, displacement norms and the distance to the goal."""
        norms = [features.velocity.norm(dim=-1), features.displacement.norm(dim=-1), features.goal_distance]
        return torch.cat(norms, dim=-1)

    @torch.no_grad()
    def fit_statistics(self, clips: Sequence[MotionSample], windows: Iterable[MotionBatch]) -> None:
        """Takes the standardisation of inputs and outputs from training windows."""
        motion, gate, offsets = [], [], []
        for batch in windows:
            features = self._features(batch)
            motion.append(self._motion_vector(features))
            gate.append(self._gate_vector(features))
            offsets.append(pose_to_offsets(batch.future, batch.past[:, -1]))
        self.motion.fit(torch.cat(motion), floor=0.02)  # 2 cm, 2 cm/s, about 1 degree
        self.gate_input.fit(torch.cat(gate), floor=0.02)
        self.offsets.fit(torch.cat(offsets), floor=1e-3)


def _some(points: Tensor) -> Tensor:
    if not points.shape[-2]:
        raise ValueError(
            "object_points: expected at least one point, found none; this model sees the object: give it a mesh "
            "(data.object_points=mesh), or train one that does not (model.network.object_feature=false)"
        )
    return points
