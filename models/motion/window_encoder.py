"""Input encoder and output scaling of MotionNet and MotionFlow (RealDex, IJCAI-24, equations 1 and 2)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...datamodules.types import FUTURE, PAST, MotionBatch, MotionSample, MotionState
from ...hands.hand import Hand
from ..blocks.attention import JointAttention
from ..blocks.pointnet import PointNet
from ..blocks.standardise import Standardise
from .base import MotionModel
from .features import MotionFeatures, motion_features, pose_to_offsets


class WindowEncoder(MotionModel):
    """Encodes M_in = (F^J_{t-4:t}, phi_{t-4:t}, P^h_t, its velocity, F^h_tgt, d^h_t) in the frame of the current palm.

    Joint coordinates of five frames pass through a sinusoidal encoding and self-attention over the joints (F^J); the
    surface points of the goal pose and the cloud of the object each pass through a PointNet. Inputs and the offsets of
    the next ten frames (`features.pose_to_offsets`) are standardised by statistics of the training windows.

    Args:
        hand, n_points: see `MotionModel`.
        n_object_points: number of cloud points used: the first ones, which are a farthest-point subset.
        joint_attention: False replaces the attention over joints with a per-joint projection.
        object_feature: whether the object's cloud is an input (the text of section 4.3 has it, equation 2 does not).
        gravity: whether the direction of the world's z axis is an input. Not in the paper, but in the palm's frame a
            model cannot know which way is up, and reaches rise above a table.
        time_to_go: whether the time left until the last frame is an input. Equation 2 does not have it, but the paper's
            protocol gives the number of frames (section 5.3), every interpolation uses it, and without it a model
            cannot tell from a start pose how fast the reach will be.

    Attributes:
        n_pose: size of one frame's offset, 9 + J.
        n_features: size of the output of `encode`.
        offsets: standardisation of the offsets (10, 9 + J).
    """

    def __init__(
        self,
        hand: Hand,
        n_points: int = 64,
        n_object_points: int = 64,
        joint_attention: bool = True,
        object_feature: bool = True,
        gravity: bool = True,
        time_to_go: bool = True,
    ) -> None:
        super().__init__(hand, n_points)
        self.n_object_points = n_object_points
        self.gravity, self.time_to_go = gravity, time_to_go
        self.n_pose = 9 + hand.num_joints
        self.attention = JointAttention(len(hand.keypoint_names), attend=joint_attention)
        self.target_encoder = PointNet()
        self.object_encoder = PointNet() if object_feature else None
        n_motion = PAST * self.n_pose + 3 * 3 * n_points + 1 + 3 * gravity + time_to_go
        self.motion = Standardise(n_motion)
        self.offsets = Standardise(FUTURE, self.n_pose)
        self.n_features = n_motion + PAST * 64 + (1 + object_feature) * self.target_encoder.n_features

    def features(self, state: MotionState) -> MotionFeatures:
        """Features in the frame of the current palm, with only the object points that are used."""
        seen = replace(state, object_points=state.object_points[:, : self.n_object_points])
        return motion_features(self.hand, self.surface, seen)

    def encode(self, features: MotionFeatures) -> Tensor:
        """Encodes windows as (B, n_features). Raises ValueError: the model needs the object, but there is no cloud."""
        encoded = [
            self.motion(self._motion_vector(features)),
            self.attention(features.keypoints).flatten(1),
            self.target_encoder(features.target_points),
        ]
        if self.object_encoder is not None:
            encoded.append(self.object_encoder(_some(features.object_points)))
        return torch.cat(encoded, dim=-1)

    @torch.no_grad()
    def fit_statistics(self, clips: Sequence[MotionSample], windows: Iterable[MotionBatch]) -> None:
        """Computes the standardisation of inputs and outputs from training windows."""
        motion, offsets = [], []
        for batch in windows:
            motion.append(self._motion_vector(self.features(batch)))
            offsets.append(pose_to_offsets(batch.future, batch.past[:, -1]))
        self.motion.fit(torch.cat(motion), floor=0.02)  # 2 cm, 2 cm/s, about 1 degree
        self.offsets.fit(torch.cat(offsets), floor=1e-3)

    def _motion_vector(self, features: MotionFeatures) -> Tensor:
        parts = [features.history, features.points, features.velocity, features.displacement, features.goal_distance]
        parts += [features.up] * self.gravity + [features.time_to_go] * self.time_to_go
        return torch.cat([part.flatten(1) for part in parts], dim=-1)


def _some(points: Tensor) -> Tensor:
    if not points.shape[-2]:
        raise ValueError(
            "object_points: expected at least one point, found none; this model sees the object: give it a mesh "
            "(object_points='mesh'), or train one that does not (object_feature=False)"
        )
    return points
