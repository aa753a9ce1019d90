"""Draws grasps of your own mesh from a trained run, refines, filters and saves them.

dexzoo run model=grasp_flow model.network.contact=null
python examples/sample_grasps.py runs/NAME/TIME mug.obj OUT.npz
"""

import sys

import torch

from dexzoo import GraspSet, ObjectAsset, PosedGrasps, Refiner, grasp_errors, load_run, save_grasps
from dexzoo.geometry import farthest_point_sampling, sample_surface
from dexzoo.models import GraspFilter

run, mesh, out = sys.argv[1:4]
n = 12
task, data = load_run(run)  # the model in eval mode, with the weights of its test
obj = ObjectAsset.from_file(mesh)  # in metres; trimesh converts other units
points = torch.from_numpy(sample_surface(obj.mesh.vertices, obj.mesh.faces, 8 * data.n_object_points)[0])[None].float()
cloud = points[:, farthest_point_sampling(points, data.n_object_points)[0]]  # (1, N, 3), the most spread points first
with torch.no_grad():
    drawn = task.network.sample(cloud, n, torch.Generator().manual_seed(0))[0]  # HandPose (n,), frame of the mesh
refined = Refiner()(task.hand, drawn, cloud.expand(n, -1, -1)).pose
for word, pose in (("drawn", drawn), ("refined", refined)):
    errors = grasp_errors(PosedGrasps(task.hand, pose, obj), ["penetration", "sim_displacement"])
    print(f"{word:<8} " + ", ".join(f"{k} {errors[k].mean():.2f}" for k in ("penetration_cm", "sim_displacement_cm")))
kept = GraspFilter()(PosedGrasps(task.hand, refined, obj)).kept
print(f"the filter keeps {int(kept.sum())} of {n}")
grasps = GraspSet("mine", refined.to(torch.float64), torch.ones(n, dtype=torch.float64), torch.arange(n))
save_grasps(out, [grasps[kept] if kept.any() else grasps], task.hand)

# The same as one command, with tables and pictures: dexzoo sample ckpt=RUN object=mug.obj n=12
