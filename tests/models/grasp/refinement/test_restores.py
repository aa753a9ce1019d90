"""What refinement is for: grasps that were pushed into the object or pulled off it hold it again afterwards.

Whether a fingertip touches is measured by libigl's signed distance to the mesh at points of its surface, which the
refinement, with its grid and its probes, does not use.
"""

import pytest
import torch

from dexzoo.datamodules import DemoGrasps
from dexzoo.geometry.meshes import load_mesh
from dexzoo.geometry.sdf import SignedDistance
from dexzoo.grasps.asset import load_asset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands.pose import HandPose
from dexzoo.metrics.columns import grasp_errors
from dexzoo.metrics.functional.simulation import success
from dexzoo.models import Refiner
from dexzoo.models.grasp.refinement.fields import ObjectFields

TOUCH = 0.005
PER_OBJECT = 8


@pytest.fixture(scope="module")
def scenes():
    """Grasps of the three held-out demo objects."""
    data = DemoGrasps(eval_grasps=PER_OBJECT)
    data.setup()
    return list(data.test_dataloader())


def pushed(hand, pose, way, generator):
    """Hands moved `way` metres along the palm's normal, towards the object, and 0.1 rad of noise on each joint."""
    joints = hand.clamp(pose.joints + 0.1 * torch.randn(pose.joints.shape, generator=generator))
    return HandPose(pose.translation - way * pose.rotation[..., 1], pose.rotation, joints, pose.hand)


def tips_touch(hand, pose, batch):
    """(B, 5), bool: a point of the fingertip's link is within 5 mm of the mesh, or inside."""
    skin = hand.surface(1024)
    points = hand.place(hand.forward_kinematics(pose), skin)
    distance = SignedDistance(load_mesh(batch.meshes[0]), backend="igl")(points.flatten(0, 1)).view(points.shape[:2])
    links = [hand.link_names.index(link) for link, _ in hand.spec.fingertips.values()]
    return torch.stack([distance[:, skin.link == link].amin(1) <= TOUCH for link in links], dim=1)


def refined(hand, pose, batch, felt="mesh"):
    if felt == "cloud":
        return Refiner()(hand, pose, batch.object_points).pose
    asset = load_asset(batch.meshes[0], batch.objects[0])
    fields = ObjectFields([asset.grid], torch.zeros(len(batch.names), dtype=torch.long), batch.scale)
    return Refiner(fields="mesh")(hand, pose, batch.object_points, meshes=fields).pose


def mean_of(hand, poses, scenes, metric, key):
    found = []
    for pose, batch in zip(poses, scenes, strict=True):
        grasps = PosedGrasps(hand, pose, load_asset(batch.meshes[0], batch.objects[0]), batch.scale)
        found.append(grasp_errors(grasps, [metric])[key])
    return float(torch.cat(found).mean())


@pytest.mark.slow
@pytest.mark.parametrize("way", [0.005, -0.010])
def test_pushed_grasps_are_brought_back(hand, scenes, generator, way):
    starts = [pushed(hand, batch.pose, way, generator) for batch in scenes]
    ends = [refined(hand, start, batch) for start, batch in zip(starts, scenes, strict=True)]
    assert mean_of(hand, ends, scenes, "penetration", "penetration_cm") < 0.2
    true = torch.cat([tips_touch(hand, batch.pose, batch) for batch in scenes])
    again = torch.cat([tips_touch(hand, end, batch) for end, batch in zip(ends, scenes, strict=True)])
    before = torch.cat([tips_touch(hand, start, batch) for start, batch in zip(starts, scenes, strict=True)])
    assert (again & true).sum() / true.sum() >= 0.9
    if way < 0:
        assert (before & true).sum() / true.sum() < 0.6  # they had been lost


@pytest.mark.slow
def test_what_the_cloud_shows_is_enough_to_hold(hand, scenes, generator):
    """Hands moved by 1 cm any way: refined on the cloud, the share that a squeezing hand holds is that of the mesh."""
    held = {"cloud": [], "mesh": []}
    for batch in scenes:
        way = 0.01 * torch.nn.functional.normalize(
            torch.randn(batch.pose.translation.shape, generator=generator), dim=-1
        )
        start = pushed(hand, batch.pose.moved_by(torch.eye(3), way), 0.0, generator)
        for felt, found in held.items():
            grasps = PosedGrasps(
                hand, refined(hand, start, batch, felt), load_asset(batch.meshes[0], batch.objects[0]), batch.scale
            )
            found.append(success(grasps, protocol="squeeze").success())
    cloud, mesh = (torch.cat(found).double().mean() for found in (held["cloud"], held["mesh"]))
    assert mesh > 0.6
    assert cloud >= mesh - 0.05, f"held {cloud:.3f} by cloud and {mesh:.3f} by mesh"


@pytest.mark.slow
def test_true_grasps_hold_at_least_as_well_afterwards(hand, scenes):
    ends = [refined(hand, batch.pose, batch) for batch in scenes]
    poses = [batch.pose for batch in scenes]
    held = [mean_of(hand, p, scenes, "six_directions", "six_success") for p in (poses, ends)]
    moved = [mean_of(hand, p, scenes, "sim_displacement", "sim_displacement_cm") for p in (poses, ends)]
    assert held[1] >= held[0]
    assert moved[1] <= moved[0] + 0.02
