"""Rolls out a trained motion model on a test clip and films it: hand, object, floor and shadow.

dexzoo run model=motionnet
python examples/film_a_reach.py runs/motionnet_demo/TIME OUT.webp [NAME OF THE CLIP]
"""

import sys

import imageio.v3 as imageio
import numpy as np
import torch
import trimesh

from dexzoo import load_run
from dexzoo.geometry import Camera, Ground, load_mesh, render_scene

run, out, *wanted = sys.argv[1:]
size, fps, skin, colour = (840, 840), 15, (0.45, 0.60, 0.85), (0.85, 0.62, 0.35)
task, data = load_run(run)
data.setup("test")
sample = next(clip for clip in data.test if not wanted or clip.name == wanted[0])
fields = (sample.pose[None, :1], sample.goal[None], torch.tensor([len(sample.pose.joints) - 1]))
world = sample.object_points @ sample.object_rotation[0].T + sample.object_translation[0]
pose = task.network.rollout(*fields, world[None], torch.tensor([sample.fps]))[0]  # HandPose (T,), world frame

to_world = np.eye(4)
to_world[:3, :3], to_world[:3, 3] = sample.object_rotation[0], sample.object_translation[0]
obj = load_mesh(sample.mesh).apply_transform(to_world)
frames = [*np.arange(0, len(pose.joints) - 1, sample.fps / fps).round().astype(int), len(pose.joints) - 1]
hands = [task.hand.mesh(pose[int(f)]) for f in frames]
ground = Ground.under([obj, *hands])
shown = [obj, *hands[:: len(hands) // 3]]
shadows = [trimesh.Trimesh(ground.shadow(mesh.vertices), mesh.faces) for mesh in shown]
way = (pose.translation[-1] - pose.translation[0]).numpy()
camera = Camera.framing(
    [(mesh, skin) for mesh in shown + shadows],
    np.cross(way, (0, 0, 1)) / np.linalg.norm(way) + (0, 0, 0.55),
    fov_deg=30,
)
film = np.stack([render_scene([(hand, skin), (obj, colour)], camera, size, ground) for hand in hands])
rows = np.flatnonzero((np.ptp(film, axis=-1) > 20).any((0, 2)))  # those with colour: hand and object, not the floor
film = film[:, max(rows[0] - 30, 0) : rows[-1] + 120]
imageio.imwrite(out, [*film, *[film[-1]] * fps], duration=1000 // fps, loop=0, quality=75)
