"""Inputs of SAGA's networks: a path of the palm, and an image of points (rows) over frames (columns)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from ....geometry.neighbours import knn
from ....geometry.rotations import rotmat_to_rot6d, rotmat_to_rotvec
from ....hands.hand import Hand, LinkPoints
from ....hands.pose import HandPose
from ....hands.products import compose, rotate
from ...blocks.standardise import Standardise

COLUMNS = 61
"""Columns of an image: frames 0 to 60 of a resampled clip; 0 is given and 60 is the goal, in training and inference."""
FRAMES = COLUMNS + 1
"""Frames of a trajectory. The last one repeats the goal, so that every column of an image has a velocity.

The published training has the goal at frame 60 of 62, the published synthesis at frame 61."""
PATH = 9
"""Values of a frame of a trajectory: translation 3 | 6-D rotation 6."""
VELOCITIES = 6
"""Channels of an image beside the positions: linear and angular velocity of the palm."""
_AXES = 3


def frame_positions(length: Tensor) -> Tensor:
    """Positions of the 62 frames of a resampled clip in the recorded one.

    `length` (B,), int64, frames of the recorded clips, >= 2. Returns (B, 62), in frames; 0 at the first, length - 1 at
    the last two.
    """
    share = (torch.arange(FRAMES, device=length.device) / (COLUMNS - 1)).clamp(max=1)
    return share * (length[:, None] - 1)


def resample(pose: HandPose, position: Tensor) -> HandPose:
    """Interpolates poses between frames: linear in translation and joints, slerp in rotation.

    `pose`: HandPose (B, T >= 2). `position` (B, n), in frames; clamped to 0 to T - 1. Returns HandPose (B, n).
    """
    position = position.clamp(0, pose.shape[1] - 1)
    before = position.floor().long().clamp(max=pose.shape[1] - 2)
    row = torch.arange(len(position), device=position.device)[:, None]
    share = (position - before).to(pose.translation.dtype)
    return pose[row, before].interpolate(pose[row, before + 1], share)


def path_values(pose: HandPose) -> Tensor:
    """(B, T, 9): translation, metres | first two columns of the rotation, of poses (B, T)."""
    return torch.cat([pose.translation, rotmat_to_rot6d(pose.rotation)], dim=-1)


def velocities(translation: Tensor, rotation: Tensor) -> Tensor:
    """Motion of each frame's palm until the next frame, in its own frame.

    `translation` (B, T, 3), metres; `rotation` (B, T, 3, 3), world_from_palm. Returns (B, T - 1, 6): linear, metres per
    frame | angular, radians per frame.
    """
    back = rotation[:, :-1].mT
    linear = rotate(back, translation[:, 1:] - translation[:, :-1])
    return torch.cat([linear, rotmat_to_rotvec(compose(back, rotation[:, 1:]))], dim=-1)


def local_points(hand: Hand, surface: LinkPoints, joints: Tensor) -> Tensor:
    """Surface points (..., P, 3), metres, in the frame of the palm, for joints (..., J), radians."""
    pose = hand.rest_pose(*joints.shape[:-1]).to(joints)
    pose = HandPose(pose.translation, pose.rotation, joints, pose.hand)
    return hand.place(hand.forward_kinematics(pose), surface)


def tip_depths(hand: Hand) -> Tensor:
    """Depth of each fingertip point under the hand's skin, (F,) metres; 0 on the skin."""
    links = hand.forward_kinematics(hand.rest_pose())
    tips = hand.keypoints(links)[-len(hand.fingertip_names) :]
    return (-hand.signed_distance(links, tips)).clamp_min(0)


def fingertip_contact(hand: Hand, pose: HandPose, cloud: Tensor, depths: Tensor, within: float) -> Tensor:
    """Fingertips that touch the object, i.e. with a cloud point near the skin around the tip.

    `pose`: HandPose (B, T), world frame; `cloud` (B, N >= 1, 3), metres, world frame; `depths` (F,), metres, see
    `tip_depths`; `within`: largest distance from the skin, metres. Returns (B, T, F), 1.0 or 0.0.
    """
    tips = hand.keypoints(hand.forward_kinematics(pose))[..., -len(depths) :, :]
    distance = knn(rearrange(tips, "b t tip xyz -> b (t tip) xyz"), cloud, 1)[0]
    distance = rearrange(distance, "b (t tip) 1 -> b t tip", t=tips.shape[1])
    return (distance - depths < within).to(cloud.dtype)


class ImageScale(nn.Module):
    """Builds standardised images; its statistics are saved with the weights, which are meaningless without them.

    Rows: the palm, which is the origin, and P points, x y z each, in the frame of the palm; then one row per fingertip
        that says whether it touches. Channel 0 has these values: coordinates minus the mean of their row, divided by
        the standard deviation of all rows; contacts unscaled. Channels 1 to 6 have the velocities, the same in all
        rows.

    Args:
        n_points: number of points P.
        n_contacts: number of contact rows.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, n_points: int, n_contacts: int) -> None:
        super().__init__()
        self.n_body, self.n_rows = _AXES * (n_points + 1), _AXES * (n_points + 1) + n_contacts
        self.register_buffer("mean", torch.zeros(_AXES * n_points))
        self.register_buffer("sd", torch.ones(()))
        self.linear, self.angular = Standardise(), Standardise()

    @torch.no_grad()
    def fit(self, points: Tensor, velocity: Tensor) -> None:
        """Computes the statistics. `points` (S, P, 3), metres; `velocity` (S', 6), metres and radians per frame."""
        rows = points.flatten(1)
        self.mean.copy_(rows.mean(0))
        self.sd.copy_((rows - self.mean).square().mean().sqrt().clamp_min(1e-4))
        self.linear.fit(velocity[:, :_AXES].flatten(), 1e-4)
        self.angular.fit(velocity[:, _AXES:].flatten(), 1e-4)

    def body(self, points: Tensor) -> Tensor:
        """Standardised rows (B, 3 + 3P, T) of points (B, T, P, 3), metres, in the frame of the palm."""
        rows = (points.flatten(2) - self.mean) / self.sd
        return torch.cat([rows.new_zeros(*rows.shape[:2], _AXES), rows], dim=-1).mT

    def points(self, image: Tensor) -> Tensor:
        """Inverse of `body` on images (B, n_rows, T): (B, T, P, 3), metres."""
        rows = image[:, _AXES : self.n_body].mT
        return (rows * self.sd + self.mean).unflatten(-1, (-1, _AXES))

    def stack(self, first: Tensor, velocity: Tensor) -> Tensor:
        """Images (B, 7, n_rows, T) of channel 0 (B, n_rows, T) and velocities (B, T, 6), metres and radians."""
        parts = [self.linear(velocity[..., :_AXES]), self.angular(velocity[..., _AXES:])]
        tiled = torch.cat(parts, dim=-1).mT[:, :, None].expand(-1, -1, self.n_rows, -1)
        return torch.cat([first[:, None], tiled], dim=1)

    def masked(self, ends: Tensor) -> Tensor:
        """Channel 0 (B, n_rows, 61) of an image to fill in.

        It is zero except in the two given columns, and also zero in their contact rows, which are unknown.
        `ends` (B, 2, P, 3), metres, points of the first and of the goal pose in the frame of the palm.
        """
        image = ends.new_zeros(len(ends), self.n_rows, COLUMNS)
        image[:, : self.n_body, :: COLUMNS - 1] = self.body(ends)
        return image
