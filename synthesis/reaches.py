"""Reach-to-grasp clips: a hand starts on the person's side, opens, arrives and closes on a recorded grasp.

The person sits at -y; the scene (object and grasp) is rotated about z until the forearm of the grasp points there.
Wrist path: cubic Bezier with a raised control point, minimum-jerk timing (Flash and Hogan, 1985). Duration: Fitts' law.
Aperture: fingers open to a peak at about two thirds of the transport and close after arrival (Jeannerod, 1984).
Quantities that cannot be seen in the first frames have narrow ranges; they bound what any model can predict.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry.rotations import rotvec_to_rotmat, slerp
from ..geometry.sdf import DistanceGrid
from ..hands.anatomy import Anatomy
from ..hands.hand import Hand
from ..hands.pose import HandPose
from ..losses.energies import self_penetration_depth

FPS = 30.0
MAX_FRAMES = 64
MIN_FRAMES = 35


@dataclass(frozen=True)
class ReachSettings:
    """Ranges from which clips are sampled: (low, high) of a uniform, or a standard deviation. SI units."""

    distance: tuple[float, float] = (0.25, 0.5)  # metres from the start of the wrist to the grasp
    person_spread: float = 0.4
    """radians, standard deviation of the angle between the forearm's horizontal direction and the person."""
    wrist_turn: tuple[float, float] = (0.35, 0.52)  # radians by which the start differs from the grasp in orientation
    curl: tuple[float, float] = (1.3, 2.0)
    """factor on the flexion of the hand's rest posture, so that it is still closed enough to open on the way."""
    joint_noise: float = 0.08  # radians, standard deviation of the fingers at rest
    bulge: tuple[float, float] = (0.055, 0.075)  # metres by which the path is raised, per 0.4 m of distance
    sideways: float = 0.02  # metres, largest lateral offset of the path
    retreat: tuple[float, float] = (0.06, 0.09)
    """metres from the grasp to the last control point, against the hand's approach."""
    skew: tuple[float, float] = (0.95, 1.05)  # exponent on the time of the transport
    turn_done: tuple[float, float] = (0.75, 0.95)  # share of the transport after which the orientation is final
    peak: tuple[float, float] = (0.60, 0.70)  # share of the transport at which the fingers are most open
    lag: float = 0.05  # share of the transport, largest delay of a finger
    closing: tuple[float, float] = (0.12, 0.30)  # seconds between arrival and closed fingers
    pace: float = 0.08  # standard deviation of the logarithm of the duration
    onset: tuple[int, int] = (0, 1)  # still frames at the start; an inclusive range
    hold: tuple[int, int] = (2, 4)  # still frames at the end; an inclusive range
    flexion: float = 0.35  # factor on the flexion of the grasp when the hand is most open
    spread: float = 0.12  # radians by which fingers spread when the hand is most open


@dataclass(frozen=True)
class Reaches:
    """A batch of clips, padded at the end with the last frame."""

    pose: HandPose  # HandPose (B, T), world frame, person at -y
    length: Tensor  # (B,), int64, frames of each clip
    grasp: Tensor  # (B,), int64, index of the grasp that ends the clip
    rotation: Tensor  # (B, 3, 3), world_from_object: a turn about z

    def __getitem__(self, index: Tensor) -> Reaches:
        return Reaches(self.pose[index], self.length[index], self.grasp[index], self.rotation[index])


def minimum_jerk(time: Tensor) -> Tensor:
    """Progress 10 t^3 - 15 t^4 + 6 t^5, clamped to [0, 1] outside (Flash and Hogan, 1985)."""
    t = time.clamp(0, 1)
    return t * t * t * (10 + t * (6 * t - 15))


def plan_reaches(
    hand: Hand, grasps: HandPose, size: float, count: int, generator: torch.Generator, settings: ReachSettings
) -> Reaches:
    """Samples `count` clips, of at most MAX_FRAMES frames at FPS, that end at random grasps; `faults` finds
    collisions.

    `grasps` is a HandPose (G,), object frame, z up, `size` the width of the object in Fitts' law, metres; the generator
    is the only source of randomness.
    """
    draw = _Draw(generator, count)
    chosen = draw.integer((0, len(grasps.translation) - 1))
    body = Anatomy.of(hand)
    scene = _face_person(grasps[chosen].rotation @ -body.forward, draw, settings)
    goal = grasps[chosen].moved_by(scene, scene.new_zeros(3))
    start = _start(hand, body, goal, draw, settings)
    clock = _Clock.draw(start, goal, size, draw, settings)
    pose = HandPose(
        _wrist_path(body, start, goal, clock, draw, settings),
        slerp(start.rotation[:, None], goal.rotation[:, None], minimum_jerk(clock.transport / clock.turn_done)),
        _fingers(body, hand, start, goal, clock, draw, settings),
        hand.name,
    )
    return Reaches(_end_at(pose, goal, clock.length), clock.length, chosen, scene)


