"""Every model trains, samples, rolls out and is refined on a device that is not the CPU.

`far` is a device without hardware (`tests.far_device`): it refuses what mixes devices and counts what makes the host
wait. `cuda` runs the same on a GPU, `pytest -m gpu`.
"""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import lightning as L
import pytest
import torch

from dexzoo.hands import load_hand
from dexzoo.hands.mano_standin import write_standin
from dexzoo.losses.contact import palmar_penetration
from dexzoo.losses.energies import joint_limit_energy, keypoint_repulsion_energy, self_penetration_depth
from dexzoo.models import Refiner
from dexzoo.models.grasp.refinement.fields import ObjectFields, cloud_fields
from dexzoo.models.grasp.refinement.task import GraspRefinement
from dexzoo.models.motion import goal_pull
from dexzoo.models.motion.saga import model as saga
from dexzoo.models.motion.saga.optimise import optimise
from tests.far_device import FAR, far_device, far_trainer
from tests.models.conftest import random_pose
from tests.models.small_data import SmallGrasps, SmallMotions
from tests.models.zoo import CONTACT, GRASP, MOTION, PREDICTORS, small_task
from tests.oracles.grasps import random_grasps

PLACES = ["far", pytest.param("cuda", marks=pytest.mark.gpu)]
QUICK = ("timed", "motionnet", "grasp_flow", "contact_map")
"""What a quick run goes through; the others take longer, because every operation is a Python call."""
ALLOWED = {
    "models/published/unidexgrasp_ipdf.py ball_edges: nonzero": "how many points are in a ball is up to the data",
    "models/grasp/refinement/terms.py __call__: nonzero": "only the points in the hand are looked at, few of them",
    "models/motion/flow.py step: copy to the device": "noise of the CPU's generator is the same on every device",
    "models/grasp/refinement/fields.py": "which grasps are of which object, once when grasps leave the batch",
}


def quick_or_slow(*names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture
def grasps(hand, generator):
    """Two each of two ellipsoids."""
    four = random_grasps(hand, 4, generator, points=200)
    return replace(four, object_points=four.object_points[[0, 0, 2, 2]])


@contextmanager
def on(place):
    """The place as (device, trainer, waits); the waits stay empty on a GPU."""
    if place == "far":
        with far_device() as far:
            yield FAR, far_trainer, far.waits
    else:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        quiet |= {"enable_checkpointing": False, "accelerator": "gpu", "devices": 1}
        yield torch.device("cuda:0"), lambda folder, **kw: L.Trainer(default_root_dir=folder, **quiet, **kw), []


def surprising(waits):
    """Those that are not allowed, without their lines, which change."""
    return [wait for wait in waits if not wait.startswith(tuple(ALLOWED))]


class LaterSteps(L.Callback):
    """Collects the waits of all training steps but the first, which may set things up."""

    def __init__(self, waits):
        self.waits, self.found, self.start = waits, [], 0

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.start = len(self.waits)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.found += self.waits[self.start :] if batch_idx else []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", quick_or_slow(*MOTION, *GRASP, *PREDICTORS))
def test_training_validation_and_test(name, place, tmp_path):
    """With the refinement of grasps and the draws and rollouts of motions; no step waits for what is not allowed."""
    task = small_task(name)
    clips = {"clips_per_batch": task.clips_per_batch} if name in MOTION else {}
    data = SmallMotions(tmp_path, **clips) if name in MOTION else SmallGrasps(tmp_path)
    limits = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "limit_test_batches": 1}
    with on(place) as (_, trainer, waits):
        later = LaterSteps(waits)
        if task.trainable:
            trainer(tmp_path, callbacks=[later], gradient_clip_val=1.0, **limits).fit(task, data)
            assert torch.isfinite(torch.cat([p.detach().cpu().flatten() for p in task.network.parameters()])).all()
        trainer(tmp_path, **limits).test(task, data, verbose=False)
    assert surprising(later.found) == []
    modes = {row["refine"] for row in task.results}
    assert modes >= ({"off", "dexzoo"} if name in GRASP else {"off"} if name in MOTION else {"-"})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["off", "linear"])
@pytest.mark.parametrize("name", quick_or_slow(*MOTION))
def test_rollouts(name, mode, place, clips, batch):
    """Drawn and refined. Twice as many frames make the host wait no more often, but for what is allowed."""
    task = MOTION[name].make().eval()
    task.network.fit_statistics(clips, [batch])
    with on(place) as (device, _, waits):
        network, there = task.to(device).network, replace(batch.to(device), goal=batch.past[:, -1].to(device))
        counts = []
        for frames in (20, 40):
            waits.clear()
            pose = network.rollout(
                there.past,
                there.goal,
                torch.full((8,), frames, device=device),
                there.object_points,
                there.fps,
                generator=torch.Generator().manual_seed(1),
                goal_refine=mode,
            )
            counts.append(Counter(waits))
        assert pose.shape == (8, 40)
        assert pose.joints.device == device
    assert surprising((counts[1] - counts[0]).elements()) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", quick_or_slow("motionnet", "saga"))
