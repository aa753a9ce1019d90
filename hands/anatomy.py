"""Anatomy of any hand: where its palm faces, which digit is the thumb, which joints open and spread it.

Everything is measured on the flat hand (all joints zero, or at the nearest limit), so the zero posture of a hand must
be extended, as is usual. Names of hands and joints are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .hand import Hand
from .pose import HandPose


@dataclass(frozen=True)
class Anatomy:
    """Directions in the root frame of a hand and roles of its joints; D digits.

    Attributes:
        forward: (3,), unit, from the wrist to the fingertips.
        palm_normal: (3,), unit, out of the palm, perpendicular to `forward`.
        approach: (3,), unit, along which the hand goes to an object: `palm_normal`, but on a gripper, whose thumb faces
            the fingers even when flat, the mean direction of the tips.
        palm_centre: (3,), metres, centroid of the contact candidates of the hand at rest.
        thumb: index of the digit that points away from the others.
        digit: (J,), int64, the digit that a joint moves; the first of them if it moves several.
        flexes: (J,), bool, joints that bend a digit towards the palm; for the thumb its two distal ones.
        extended: (J,), radians, the posture from which joints bend: zero, on a gripper its limits away from the grasp.
        spread: (J,), in [-1, 1], direction in which joints move the fingers apart; 0 for all others.
        on_thumb: (P,), bool, contact candidates that are on the thumb.
    """

    forward: Tensor
    palm_normal: Tensor
    approach: Tensor
    palm_centre: Tensor
    thumb: int
    digit: Tensor
    flexes: Tensor
    extended: Tensor
    spread: Tensor
    on_thumb: Tensor

    @property
    def num_digits(self) -> int:
        """Number of digits that have joints."""
        return int(self.digit.max()) + 1

    @staticmethod
    def of(hand: Hand) -> Anatomy:
        """The anatomy of a hand, computed once."""
        return _measure(hand)


@lru_cache(maxsize=16)
def _measure(hand: Hand) -> Anatomy:
    flat = hand.clamp(torch.zeros_like(hand.rest))
    tips = _tips(hand, flat)
    slopes = torch.autograd.functional.jacobian(lambda q: _tips(hand, q), flat)  # (D, 3, J)
    thumb = _odd_one_out(tips)
    fingers = torch.arange(len(tips)) != thumb
    forward = _unit(tips[fingers].mean(0))
    bent = (hand.lower + hand.upper) / 2  # on the flat hand a tip may lie on a joint's axis
    moves = torch.autograd.functional.jacobian(lambda q: _tips(hand, q), bent).norm(dim=1) > 1e-6  # (D, J)
    digit = moves.int().argmax(dim=0)
    on_thumb = _moved_with(hand, digit == thumb)
    mean = _mean_normal(hand, flat, ~on_thumb)
    normal = _unit(mean - (mean @ forward) * forward)
    of_thumb = _mean_normal(hand, flat, on_thumb)
    gripper = bool(on_thumb.any()) and float(mean @ of_thumb) < -0.5 * float(mean.norm() * of_thumb.norm())
    own = slopes[digit, :, torch.arange(hand.num_joints)]  # (J, 3)
    own_reach = own.norm(dim=-1).clamp_min(1e-9)
    side = torch.linalg.cross(forward, normal)
    flexes = torch.where(digit == thumb, _two_distal(digit, thumb), (own @ normal).abs() > 0.5 * own_reach)
    sideways = ((own @ side).abs() > 0.5 * own_reach) & (digit != thumb)
    gain = torch.autograd.functional.jacobian(lambda q: torch.pdist(_tips(hand, q)[fingers]).sum(), flat)
    gain = torch.where(sideways, gain, 0.0)
    return Anatomy(
        forward=forward,
        palm_normal=normal,
        approach=_unit(tips.mean(0)) if gripper else normal,
        palm_centre=_candidates(hand, hand.rest).mean(0),
        thumb=thumb,
        digit=digit,
        flexes=flexes,
        extended=_widest(hand, own, digit == thumb, mean, of_thumb) if gripper else torch.zeros_like(flat),
        spread=gain / gain.abs().max().clamp_min(1e-9),
        on_thumb=on_thumb,
    )


def _pose(hand: Hand, joints: Tensor) -> HandPose:
    return HandPose(joints.new_zeros(3), torch.eye(3, dtype=joints.dtype), joints, hand.name)


def _tips(hand: Hand, joints: Tensor) -> Tensor:
    return hand.keypoints(hand.forward_kinematics(_pose(hand, joints)))[-len(hand.fingertip_names) :]


def _candidates(hand: Hand, joints: Tensor) -> Tensor:
    return hand.place(hand.forward_kinematics(_pose(hand, joints)), hand.contact_candidates)


def _odd_one_out(tips: Tensor) -> int:
    directions = torch.nn.functional.normalize(tips, dim=-1)
    return int((directions @ directions.mT).sum(dim=1).argmin())


def _moved_with(hand: Hand, joints: Tensor) -> Tensor:
    """(P,), bool: contact candidates that move with any of the joints (J,), bool."""
    slopes = torch.autograd.functional.jacobian(
        lambda q: _candidates(hand, q), (hand.lower + hand.upper) / 2
    )  # (P, 3, J)
    return (slopes.norm(dim=1)[:, joints] > 1e-6).any(dim=1)


def _mean_normal(hand: Hand, flat: Tensor, used: Tensor) -> Tensor:
    """(3,), mean normal of the contact candidates `used` (P,), bool, of the flat hand."""
    links = hand.forward_kinematics(_pose(hand, flat))
    candidates = hand.contact_candidates
    normals = (links.rotation[candidates.link] @ candidates.normal.unsqueeze(-1)).squeeze(-1)
    return normals[used].mean(0)


def _widest(hand: Hand, slopes: Tensor, of_thumb: Tensor, inward: Tensor, thumb_inward: Tensor) -> Tensor:
    """(J,): each joint at the limit that moves its tip, with slope (J, 3), against the direction its pads face."""
    closes = (slopes * torch.where(of_thumb[:, None], thumb_inward, inward)).sum(-1) > 0
    return torch.where(closes, hand.lower, hand.upper)


def _two_distal(digit: Tensor, which: int) -> Tensor:
    distal = (digit == which).nonzero().squeeze(-1)[-2:]
    return torch.isin(torch.arange(len(digit)), distal)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()