def faults(
    hand: Hand,
    reaches: Reaches,
    grid: DistanceGrid,
    every: int = 2,
    depth: float = 0.004,
    overlap: float = 0.005,
    forearm: float = 0.035,
) -> dict[str, Tensor]:
    """What a careful person would not have done in each clip: bool (B,) by the name of the fault.

    A clip is at fault if, in any checked frame, every n-th, the hand is more than `depth` deeper in the object than the
    grasp is, overlaps itself by more than `overlap`, goes further below the table than the grasp does, or its forearm
    comes nearer than `forearm` to the object, that is, reaches over it; all in metres. Clips outside
    MIN_FRAMES..MAX_FRAMES are at fault too.
    """
    frames = torch.arange(0, MAX_FRAMES, every)
    pose = HandPose.cat([reaches.pose[:, frames], reaches.pose[:, -1:]], dim=1)
    links = hand.forward_kinematics(pose)
    points = hand.place(links, hand.surface(256))
    body = Anatomy.of(hand)
    arm = pose.translation[..., None, :] - torch.einsum(
        "btij,j,k->btki", pose.rotation, body.forward, torch.tensor([0.10, 0.15, 0.20, 0.25])
    )
    turn = reaches.rotation[:, None]
    deepest = -grid(points @ turn).amin(dim=-1)
    lowest = points[..., 2].amin(dim=-1)
    return {
        "the hand cuts into the object": (deepest > deepest[:, -1:].clamp_min(0) + depth).any(dim=1),
        "the hand goes below the table": (lowest < lowest[:, -1:].clamp_max(0) - 1e-4).any(dim=1),
        "the hand overlaps itself": (self_penetration_depth(hand, links) > overlap).any(dim=1),
        "the forearm reaches over the object": grid(arm @ turn).amin(dim=(-1, -2)) <= forearm,
        "too short or too long": (reaches.length < MIN_FRAMES) | (reaches.length > MAX_FRAMES),
    }


# ------------------------------------------------------------------------------------------------------- random draws


class _Draw:
    """Batches of random numbers from one generator."""

    def __init__(self, generator: torch.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, bounds: tuple[float, float], *shape: int) -> Tensor:
        unit = torch.rand(self.count, *shape, generator=self.generator)
        return bounds[0] + (bounds[1] - bounds[0]) * unit

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.generator)

    def integer(self, bounds: tuple[int, int]) -> Tensor:
        return torch.randint(bounds[0], bounds[1] + 1, (self.count,), generator=self.generator)


@dataclass(frozen=True)
class _Clock:
    """Timing of each clip."""

    transport: Tensor  # (B, T), time since the onset over the duration of the transport; > 1 after arrival
    closed: Tensor  # (B,), likewise, the time at which the fingers are closed
    turn_done: Tensor  # (B, 1), likewise for the orientation
    length: Tensor  # (B,), int64, frames

    @staticmethod
    def draw(start: HandPose, goal: HandPose, size: float, draw: _Draw, settings: ReachSettings) -> _Clock:
        distance = (goal.translation - start.translation).norm(dim=-1)
        duration = (0.55 + 0.21 * torch.log2(1 + 2 * distance / size)) * torch.exp(settings.pace * draw.normal())
        onset = draw.integer(settings.onset)
        closing = draw.uniform(settings.closing)
        moving = ((duration + closing) * FPS).ceil().long()
        time = (torch.arange(MAX_FRAMES) - onset[:, None]).clamp_min(0) / FPS
        return _Clock(
            transport=time / duration[:, None],
            closed=1 + closing / duration,
            turn_done=draw.uniform(settings.turn_done, 1),
            length=onset + moving + draw.integer(settings.hold),
        )


# --------------------------------------------------------------------------------------------------- parts of a reach


