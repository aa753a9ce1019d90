"""Input features of motion models, in the frame of the current palm, and decoding of their output."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...datamodules.types import MotionState
from ...geometry.rotations import rot6d_to_rotmat, rotmat_to_rot6d
from ...hands.hand import Hand, LinkPoints
from ...hands.pose import HandPose


@dataclass(frozen=True)
class MotionFeatures:
    """Features of windows, with lengths in metres and vectors in the frame of the current palm (frame t).

    Attributes:
        history: (B, 5, 9 + J): translation 3 | 6-D rotation 6 | joints J of the frames t-4..t.
        keypoints: (B, 5, K, 3), joint coordinates of the same frames.
        points: (B, H, 3), surface points at t.
        velocity: (B, H, 3), m/s, their velocity at t.
        target_points: (B, H, 3), surface points of the goal pose.
        displacement: (B, H, 3), target_points - points.
        goal_distance: (B, 1), from palm to goal palm.
        up: (B, 3), direction of the world's z axis.
        object_points: (B, N, 3).
        time_to_go: (B, 1), seconds.
    """

    history: Tensor
    keypoints: Tensor
    points: Tensor
    velocity: Tensor
    target_points: Tensor
    displacement: Tensor
    goal_distance: Tensor
    up: Tensor
    object_points: Tensor
    time_to_go: Tensor


def pose_to_features(pose: HandPose, other: HandPose) -> Tensor:
    """(..., 9 + J): translation | 6-D rotation | joints of `pose`, in the root frame of `other` (broadcasts)."""
    relative = pose.relative_to(other)
    return torch.cat([relative.translation, rotmat_to_rot6d(relative.rotation), relative.joints], dim=-1)


def pose_to_offsets(future: HandPose, current: HandPose) -> Tensor:
    """Offsets (B, F, 9 + J) of future frames (B, F) from the current one (B,), composed on the right.

    T(t+k) = T(t) + R(t) dT_k, R(t+k) = R(t) R_delta,k (first two columns), theta(t+k) = theta(t) + d theta_k.
    """
    offsets = pose_to_features(future, current[:, None])
    joints = future.joints - current.joints[:, None]
    return torch.cat([offsets[..., :9], joints], dim=-1)


def offsets_to_pose(offsets: Tensor, current: HandPose) -> HandPose:
    """Inverse of `pose_to_offsets`."""
    rotation = current.rotation[:, None]
    translation = current.translation[:, None] + (rotation @ offsets[..., :3, None]).squeeze(-1)
    joints = current.joints[:, None] + offsets[..., 9:]
    return HandPose(translation, rotation @ rot6d_to_rotmat(offsets[..., 3:9]), joints, current.hand)


def motion_features(hand: Hand, surface: LinkPoints, state: MotionState) -> MotionFeatures:
    """Computes the features of a batch of windows with one forward kinematics of six poses each."""
    current = state.past[:, -1]
    poses = HandPose.cat([state.past, state.goal[:, None]], dim=1).relative_to(current[:, None])
    links = hand.forward_kinematics(poses)
    # Of frames t-1, t and the goal. In the hand's layout, batch last, norms of these vectors take 30 times longer.
    points = hand.place(links[:, -3:], surface).contiguous()
    previous, now, target = points.unbind(1)
    world_from_palm = current.rotation
    object_points = (state.object_points - current.translation[:, None]) @ world_from_palm
    return MotionFeatures(
        history=torch.cat(
            [poses.translation[:, :-1], rotmat_to_rot6d(poses.rotation[:, :-1]), poses.joints[:, :-1]], dim=-1
        ),
        keypoints=hand.keypoints(links[:, :-1]).contiguous(),
        points=now,
        velocity=(now - previous) * state.fps[:, None, None],
        target_points=target,
        displacement=target - now,
        goal_distance=poses.translation[:, -1].norm(dim=-1, keepdim=True),
        up=world_from_palm[:, 2],
        object_points=object_points,
        time_to_go=(state.time_to_go / state.fps)[:, None],
    )
