"""The reconstruction loss of motion models: a weighted sum of terms, each of which is reported."""

from collections.abc import Mapping

from torch import Tensor, nn

from ..hands.hand import Hand
from ..hands.pose import HandPose
from .functional import joint_error, limit_excess, point_error, rotation_error, smoothness_error
from .weighted import weighted_sum

MOTION_TERMS = ("translation", "rotation", "joints", "keypoints", "points", "smoothness", "limits")


class MotionLoss(nn.Module):
    """Compares predicted frames with the true ones.

    Terms: `translation` (palm, m), `rotation` (palm, rad), `joints` (rad), `keypoints` (the joints of MPJPE, m),
    `points` (fixed surface points, m), `smoothness` (acceleration of the key points, m per frame^2), `limits`
    (excess over the joint limits, rad). A term of weight 0 is not computed.

    Args:
        hand: the hand that moves.
        weights: weight of each term; unknown names raise ValueError.
        n_points: surface points of the `points` term.
    """

    def __init__(self, hand: Hand, weights: Mapping[str, float], n_points: int = 64) -> None:
        super().__init__()
        unknown = sorted(set(weights) - set(MOTION_TERMS))
        if unknown:
            raise ValueError(f"loss.weights: unknown terms {unknown}, expected some of {list(MOTION_TERMS)}")
        self.hand = hand
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        self.surface = hand.surface(n_points)

    def forward(self, prediction: HandPose, target: HandPose, past: HandPose) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the weighted sum and the unweighted terms.

        `prediction`: HandPose (B, F); `target`: HandPose (B, F), the true frames; `past`: HandPose (B, H), the given
        frames.
        """
        # Everything is compared in the frame of the current palm: world coordinates far from the origin would cost
        # float32 digits, and all terms are invariant.
        current = past[:, -1:]
        prediction, target, past = (pose.relative_to(current) for pose in (prediction, target, past[:, -2:]))
        terms = {
            "translation": lambda: point_error(prediction.translation, target.translation),
            "rotation": lambda: rotation_error(prediction.rotation, target.rotation),
            "joints": lambda: joint_error(prediction.joints, target.joints),
            "limits": lambda: limit_excess(prediction.joints, self.hand.lower, self.hand.upper),
        }
        if self.weights.keys() & {"keypoints", "points", "smoothness"}:
            links, true_links = (self.hand.forward_kinematics(pose) for pose in (prediction, target))
            keypoints, true_keypoints = self.hand.keypoints(links), self.hand.keypoints(true_links)
            terms["keypoints"] = lambda: point_error(keypoints, true_keypoints)
            terms["points"] = lambda: point_error(
                self.hand.place(links, self.surface), self.hand.place(true_links, self.surface)
            )
            terms["smoothness"] = lambda: smoothness_error(
                keypoints, true_keypoints, self.hand.keypoints(self.hand.forward_kinematics(past))
            )
        values = {name: terms[name]() for name in self.weights}
        return weighted_sum(values, self.weights), values