def _face_person(forearm: Tensor, draw: _Draw, settings: ReachSettings) -> Tensor:
    """Turn about z that brings the forearm's horizontal direction to the person at -y; (B, 3, 3).

    If the forearm is nearly vertical (a grasp from above) its heading means little, and the turn is random.
    """
    heading = torch.atan2(forearm[:, 1], forearm[:, 0])
    level = forearm[:, :2].norm(dim=-1)
    free = draw.uniform((-torch.pi, torch.pi))
    turn = torch.where(level > 0.3, -torch.pi / 2 - heading + settings.person_spread * draw.normal(), free)
    return rotvec_to_rotmat(torch.stack([torch.zeros_like(turn), torch.zeros_like(turn), turn], dim=-1))


def _start(hand: Hand, body: Anatomy, goal: HandPose, draw: _Draw, settings: ReachSettings) -> HandPose:
    """Start of the hand: back along its retreat and the forearm, on the person's side, above the table."""
    retreat, forearm = goal.rotation @ -body.approach, goal.rotation @ -body.forward
    person = torch.tensor([0.0, -1.0, 0.2])
    mix = draw.uniform((0.2, 0.5), 1)
    direction = _unit(mix * retreat + (1 - mix) * forearm + 0.5 * person + 0.15 * draw.normal(3))
    translation = goal.translation + draw.uniform(settings.distance, 1) * direction
    translation[:, 2].clamp_min_(0.08)
    turn = _unit(draw.normal(3)) * draw.uniform(settings.wrist_turn, 1)
    curl = torch.where(body.flexes, draw.uniform(settings.curl, 1), 1.0)
    rest = hand.rest * curl + settings.joint_noise * draw.normal(hand.num_joints)
    return HandPose(translation, goal.rotation @ rotvec_to_rotmat(turn), hand.clamp(rest), hand.name)


def _wrist_path(
    body: Anatomy, start: HandPose, goal: HandPose, clock: _Clock, draw: _Draw, settings: ReachSettings
) -> Tensor:
    """(B, T, 3): a cubic Bezier curve traversed in minimum-jerk time."""
    reach = goal.translation - start.translation
    distance = reach.norm(dim=-1, keepdim=True)
    up = torch.tensor([0.0, 0.0, 1.0])
    side = _unit(torch.linalg.cross(reach, up.expand_as(reach)))
    raised = draw.uniform(settings.bulge, 1) * distance / 0.4 * up
    bent = draw.uniform((-settings.sideways, settings.sideways), 1) * side
    first = start.translation + reach / 3 + raised + bent
    second = goal.translation - goal.rotation @ body.approach * draw.uniform(settings.retreat, 1)
    s = minimum_jerk(clock.transport.clamp(0, 1) ** draw.uniform(settings.skew, 1)).unsqueeze(-1)
    r = 1 - s
    corners = [start.translation, first, second, goal.translation]
    weights = [r * r * r, 3 * r * r * s, 3 * r * s * s, s * s * s]
    return torch.stack([w * c[:, None] for w, c in zip(weights, corners, strict=True)]).sum(0)


def _fingers(
    body: Anatomy, hand: Hand, start: HandPose, goal: HandPose, clock: _Clock, draw: _Draw, settings: ReachSettings
) -> Tensor:
    """(B, T, J): rest, open with the peak during transport, closed after arrival; each finger lags slightly."""
    opened = hand.clamp(
        torch.where(body.flexes, body.extended + settings.flexion * (goal.joints - body.extended), goal.joints)
        + settings.spread * body.spread
    )
    lag = draw.uniform((0.0, settings.lag), body.num_digits)[:, body.digit]
    peak = draw.uniform(settings.peak, 1) + lag
    time = clock.transport.unsqueeze(-1)
    opening = minimum_jerk(time / peak[:, None])
    closing = minimum_jerk((time - peak[:, None]) / (clock.closed[:, None] - peak)[:, None])
    return (
        start.joints[:, None] + opening * (opened - start.joints)[:, None] + closing * (goal.joints - opened)[:, None]
    )


def _end_at(pose: HandPose, goal: HandPose, length: Tensor) -> HandPose:
    """Sets each clip from its last frame on to the grasp itself, free of rounding."""
    ended = torch.arange(MAX_FRAMES) >= length[:, None] - 1
    return HandPose(
        torch.where(ended[..., None], goal.translation[:, None], pose.translation),
        torch.where(ended[..., None, None], goal.rotation[:, None], pose.rotation),
        torch.where(ended[..., None], goal.joints[:, None], pose.joints),
        pose.hand,
    )


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-9)
