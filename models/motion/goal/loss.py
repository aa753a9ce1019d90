"""Loss of GOAL-hand: that of GOAL's MNet (Taheri et al., CVPR 2022) without the foot terms."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ....datamodules.types import MotionBatch
from ....hands.hand import Hand, LinkPoints
from ....hands.pose import HandPose
from ....losses.ramp import Ramp
from ....losses.weighted import weighted_sum
from .model import GoalPrediction

GOAL_WEIGHTS = ("points", "pose", "near", "offset")
_NEAR_POSE, _NEAR_OFFSET = 0.3, 0.4  # metres within which the weight of proximity gains 1


class GoalLoss(nn.Module):
    """w_v V + (w_v + 3) Vx + w_p P + w_p / 2 T + w_r / 2 RH + w_r RHx + w_c D with the annealed weights w.

    `points` V and `points_head` Vx: mean absolute error per coordinate of the surface points, of the decoded pose and
    of the points head. `pose` P: mean squared error of rotation matrices over wrist and joints; a revolute joint with
    error d contributes (4/9)(1 - cos d), which equals that error. `translation` T, absolute. `near`, `near_head`: V and
    Vx times 1[d < 0.3 m] + exp(-10 d), d the smallest distance of a point from its goal position at t. `offset` D:
    error of the distance head, times 1[d_k < 0.4 m] + exp(-10 d_k) with that distance at t+k.

    Args:
        hand: the hand that moves.
        ramps: w_v `points`, w_p `pose`, w_r `near` and w_c `offset`, each (start, end, first, last), the last two in
            shares of the training, see `Ramp`.

    Raises ValueError: names other than these four, or an invalid ramp.
    """

    def __init__(self, hand: Hand, ramps: Mapping[str, Sequence[float]]) -> None:
        super().__init__()
        if set(ramps) != set(GOAL_WEIGHTS):
            raise ValueError(f"loss: expected the weights {list(GOAL_WEIGHTS)}, found {sorted(ramps)}")
        self.hand = hand
        wrong = {name: list(ramp) for name, ramp in ramps.items() if len(ramp) != 4}
        if wrong:
            raise ValueError(f"loss: expected ramps [start, end, first, last], found {wrong}")
        self.ramps = {name: Ramp(*ramp) for name, ramp in ramps.items()}

    def weights(self, progress: float) -> dict[str, float]:
        """Weight of each term after this share of the training."""
        points, pose, near, offset = (self.ramps[name].value_at(progress) for name in GOAL_WEIGHTS)
        return {
            "points": points,
            "points_head": points + 3,
            "pose": pose,
            "translation": pose / 2,
            "near": near / 2,
            "near_head": near,
            "offset": offset,
        }

    def forward(
        self, prediction: GoalPrediction, batch: MotionBatch, surface: LinkPoints, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the weighted sum and the unweighted terms.

        `prediction`: predictions for the windows of `batch`; `batch`: windows; `surface`: the N surface points of the
        model; `progress`: completed share of the training.
        """
        terms = self.terms(prediction, batch, surface)
        return weighted_sum(terms, self.weights(progress)), terms

    def terms(self, prediction: GoalPrediction, batch: MotionBatch, surface: LinkPoints) -> dict[str, Tensor]:
        """The unweighted terms, scalars in SI units."""
        current = batch.past[:, -1:]
        pose, truth = prediction.pose.relative_to(current), batch.future.relative_to(current)
        points, true_points = (self._points(p, surface) for p in (pose, truth))
        goal = prediction.features.target_points[:, None]
        decoded, head = ((p - true_points).abs().mean((-1, -2, -3)) for p in (points, prediction.points))
        near = _proximity(prediction.features.displacement, _NEAR_POSE)
        near_later = _proximity(true_points - goal, _NEAR_OFFSET)
        offset = (prediction.displacement - (true_points - goal)).abs().mean((-1, -2))
        return {
            "points": decoded.mean(),
            "points_head": head.mean(),
            "pose": _pose_error(pose, truth),
            "translation": (pose.translation - truth.translation).abs().mean(),
            "near": (near * decoded).mean(),
            "near_head": (near * head).mean(),
            "offset": (near_later * offset).mean(),
        }

    def _points(self, pose: HandPose, surface: LinkPoints) -> Tensor:
        # Posed points are component-major in memory, those of the heads point-major; mixing the two is slow.
        return self.hand.place(self.hand.forward_kinematics(pose), surface).contiguous()


def _proximity(displacement: Tensor, near: float) -> Tensor:
    """1[d < near] + exp(-10 d) with d the smallest length; (..., N, 3) -> (...)."""
    distance = displacement.norm(dim=-1).amin(-1)
    return (distance < near) + torch.exp(-10 * distance)


def _pose_error(pose: HandPose, truth: HandPose) -> Tensor:
    wrist = (pose.rotation - truth.rotation).square().mean((-1, -2))
    joints = 4 / 9 * (1 - torch.cos(pose.joints - truth.joints))
    return torch.cat([wrist[..., None], joints], dim=-1).mean()