def test_a_fit_of_a_rollout_to_its_goal(name, place, clips, batch, monkeypatch):
    """The mode `opt`: more steps of the fit make the host wait no more often."""
    task = MOTION[name].make().eval()
    task.network.fit_statistics(clips, [batch])
    with on(place) as (device, _, waits):
        network, there, counts = task.to(device).network, batch.to(device), []
        for steps in (2, 4):
            monkeypatch.setattr(goal_pull, "_STEPS", steps)
            monkeypatch.setattr(saga, "optimise", partial(optimise, steps=steps))
            waits.clear()
            n_frames = torch.full((8,), 10, device=device)
            near = there.past[:, -1]  # is fitted only where the hand is near its goal
            network.rollout(there.past, near, n_frames, there.object_points, there.fps, goal_refine="opt")
            counts.append(Counter(waits))
    assert list((counts[1] - counts[0]).elements()) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("preset", "hand_distance"),
    [("dexzoo", "grid"), ("unidexgrasp", "primitives"), pytest.param("dexzoo", "primitives", marks=pytest.mark.slow)],
)
def test_refinement(preset, hand_distance, place, grasps):
    """Of grasps of two objects with a table, towards a contact map; more steps make the host wait no more often."""
    hand, contact = load_hand("shadow"), CONTACT(load_hand("shadow"))
    plane = torch.tensor([[0.0, 0.0, 1.0, 0.05]]).expand(4, 4)
    with on(place) as (device, _, waits):
        hand, contact, there, counts = hand.to(device), contact.to(device), grasps.to(device), []
        for steps in (2, 4):
            refiner = Refiner(preset, steps=steps, points=32, hand_distance=hand_distance, patience=1)
            waits.clear()
            found = refiner(hand, there.pose, there.object_points, contact, plane.to(device))
            counts.append(Counter(waits))
        assert found.pose.joints.device == found.end.device == device
        assert (found.end <= found.start).all() or preset == "unidexgrasp"
    assert surprising((counts[1] - counts[0]).elements()) == []


@pytest.mark.parametrize("place", PLACES)
def test_an_accelerator_leaves_converged_grasps_in_the_batch_for_some_steps(place, grasps):
    """It comes to the same: places, energies and the number of steps.

    Not the joints that the energy hardly feels: their steps have the sign of a gradient that is rounding.
    """
    hand, refiner = load_hand("shadow"), Refiner(steps=20, points=32, patience=2)
    here = refiner(hand, grasps.pose, grasps.object_points)
    with on(place) as (device, _, _):
        there = refiner(hand.to(device), grasps.pose.to(device), grasps.object_points.to(device)).to("cpu")
    assert 0 < here.steps.min() < 20
    assert torch.equal(there.steps, here.steps)
    torch.testing.assert_close(there.end, here.end, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(there.pose.translation, here.pose.translation, atol=1e-3, rtol=0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fields", ["mesh", pytest.param("cloud", marks=pytest.mark.slow)])
def test_refinement_of_any_grasps(fields, place, tmp_path):
    data = SmallGrasps(tmp_path)
    data.setup()
    with on(place) as (_, trainer, _):
        task = GraspRefinement("shadow", Refiner(steps=2, points=32, fields=fields), CONTACT(load_hand("shadow")))
        batches = torch.utils.data.DataLoader([data.train.batch([0, 1])], batch_size=None)
        trainer(tmp_path).test(task, batches, verbose=False)
        (refined,) = trainer(tmp_path).predict(task, batches)
    assert refined.pose.joints.device.type == "cpu"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["shadow", "shadow_e3m5", "mano", "mano_skeleton"])
def test_hands(name, place, generator, tmp_path, monkeypatch):
    """Kinematics, surface, distances and energies, there and back; the second time nothing is waited for."""
    monkeypatch.setenv("DEXZOO_MANO", str(write_standin(tmp_path / "MANO_RIGHT.pkl")))
    hand = load_hand(name)
    pose, points = random_pose(hand, 2, generator=generator), 0.1 * torch.randn(2, 40, 3, generator=generator)
    surface = hand.surface(64)
    with on(place) as (device, _, waits):
        hand, pose, points, surface = hand.to(device), pose.to(device), points.to(device), surface.to(device)
        for _ in range(2):
            waits.clear()
            joints = pose.joints.clone().requires_grad_()
            links = hand.forward_kinematics(replace(pose, joints=joints))
            keypoints = hand.place(links, hand.penetration_keypoints)
            total = (
                hand.signed_distance(links, points).sum()
                + hand.place(links, surface).sum()
                + keypoint_repulsion_energy(keypoints, hand.penetration_keypoints.link).sum()
                + self_penetration_depth(hand, links).sum()
                + palmar_penetration(hand, links, points).sum()
                + joint_limit_energy(joints, hand.lower, hand.upper).sum()
            )
            total.backward()
        assert joints.grad is not None
        assert joints.grad.device == device
    assert waits == []


def test_fields_of_two_devices_are_refused(grasps):
    """A grid on the GPU, its owner or scale on the CPU: a GPU takes the index in silence, and fails at the scale."""
    fields = cloud_fields(grasps.object_points)
    with far_device():
        grids = [grid.on(FAR) for grid in fields.grids]
        with pytest.raises(
            ValueError, match=r"owner, scale and grids: expected tensors on one device, found cpu, far:0"
        ):
            ObjectFields(grids, fields.owner, fields.scale.to(FAR))
        with pytest.raises(ValueError, match=r"expected tensors on one device, found far:0, cpu"):
            ObjectFields(grids, fields.owner.to(FAR), fields.scale)
        there = ObjectFields(grids, fields.owner.to(FAR), fields.scale.to(FAR))
        distance = there(grasps.object_points.to(FAR)).cpu()
        torch.testing.assert_close(distance, fields(grasps.object_points), atol=1e-6, rtol=0)
        assert all(grid.values.device.type == "cpu" for grid in fields.grids), "those that others hold are not moved"
