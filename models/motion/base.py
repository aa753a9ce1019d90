"""Interface of motion models, and the autoregressive rollout."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...datamodules.types import FUTURE, PAST, MotionBatch, MotionSample, MotionState
from ...hands.hand import Hand, LinkPoints
from ...hands.pose import HandPose
from ..blocks.latent import Source
from ..blocks.material_points import MaterialPoints
from .goal_pull import GoalRefine, pull_to_goal


class MotionModel(nn.Module, ABC):
    """Base class of models that predict the motion of a hand to a goal grasp.

    Subclasses implement `forward`; they inherit the autoregressive `rollout`, or override it if the whole path is
    computed at once.

    Args:
        hand: the hand that moves; the model keeps its joint order, limits and surface points.
        n_points: number of surface points P^h.

    Attributes:
        is_stochastic: whether rollouts with a generator are random samples.
        supports_teacher_forcing: whether a rollout can restart from the truth at every chunk; models of whole paths
            cannot.
    """

    is_stochastic = False
    supports_teacher_forcing = True

    def __init__(self, hand: Hand, n_points: int) -> None:
        super().__init__()
        self.hand = hand
        self.points = MaterialPoints(hand.surface(n_points))

    @property
    def surface(self) -> LinkPoints:
        """Surface points P^h, fixed to links."""
        return self.points()

    def fit_statistics(self, clips: Sequence[MotionSample], windows: Iterable[MotionBatch]) -> None:
        """Computes statistics from training clips, or windows of them; by default none."""

    @abstractmethod
    def forward(self, state: MotionState) -> HandPose:
        """Predicts the frames t+1..t+10 as HandPose (B, 10), world frame."""

    @torch.no_grad()
    def rollout(
        self,
        past: HandPose,
        goal: HandPose,
        n_frames: Tensor,
        object_points: Tensor,
        fps: Tensor,
        generator: Source = None,
        goal_refine: GoalRefine = "off",
        truth: HandPose | None = None,
    ) -> HandPose:
        """Synthesises clips in chunks of 10 frames.

        Args:
            past: HandPose (B, H >= 1), the given frames; fewer than five are padded by repeating the first.
            goal: HandPose (B,).
            n_frames: (B,), int64, number of frames to synthesise after the given ones.
            object_points: (B, N, 3), metres, world frame.
            fps: (B,).
            generator: the only source of random numbers of a stochastic model, one for all clips or one for each; None
                gives its most likely motion.
            goal_refine: see `pull_to_goal`.
            truth: HandPose (B, >= max n_frames), the true frames after the given ones; if passed, every chunk starts
                from the true history (teacher forcing).

        Returns HandPose (B, max n_frames), the frames after the given ones; frames beyond a clip's own `n_frames` are
        undefined. Raises ValueError: `past` is empty, or `past` or `goal` is of another hand.
        """
        self._check(past, goal)
        frames, chunks = past, []
        total = int(n_frames.max())
        for done in range(0, total, FUTURE):
            if truth is not None:
                frames = HandPose.cat([past, truth[:, :done]], dim=1)
            state = MotionState(
                past=_last(frames),
                goal=goal,
                object_points=object_points,
                time_to_go=(n_frames - done).clamp_min(1).to(fps.dtype),
                fps=fps,
            )
            chunk = self.step(state, generator)
            lower, upper = widened_limits(self.hand, frames[:, -1], goal)
            chunk = replace(chunk, joints=chunk.joints.clamp(lower[:, None], upper[:, None]))
            frame = torch.arange(done + 1, done + FUTURE + 1, device=n_frames.device)
            chunk = pull_to_goal(goal_refine, self.hand, self.surface, chunk, goal, n_frames[:, None] - frame)
            chunks.append(chunk)
            frames = HandPose.cat([frames, chunk], dim=1)
        return HandPose.cat(chunks, dim=1)[:, :total]

    def step(self, state: MotionState, generator: Source) -> HandPose:
        """One chunk of a rollout, HandPose (B, 10); stochastic models sample if there is a generator."""
        return self(state)

    def _check(self, past: HandPose, goal: HandPose) -> None:
        if len(past.shape) != 2 or past.shape[1] < 1:
            raise ValueError(f"past: expected batch shape (B, H >= 1), found {tuple(past.shape)}")
        if goal.hand != self.hand.name or past.hand != self.hand.name:
            raise ValueError(
                f"this model moves the hand {self.hand.name!r}, found past of {past.hand!r} and goal of {goal.hand!r}; "
                "convert them with Hand.convert"
            )


def _last(frames: HandPose) -> HandPose:
    """The last five frames; if there are fewer, the first one is repeated."""
    missing = PAST - frames.shape[1]
    if missing <= 0:
        return frames[:, -PAST:]
    return HandPose.cat([frames[:, :1]] * missing + [frames], dim=1)


def widened_limits(hand: Hand, current: HandPose, goal: HandPose) -> tuple[Tensor, Tensor]:
    """Joint limits (B, J), radians, widened if given poses (B,) themselves exceed them (real hyperextension)."""
    lower = torch.minimum(torch.minimum(current.joints, goal.joints), hand.lower)
    return lower, torch.maximum(torch.maximum(current.joints, goal.joints), hand.upper)
