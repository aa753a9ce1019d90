"""Fits poses to predicted points and contacts: GraspPose-Opt of SAGA (Wu et al., ECCV 2022, section 3.3) for a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....geometry.rotations import rot6d_to_rotmat, rotmat_to_rot6d
from ....hands.hand import Hand, LinkPoints
from ....hands.pose import HandPose
from ....hands.products import rotate
from ..refinement.fields import ObjectFields, cloud_fields

_HELD = 0.4  # share of the last stage after which the best iterate is kept: SAGA's step 200 of 500


@dataclass(frozen=True)
class FitTargets:
    """Targets of the fit of K grasps; one frame per grasp.

    Attributes:
        points: (K, P, 3), metres, predicted points of the hand.
        contact: (K, P), in [0, 1], probability of their contact.
        object_points: (K, M, 3), metres.
        object_contact: (K, M), in [0, 1].
    """

    points: Tensor
    contact: Tensor
    object_points: Tensor
    object_contact: Tensor


class GraspFit:
    """Minimises with Adam in three stages: the wrist, then also the joints, then also with contact and penetration.

    Energy: mean absolute error of the points' coordinates; in the last stage also `contact` times the distances of
    hand and object weighted by the predicted contact, and `penetration` times (10 mean depth of the hand's points in
    the object + 20 mean depth of the object's points in the hand). Each grasp keeps its best iterate from the end of
    that stage. All grasps are fitted in parallel, independently of one another.

    Differences from the fit of a body: it starts from the rest posture aligned to the points by least squares (Kabsch),
    not from a mean pose; joint limits are enforced by projection instead of a pose prior; the rate falls to 0 within
    each stage, without which the wrist keeps jumping by millimetres; and depths are those of a distance field fitted to
    the cloud and of the hand's shapes. SAGA takes them from the nearest vertex of a mesh and its normal. A cloud has
    neither the normals nor the density: a true grasp of a mug would appear 10 cm deep and be pushed away.

    Args:
        steps: numbers of steps of the three stages.
        rates: initial learning rates of the stages, in metres, radians, and units of a 6-D rotation.
        contact: weight of the contact distances.
        penetration: weight of the depths; if both are 0 the object is not used.
        n_surface: number of additional points of the hand's surface that are kept out of the object.
        n_object: number of cloud points used, the first ones.

    Raises ValueError: not three stages, a negative number of steps, or a rate that is not positive.
    """

    def __init__(
        self,
        steps: Sequence[int] = (300, 400, 500),
        rates: Sequence[float] = (0.016, 0.012, 0.008),
        contact: float = 15.0,
        penetration: float = 10.0,
        n_surface: int = 256,
        n_object: int = 512,
    ) -> None:
        if len(steps) != 3 or min(steps) < 0:
            raise ValueError(f"steps: expected three numbers of at least 0, found {list(steps)}")
        if len(rates) != 3 or min(rates) <= 0:
            raise ValueError(f"rates: expected three positive numbers, found {list(rates)}")
        self.steps, self.rates = tuple(steps), tuple(rates)
        self.contact, self.penetration = contact, penetration
        self.n_surface, self.n_object = n_surface, n_object

    def __call__(self, hand: Hand, markers: LinkPoints, targets: FitTargets) -> HandPose:
        """Poses of K grasps.

        `hand`: the hand, in the dtype and on the device of the targets; `markers`: the P points of the hand whose
        positions were predicted; `targets`: the predictions to fit. Returns HandPose (K,), frame of the targets, joints
        within their limits. Raises ValueError: a cloud has fewer than 32 points but the object is used.
        """
        # A trainer tests in inference mode, whose tensors take no gradient; their copies outside it do.
        with torch.inference_mode(False):
            targets = FitTargets(**{name: value.detach().clone() for name, value in vars(targets).items()})
            surface = _join(markers, hand.surface(self.n_surface).to(targets.points))
            fields = cloud_fields(targets.object_points) if self.contact or self.penetration else None
            energy = _Energy(hand, markers, surface, targets, fields, self)
            x = lay_resting_hand(hand, markers, targets.points)
            with torch.enable_grad():
                for stage in range(3):
                    x = self._descend(hand, energy, x, stage)
            return _pose(hand, x)

    def _descend(self, hand: Hand, energy: _Energy, x: Tensor, stage: int) -> Tensor:
        """The variables (K, 9 + J) after one stage."""
        steps, wrist, joints = self.steps[stage], x[:, :9].clone().requires_grad_(), x[:, 9:].clone()
        moving = [wrist] if stage == 0 else [wrist, joints.requires_grad_()]
        optimiser = torch.optim.Adam(moving, lr=self.rates[stage])
        best, least = x, torch.full_like(x[:, 0], torch.inf)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = self.rates[stage] * (1 - step / steps)
            here = torch.cat([wrist, joints], dim=-1)
            value = energy(_pose(hand, here), physical=stage == 2)
            if stage == 2 and step >= _HELD * steps:
                best, least = _better(best, least, here, value)
            optimiser.zero_grad()
            value.sum().backward()
            optimiser.step()
            with torch.no_grad():
                joints.copy_(hand.clamp(joints))
        last = torch.cat([wrist, joints], dim=-1).detach()
        if stage < 2:
            return last
        with torch.no_grad():
            return _better(best, least, last, energy(_pose(hand, last), physical=True))[0]


@dataclass(frozen=True)
class _Energy:
    """Energy of grasps of a hand; `surface` consists of the P `markers` of the targets and additional points."""

    hand: Hand
    markers: LinkPoints
    surface: LinkPoints
    targets: FitTargets
    fields: ObjectFields | None
    settings: GraspFit

    def __call__(self, pose: HandPose, physical: bool) -> Tensor:
        """Energy (K,) of poses (K,); `physical` adds contact and penetration."""
        links, n = self.hand.forward_kinematics(pose), self.targets.points.shape[1]
        fields = self.fields if physical else None
        points = self.hand.place(links, self.markers if fields is None else self.surface)
        error = (points[:, :n] - self.targets.points).abs().mean((-1, -2))
        if fields is None:
            return error
        some = slice(self.settings.n_object)
        hand_gap = fields(points)
        thing_gap = self.hand.signed_distance(links, self.targets.object_points[:, some])
        touched = self.targets.contact, self.targets.object_contact[:, some]
        pull = (hand_gap[:, :n].abs() * touched[0]).mean(-1) + (thing_gap.abs() * touched[1]).mean(-1)
        push = 10 * (-hand_gap).clamp_min(0).mean(-1) + 20 * (-thing_gap).clamp_min(0).mean(-1)
        return error + self.settings.contact * pull + self.settings.penetration * push


@torch.no_grad()
def lay_resting_hand(hand: Hand, markers: LinkPoints, points: Tensor) -> Tensor:
    """The hand in rest posture, rigidly aligned to points with the least squared error (Kabsch, 1976).

    `markers`: P points on the hand; `points` (K, P, 3), metres, their target positions. Returns (K, 9 + J): translation
    (metres), 6-D rotation, joints (radians).
    """
    rest = hand.rest_pose().to(points)
    local = hand.place(hand.forward_kinematics(rest), markers)
    inner, outer = local.mean(0), points.mean(1)
    u, _, vt = torch.linalg.svd((points - outer.unsqueeze(1)).mT @ (local - inner))
    sign = torch.ones_like(outer)
    sign[:, 2] = torch.linalg.det(u @ vt).sign()  # avoids reflections
    rotation = (u * sign.unsqueeze(1)) @ vt
    translation = outer - rotate(rotation, inner)
    return torch.cat([translation, rotmat_to_rot6d(rotation), rest.joints.expand(len(points), -1)], dim=-1)


def _pose(hand: Hand, x: Tensor) -> HandPose:
    return HandPose(x[:, :3], rot6d_to_rotmat(x[:, 3:9]), x[:, 9:], hand.name)


def _better(best: Tensor, least: Tensor, x: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """The better of two iterates of each grasp, and its energy."""
    x, energy = x.detach(), energy.detach()
    won = energy < least
    return torch.where(won.unsqueeze(-1), x, best), torch.where(won, energy, least)


def _join(first: LinkPoints, second: LinkPoints) -> LinkPoints:
    return LinkPoints(*(torch.cat([a, getattr(second, name)]) for name, a in vars(first).items()))
