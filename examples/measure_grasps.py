"""Measures grasps of any method, in DexGraspNet's, UniDexGrasp's or dexzoo's format.

dexzoo demo --out demo
python examples/measure_grasps.py demo/grasps.npz demo/meshes
"""

import sys
from pathlib import Path

from dexzoo import ObjectAsset, PosedGrasps, grasp_errors, load_grasps, load_hand

grasps, meshes = Path(sys.argv[1]), Path(sys.argv[2])
limit = int(sys.argv[3]) if len(sys.argv) > 3 else 10  # grasps of each object
hand = load_hand("shadow")
metrics = ["penetration", "hand_object", "sim_displacement", "q1"]  # `dexzoo metrics` lists all
for part in load_grasps(grasps, hand):  # one GraspSet per object
    part = part[:limit]
    obj = ObjectAsset.from_file(meshes / f"{part.object}.obj")
    posed = PosedGrasps(hand, part.pose, obj, part.scale, part.upwards())
    errors = grasp_errors(posed, metrics)  # a tensor (B,) for each column, in the unit that its name ends in
    shown = ("penetration_cm", "hand_object_cm3", "sim_displacement_cm", "q1")
    print(f"{part.object:<12} {len(part):>3} grasps  " + "  ".join(f"{k} {errors[k].nanmean():.3f}" for k in shown))

# The same of a whole data set, in processes, resumable, with tables and pictures: dexzoo.evaluate, `dexzoo evaluate`.
