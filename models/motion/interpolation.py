"""Trivial baselines: paths between the last given frame and the goal. Every learned result stands beside them."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...datamodules.types import FUTURE, MotionBatch, MotionSample, MotionState
from ...geometry.rotations import geodesic_distance, slerp
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ..blocks.latent import Source
from .base import MotionModel
from .goal_pull import GoalRefine


class Interpolation(MotionModel):
    """Moves from the current pose to the goal along the straight line (slerp in rotation) by a progress curve.

    It knows the length of the clip, as every interpolation must, and all except `HoldStill` end exactly at the goal, so
    errors of the last frame favour them by construction.
    """

    supports_teacher_forcing = False

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand, n_points=1)

    @abstractmethod
    def progress(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Progress of translation, rotation and joints at a share `time` of the duration, all (...)."""

    def forward(self, state: MotionState) -> HandPose:
        """Predicts the next 10 frames as if the motion started at the current one."""
        return self._path(state.past[:, -1], state.goal, state.time_to_go, FUTURE)

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
        """Computes the whole path at once; only uses `past`, `goal` and `n_frames`. See `MotionModel.rollout`."""
        self._check(past, goal)
        return self._path(past[:, -1], goal, n_frames, int(n_frames.max()))

    def _path(self, start: HandPose, goal: HandPose, n_frames: Tensor, length: int) -> HandPose:
        frame = torch.arange(1, length + 1, device=n_frames.device)
        time = (frame / n_frames[:, None]).clamp(max=1).to(start.translation.dtype)
        translation, rotation, joints = (share.unsqueeze(-1) for share in self.progress(time))
        start, goal = start[:, None], goal[:, None]
        return HandPose(
            start.translation + translation * (goal.translation - start.translation),
            slerp(start.rotation, goal.rotation, rotation.squeeze(-1)),
            start.joints + joints * (goal.joints - start.joints),
            start.hand,
        )


class HoldStill(Interpolation):
    """Does not move: its error is the size of the motion."""

    def progress(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """No progress."""
        still = torch.zeros_like(time)
        return still, still, still


class Linear(Interpolation):
    """Constant speed."""

    def progress(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Progress = time."""
        return time, time, time


class MinimumJerk(Interpolation):
    """The quintic from rest to rest, 10 u^3 - 15 u^4 + 6 u^5 (Flash and Hogan 1985)."""

    def progress(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Progress of the quintic."""
        progress = time**3 * (10 - 15 * time + 6 * time**2)
        return progress, progress, progress


class TimedInterpolation(Interpolation):
    """Follows the mean progress curve of the training clips, one each for translation, rotation and joints.

    The baseline to beat: in a reach the wrist arrives before the fingers close, which this one models.
    """

    curves: Tensor

    def __init__(self, hand: Hand, n_nodes: int = 101) -> None:
        super().__init__(hand)
        self.register_buffer("curves", torch.linspace(0, 1, n_nodes).repeat(3, 1))

    def fit_statistics(self, clips: Sequence[MotionSample], windows: Iterable[MotionBatch]) -> None:
        """Averages the progress curves of the clips over normalised time; a part that never moves gets a line."""
        times = torch.linspace(0, 1, self.curves.shape[1])
        curves = torch.stack([_resample(_clip_progress(clip.pose), times) for clip in clips])
        mean = curves.nanmean(0)
        self.curves.copy_(torch.where(mean.isfinite(), mean, times))

    def progress(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Linear interpolation of the fitted curves."""
        translation, rotation, joints = (_lookup(curve, time) for curve in self.curves)
        return translation, rotation, joints


def _clip_progress(pose: HandPose) -> Tensor:
    """Progress (3, T) of translation, rotation and joints of one clip; NaN for a part that does not move."""
    parts = []
    for x in (pose.translation, pose.joints):
        way = x[-1] - x[0]
        parts.append((x - x[0]) @ way / way.square().sum())
    whole = geodesic_distance(pose.rotation[:1], pose.rotation[-1:])
    rotation = 1 - geodesic_distance(pose.rotation, pose.rotation[-1:]) / whole
    progress = torch.stack([parts[0], rotation, parts[1]])
    return torch.where(progress.isfinite().all(1, keepdim=True), progress, torch.nan)


def _resample(curves: Tensor, times: Tensor) -> Tensor:
    return torch.stack([_lookup(curve, times) for curve in curves])


def _lookup(curve: Tensor, time: Tensor) -> Tensor:
    """Piecewise linear value of `curve` (n,), given on an even grid of [0, 1], at `time` (...)."""
    position = time * (len(curve) - 1)
    left = position.floor().long().clamp(0, len(curve) - 2)
    share = position - left
    return curve[left] * (1 - share) + curve[left + 1] * share
