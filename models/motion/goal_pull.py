"""Pulls the end of a rollout onto the goal (the role of GOAL's post-optimisation; Taheri et al. 2022, section 3.3)."""

from typing import Literal, get_args

import torch
from torch import Tensor

from ...datamodules.types import FUTURE
from ...hands.hand import Hand, LinkPoints
from ...hands.pose import HandPose

GoalRefine = Literal["off", "linear", "opt"]
CLOSE = 0.10
"""metres: refinement only acts when a point of the hand is this close to its goal position (GOAL)."""
WINDOW = FUTURE
"""Number of frames before the last one over which the pull grows from 0 to 1."""
_STEPS = 200
"""Adam steps of the fit."""


def check_mode(mode: str) -> None:
    """Raises ValueError if `mode` is not one of `GoalRefine`."""
    if mode not in get_args(GoalRefine):
        raise ValueError(f"goal_refine: expected one of {get_args(GoalRefine)}, found {mode!r}")


def arrival_weights(frames_left: Tensor) -> Tensor:
    """Fraction of the path to the goal, 0 before the last WINDOW frames and 1 at the last one, with constant
    deceleration.

    GOAL derives it from the speed of the hand, because it decides when to stop; here the number of frames is given
    (RealDex, section 5.3), so the pull is tied to the frames left and arrives exactly at the last one.
    `frames_left` (...), number of frames from each frame to the clip's last one; negative after the end.
    """
    return 1 - (frames_left.clamp(0, WINDOW) / WINDOW) ** 2


def pull_to_goal(
    mode: GoalRefine, hand: Hand, surface: LinkPoints, chunk: HandPose, goal: HandPose, frames_left: Tensor
) -> HandPose:
    """Refines one chunk of predicted frames.

    Args:
        mode: `off` returns the chunk; `linear` blends each pose with the goal by its arrival weight (straight line in
            translation and joints, slerp in rotation), so the network's path is preserved; `opt` blends the surface
            points likewise and fits poses to them by gradient descent.
        hand: the hand.
        surface: surface points that determine closeness and that `opt` fits.
        chunk: HandPose (B, F), world frame.
        goal: HandPose (B,).
        frames_left: (B, F), see `arrival_weights`.

    Raises ValueError: unknown mode.
    """
    check_mode(mode)
    if mode == "off":
        return chunk
    goal = goal[:, None]
    points, goal_points = (hand.place(hand.forward_kinematics(pose), surface) for pose in (chunk, goal))
    closest = (points - goal_points).norm(dim=-1).amin((-1, -2))
    weights = arrival_weights(frames_left) * (closest < CLOSE)[:, None]
    if mode == "linear":
        pulled, near = chunk.interpolate(goal, weights), weights > 0
        return HandPose(
            torch.where(near[..., None], pulled.translation, chunk.translation),
            torch.where(near[..., None, None], pulled.rotation, chunk.rotation),
            torch.where(near[..., None], pulled.joints, chunk.joints),
            chunk.hand,
        )
    if not weights.any():  # the host waits for an accelerator here, which a fit justifies
        return chunk
    return _fit(hand, surface, chunk, goal, points + weights[..., None, None] * (goal_points - points), weights)


@torch.inference_mode(False)
@torch.enable_grad()
def _fit(
    hand: Hand, surface: LinkPoints, chunk: HandPose, goal: HandPose, targets: Tensor, weights: Tensor
) -> HandPose:
    """Adam with rate 5e-3 on wrist and joints, with those of GOAL's terms that exist for a hand.

    20 x points + 0.1 x joints relative to the goal + 20 x (wrist rotation + 0.02 x joints) relative to the blended
    poses that it starts from. Body, left hand and gaze have no counterpart; GOAL's term on the offsets between hand and
    object equals that on points for a static object.
    """
    # In a test, inputs are inference tensors, which allow no gradient; their copies do.
    chunk, goal, targets, weights = chunk.map(torch.clone), goal.map(torch.clone), targets.clone(), weights.clone()
    start = chunk.interpolate(goal, weights)
    step = torch.zeros(*chunk.shape, 6 + chunk.joints.shape[-1], device=targets.device, dtype=targets.dtype)
    step.requires_grad_()
    optimiser = torch.optim.Adam([step], lr=5e-3)
    near = torch.exp(-5 * (1 - weights))[..., None]
    active = (weights > 0)[..., None]
    for _ in range(_STEPS):
        moved = _stepped(start, step)
        points = hand.place(hand.forward_kinematics(moved), surface)
        loss = (
            20 * (points - targets).abs().mean((-1, -2)).sum()
            + 0.1 * (near * (moved.joints - goal.joints)).square().mean(-1).sum()
            + 20 * (moved.rotation - start.rotation).square().mean((-1, -2)).sum()
            + 0.4 * (moved.joints - start.joints).square().mean(-1).sum()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return _stepped(start, (step * active).detach())


def _stepped(start: HandPose, step: Tensor) -> HandPose:
    change = HandPose.from_vector(step, start.hand)
    return HandPose(
        start.translation + change.translation,
        start.rotation @ change.rotation,
        start.joints + change.joints,
        start.hand,
    )
