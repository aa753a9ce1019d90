"""Loads a hand, prints its fingertips, and bends it by gradients until a fingertip is where it should be.

python examples/hand_kinematics.py [HAND]
"""

import sys
from dataclasses import replace

import torch

from dexzoo import load_hand

hand = load_hand(sys.argv[1] if len(sys.argv) > 1 else "shadow")  # or shadow_e3m5, mano, the path of your YAML
rest = hand.rest_pose(1)  # HandPose (1,): the palm at the origin, the fingers open
links = hand.forward_kinematics(rest)  # differentiable, batched
points = hand.keypoints(links)  # (1, K, 3), metres: the joints, then the fingertips
print(f"{hand.name}: {hand.num_joints} joints, {len(hand.link_names)} links")
for name, point in zip(hand.keypoint_names, points[0].tolist(), strict=True):
    if name.endswith("_tip"):
        print(f"{name:<16} {' '.join(f'{x:8.4f}' for x in point)}")

tip = next(i for i, name in enumerate(hand.keypoint_names) if name.endswith("_tip"))
aim = replace(rest, joints=rest.joints + 0.5 * (hand.upper - rest.joints))  # half closed, to have a place in reach
target = hand.keypoints(hand.forward_kinematics(aim))[:, tip]
joints = rest.joints.clone().requires_grad_()
optimiser = torch.optim.Adam([joints], lr=0.05)
for _ in range(200):
    reached = hand.keypoints(hand.forward_kinematics(replace(rest, joints=joints)))[:, tip]
    error = (reached - target).square().sum()
    optimiser.zero_grad()
    error.backward()
    optimiser.step()
    with torch.no_grad():
        joints.copy_(hand.clamp(joints))  # within the limits
print(f"{hand.keypoint_names[tip]} is {1e3 * error.item() ** 0.5:.2f} mm from its target")
