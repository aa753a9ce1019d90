"""A metric of your own: how far the fingertips are spread, beside dexzoo's, without a change of dexzoo.

python examples/own_metric.py
"""

import torch
import trimesh
from torch import Tensor

from dexzoo import HandPose, ObjectAsset, PosedGrasps, load_hand
from dexzoo.metrics import GraspMetric, PenetrationDepth


class FingertipSpread(GraspMetric):
    """Largest distance between two fingertips: cm."""

    key, unit, per_si, source = "fingertip_spread_cm", "cm", 1e2, "this example"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        tips = grasps.hand.keypoints(grasps.links)[:, -len(grasps.hand.fingertip_names) :]
        return torch.cdist(tips, tips).flatten(1).amax(1)


hand = load_hand("shadow")
ball = ObjectAsset.from_mesh(trimesh.creation.icosphere(4, radius=0.04), "ball")
rest = hand.rest_pose(3)
place = torch.tensor([[0.0, 0.04, -0.08], [0.0, 0.05, -0.08], [0.0, 1.0, 0.0]])  # the last hand is a metre away
grasps = PosedGrasps(hand, HandPose(place, rest.rotation, rest.joints, hand.name), ball)
for metric in (FingertipSpread(), PenetrationDepth()):
    metric.update(grasps)  # once per object; compute() is the mean over all grasps, on several devices too
    values = ", ".join(f"{x:.2f}" for x in (metric.measure(grasps) * metric.per_si).tolist())
    print(f"{metric.key:<20} mean {metric.compute():.2f}, each {values}")
