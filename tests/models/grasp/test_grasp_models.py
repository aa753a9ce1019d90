"""Properties that every grasp model must have; a new model is one more line of GRASP in zoo.py."""

from dataclasses import replace

import lightning as L
import pytest
import torch

from dexzoo.experiments.training.load import load_weights
from dexzoo.losses.weighted import weighted_sum
from dexzoo.models import GraspModel
from tests.models.freeze import frozen, grasp_output
from tests.models.zoo import AS_PUBLISHED, GRASP, IDLE_BIAS
from tests.oracles.grasps import random_grasps, store_of

HEAVY = [pytest.param(name, marks=pytest.mark.slow) if case.slow else name for name, case in GRASP.items()]
AWAY = torch.tensor([3.0, -3.2, 2.4])
CENTRED = [name for name in GRASP if name not in AS_PUBLISHED]
FITTED = [name for name in CENTRED if type(GRASP[name].make().network).fit_statistics is not GraspModel.fit_statistics]


def fitted(name, grasps):
    """The task of a model with the statistics of the grasps."""
    task = GRASP[name].make()
    task.network.fit_statistics(store_of(grasps))
    return task.eval()


def loss_of(task, grasps):
    """The loss of the training, at its final weights."""
    terms = task.network(grasps)
    return weighted_sum({name: terms[name] for name in task.objective.weights}, task.objective.weights)


def drawn(net, points, n=3, seed=7, temperature=1.0):
    with torch.no_grad():
        return net.sample(points, n, torch.Generator().manual_seed(seed), temperature)


@pytest.fixture
def grasps(hand, generator):
    return random_grasps(hand, 8, generator)


@pytest.fixture(params=GRASP)
def task(request, grasps):
    return fitted(request.param, grasps)


def test_terms_are_finite_scalars_and_all_weighted_ones_are_there(task, grasps):
    terms = task.network(grasps)
    assert task.objective.weights.keys() <= terms.keys()
    for name, term in terms.items():
        assert term.shape == (), name
        assert term.isfinite(), name


def test_samples_are_grasps_of_the_hand(task, hand, grasps):
    pose = drawn(task.network, grasps.object_points)
    assert pose.shape == (8, 3)
    assert pose.hand == hand.name
    assert not pose.joints.requires_grad
    assert pose.joints.shape[-1] == hand.num_joints
    torch.testing.assert_close(pose.rotation.mT @ pose.rotation, torch.eye(3).expand(8, 3, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(pose.rotation), torch.ones(8, 3), atol=1e-5, rtol=0)


def test_joints_stay_within_their_limits(task, hand, grasps):
    pose = drawn(task.network, grasps.object_points, temperature=60.0)
    assert ((pose.joints == hand.lower) | (pose.joints == hand.upper)).any()
    hand.check_limits(pose.joints, tolerance=0.0)


def test_samples_depend_on_the_generator_alone(task, grasps):
    first, again, other = (drawn(task.network, grasps.object_points, seed=seed).to_vector() for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert (other - first).abs().max() > 1e-4
    assert (first[:, 0] - first[:, 1]).abs().max() > 1e-4


def test_samples_do_not_depend_on_the_batch(task, grasps):
    together = drawn(task.network, grasps.object_points).to_vector()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        alone = [task.network.sample(points[None], 3, generator).to_vector() for points in grasps.object_points]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-4, rtol=1e-4)


def test_temperature_zero_gives_one_grasp_for_each_object(task, grasps):
    pose = drawn(task.network, grasps.object_points, temperature=0.0).to_vector()
    torch.testing.assert_close(pose[:, 0], pose[:, 2])
    assert (pose[0] - pose[1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", CENTRED)
def test_samples_move_with_the_object(name, grasps):
    """By 5 m."""
    net = fitted(name, grasps).network
    still, moved = (drawn(net, points) for points in (grasps.object_points, grasps.object_points + AWAY))
    torch.testing.assert_close(moved.translation, still.translation + AWAY, atol=2e-4, rtol=0)
    torch.testing.assert_close(moved.rotation, still.rotation, atol=2e-4, rtol=0)
    torch.testing.assert_close(moved.joints, still.joints, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", CENTRED)
def test_no_term_of_the_loss_depends_on_where_the_object_is(name, grasps):
    net = fitted(name, grasps).network
    away = replace(grasps, pose=grasps.pose.moved_by(torch.eye(3), AWAY), object_points=grasps.object_points + AWAY)
    terms = []
    for batch in (grasps, away):
        torch.manual_seed(1)
        with torch.no_grad():
            terms.append(net(batch))
    for name, value in terms[0].items():
        torch.testing.assert_close(terms[1][name], value, atol=1e-4, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")


def test_samples_know_the_object(task, grasps):
    points = grasps.object_points
    wide = points.mean(1, keepdim=True) + 3 * (points - points.mean(1, keepdim=True))
    assert (drawn(task.network, points).to_vector() - drawn(task.network, wide).to_vector()).abs().max() > 1e-4


@pytest.mark.parametrize("name", GRASP)
def test_every_parameter_gets_a_gradient_from_the_loss(name, grasps):
    task = fitted(name, grasps).train()
    loss_of(task, grasps).backward()
    idle = [name for name, p in task.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [parameter for parameter in idle if not any(part in parameter for part in GRASP[name].dead)] == []
    frozen_ones = [name for name, p in task.network.named_parameters() if not p.requires_grad]
    assert all(any(part in parameter for part in GRASP[name].dead) for parameter in frozen_ones)
    learned = [parameter for parameter, p in task.network.named_parameters() if p.requires_grad]
    assert [parameter for parameter in idle if parameter in learned and parameter != IDLE_BIAS] == []


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.slow
def test_overfits_eight_grasps(name, grasps):
    case, task = GRASP[name], fitted(name, grasps).train()
    optimiser = task.make_optimizer([p for p in task.network.parameters() if p.requires_grad])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, case.steps)
    losses = []
    for _ in range(case.steps):
        optimiser.zero_grad()
        loss = loss_of(task, grasps)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert sum(losses[-4:]) < sum(losses[:4]) / case.falls


def test_a_checkpoint_gives_the_same_grasps(task, grasps, tmp_path, request):
    trainer = L.Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path, enable_progress_bar=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    other = GRASP[request.node.callspec.params["task"]].make().eval()
    for parameter in other.network.parameters():
        torch.nn.init.zeros_(parameter)
    load_weights(other, tmp_path / "task.ckpt")
    first, again = (drawn(one.network, grasps.object_points).to_vector() for one in (task, other))
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", GRASP)
def test_outputs_are_frozen(name):
    torch.testing.assert_close(grasp_output(name), frozen(name), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FITTED)
def test_statistics_need_clouds(name, grasps):
    task = GRASP[name].make()
    bare = replace(store_of(grasps), clouds=store_of(grasps).clouds[:, :0])
    with pytest.raises(ValueError, match="grasps: expected objects with clouds, found none"):
        task.network.fit_statistics(bare)


def test_a_number_of_grasps_below_one_is_named(task, grasps):
    with pytest.raises(ValueError, match="n: expected 1 or more grasps per object, found 0"):
        task.network.sample(grasps.object_points, 0)


@pytest.mark.parametrize("name", GRASP)
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 0, 3), r"points: expected clouds \(B, N, 3\) with at least one point, found \(2, 0, 3\)"),
        ((9, 3), r"found \(9, 3\); a single cloud needs a batch dimension, points\[None\]"),
    ],
)
def test_clouds_of_another_shape_are_named(name, shape, message):
    with pytest.raises(ValueError, match=message):
        GRASP[name].make().network.sample(torch.zeros(shape), 1)
