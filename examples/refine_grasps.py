"""Refines grasps of your own, here palms that stand 1 cm too near to a box, and saves them.

python examples/refine_grasps.py OUT.npz
"""

import sys

import torch
import trimesh

from dexzoo import GraspSet, HandPose, ObjectAsset, PosedGrasps, Refiner, grasp_errors, load_hand, save_grasps
from dexzoo.models import GraspFilter

N = 6
hand = load_hand("shadow")
box = ObjectAsset.from_mesh(trimesh.creation.box((0.05, 0.06, 0.12)), "box")
cloud = torch.from_numpy(trimesh.sample.sample_surface_even(box.mesh, 1024, seed=0)[0]).float()  # (1024, 3), metres

# Palms around the box, 1 cm too near: the palm faces along -y of the Shadow hand, the fingers point along z.
turn = torch.arange(N) * 2 * torch.pi / N
out = torch.stack([turn.cos(), turn.sin(), torch.zeros(N)], dim=-1)  # (N, 3), from the box to the palm
up = torch.tensor([0.0, 0.0, 1.0]).expand(N, 3)
side = torch.linalg.cross(up, out)
rotation = torch.stack([up, out, side], dim=-1)  # columns: where the hand's x, y and z point
pose = HandPose(0.055 * out - 0.09 * side, rotation, hand.rest_pose(N).joints, hand.name)

refined = Refiner(steps=150)(hand, pose, cloud.expand(N, -1, -1))  # feels the cloud, as a method would
before, after = (PosedGrasps(hand, p, box) for p in (pose, refined.pose))
for word, grasps in (("before", before), ("after", after)):
    errors = grasp_errors(grasps, ["penetration", "contact"])
    print(
        f"{word:<7} penetration {errors['penetration_cm'].mean():.2f} cm, contact {errors['contact_ratio'].mean():.2f}"
    )
print(f"the filter keeps {int(GraspFilter()(after).kept.sum())} of {N}")
grasps = GraspSet("box", refined.pose.to(torch.float64), torch.ones(N, dtype=torch.float64), torch.arange(N))
save_grasps(sys.argv[1], [grasps], hand)
