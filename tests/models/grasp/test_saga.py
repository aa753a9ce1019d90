"""SAGA's first stage as a grasp model: its terms against loops, its fit against known poses, its samples."""

import math
from dataclasses import replace
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.datamodules import DemoGrasps
from dexzoo.hands.points import LinkPoints
from dexzoo.models.grasp.refinement.fields import cloud_fields
from dexzoo.models.grasp.saga.fit import FitTargets, GraspFit, _Energy, lay_resting_hand
from dexzoo.models.grasp.saga.model import SagaGrasp
from dexzoo.models.grasp.task import GraspGeneration
from tests.oracles.grasps import distance_to_hand, random_grasps

BARE = partial(GraspFit, contact=0.0, penetration=0.0)
SMALL = {"latent": 4, "width": 32, "centres": (16, 8), "neighbours": (6, 5), "dropout": 0.0}
TERMS = ["points", "object_contact", "hand_contact", "hand_to_object", "object_to_hand", "kl"]
DEAD = {f"contact_net.dec_{kind}{k}.{part}" for kind in ("fc", "bn") for k in (1, 2, 3) for part in ("weight", "bias")}


def tiny(hand, **changes):
    """A small model in evaluation mode, as a test has it."""
    settings = {"n_object_points": 48, "n_hand_points": 24, "fit": BARE(steps=(5, 5, 10)), **SMALL}
    return SagaGrasp(hand, **settings | changes).eval()


@pytest.fixture
def grasps(hand, generator):
    return random_grasps(hand, 6, generator)


@pytest.fixture
def net(hand):
    torch.manual_seed(0)
    return tiny(hand)


def nearest_signed(point, cloud, normals):
    gaps = [math.dist(point, q) for q in cloud.tolist()]
    i = int(np.argmin(gaps))
    return gaps[i] if float(normals[i] @ (point - cloud[i])) >= 0 else -gaps[i]


def cross_entropy(logit, target, positive):
    p = 1 / (1 + math.exp(-logit))
    return -positive * math.log(p) if target else -math.log(1 - p)


def test_terms_equal_a_loop(hand, net, grasps):
    close = replace(grasps, object_points=grasps.object_points[:, :60])
    torch.manual_seed(4)
    terms = net(close)
    assert list(terms) == TERMS
    torch.manual_seed(4)
    noise = torch.randn(6, 4)
    centre = close.object_points.mean(1)
    links = hand.forward_kinematics(close.pose)
    true = hand.place(links, net.surface()) - centre[:, None]
    cloud = close.object_points[:, :48] - centre[:, None]
    depth = distance_to_hand(hand, links, close.object_points[:, :48])
    _, seen = net._see(close.object_points)
    normals = torch.stack([links.rotation[:, k] @ n for k, n in zip(net.surface.link, net.surface.normal, strict=True)])
    sums, touching = dict.fromkeys(TERMS, 0.0), [0, 0]
    gaps = [[nearest_signed(p, cloud[b], seen.features[b]) for p in true[b]] for b in range(6)]
    touch = torch.tensor([[abs(gap) <= 0.005 for gap in row] for row in gaps]).float()
    mean, deviation = net.net.encode(seen, true, touch, (depth <= 0.005).float())
    out = net.net.decode(mean + deviation * noise, seen)
    for b in range(6):
        sums["points"] += (out.points[b] - true[b]).abs().sum().item() / 6
        for m, s in zip(mean[b].tolist(), deviation[b].tolist(), strict=True):
            sums["kl"] += (0.5 * (m * m + s * s - 1) - math.log(s)) / 6
        for i in range(24):
            sums["hand_contact"] += cross_entropy(out.contact[b, i].item(), touch[b, i], 5) / 144
            if touch[b, i]:
                touching[0] += 1
                new = nearest_signed(out.points[b, i].detach(), cloud[b], seen.features[b])
                sums["hand_to_object"] += abs(new - gaps[b][i]) / 144
        for j in range(48):
            inside = bool(depth[b, j] <= 0.005)
            sums["object_contact"] += cross_entropy(out.object_contact[b, j].item(), inside, 3) / 288
            if inside:
                touching[1] += 1
                reach = [nearest_signed(cloud[b, j], hands[b].detach(), normals[:, b]) for hands in (true, out.points)]
                sums["object_to_hand"] += abs(reach[1] - reach[0]) / 288
    assert min(touching) > 0
    for name, value in sums.items():
        assert terms[name].item() == pytest.approx(value, rel=2e-4), name


def test_gradient_reaches_every_parameter_but_the_dead_ones(net, grasps):
    torch.stack([*net.train()(grasps).values()]).sum().backward()
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without == {f"net.{name}" for name in DEAD}


def test_the_resting_hand_is_laid_on_points_as_scipy_does(hand, grasps, generator):
    markers = hand.surface(20)
    points = hand.place(hand.forward_kinematics(grasps.pose), markers)
    points = points + 0.01 * torch.randn(points.shape, generator=generator)
    points[0, :, 0] *= -1  # a mirrored hand fits a reflection best, which is no rotation
    local = hand.place(hand.forward_kinematics(hand.rest_pose()), markers)
    laid = lay_resting_hand(hand, markers, points)
    for b in range(6):
        turn = Rotation.align_vectors(points[b] - points[b].mean(0), local - local.mean(0))[0]
        np.testing.assert_allclose(laid[b, 3:9].view(2, 3).T, turn.as_matrix()[:, :2], atol=1e-5)
        shift = points[b].mean(0).numpy() - turn.apply(local.mean(0))
        np.testing.assert_allclose(laid[b, :3], shift, atol=1e-6)
        assert torch.equal(laid[b, 9:], hand.rest)


def targets_of(hand, markers, grasps, touch=0.0):
    points = hand.place(hand.forward_kinematics(grasps.pose), markers)
    contact = [torch.full(x.shape[:2], touch) for x in (points, grasps.object_points)]
    return FitTargets(points, contact[0], grasps.object_points, contact[1])


def test_the_fit_recovers_poses_from_their_own_points(hand, grasps):
    markers = hand.surface(143)
    pose = BARE(steps=(60, 80, 160))(hand, markers, targets_of(hand, markers, grasps))
    error = hand.place(hand.forward_kinematics(pose), markers) - targets_of(hand, markers, grasps).points
    assert error.norm(dim=-1).mean(-1).max() < 0.001
    hand.check_limits(pose.joints, tolerance=0.0)


def test_the_first_stage_leaves_the_joints_alone(hand, grasps):
    markers = hand.surface(24)
    pose = BARE(steps=(9, 0, 0))(hand, markers, targets_of(hand, markers, grasps))
    assert torch.equal(pose.joints, hand.rest.expand(6, -1))


def test_the_energy_equals_a_loop(hand, grasps):
    markers, more = hand.surface(9), hand.surface(6, seed=1)
    surface = LinkPoints(*(torch.cat([a, b]) for a, b in zip(vars(markers).values(), vars(more).values(), strict=True)))
    targets = FitTargets(*(x[:2] for x in vars(targets_of(hand, markers, grasps, touch=0.7)).values()))
    fields = cloud_fields(targets.object_points)
    settings = GraspFit(contact=3.0, penetration=2.0, n_object=10)
    pose = grasps.pose[:2].moved_by(torch.eye(3), torch.tensor([0.01, -0.02, 0.0]))
    found = _Energy(hand, markers, surface, targets, fields, settings)(pose, physical=True)
    links = hand.forward_kinematics(pose)
    hand_gap = fields(hand.place(links, surface))
    thing_gap = distance_to_hand(hand, links, targets.object_points[:, :10])
    for b in range(2):
        error = (hand.place(links, markers)[b] - targets.points[b]).abs().mean().item()
        pull = np.mean([0.7 * abs(g) for g in hand_gap[b, :9].tolist()])
        pull += np.mean([0.7 * abs(g) for g in thing_gap[b].tolist()])
        push = np.mean([10 * max(-g, 0) for g in hand_gap[b].tolist()])
        push += np.mean([20 * max(-g, 0) for g in thing_gap[b].tolist()])
        assert found[b].item() == pytest.approx(error + 3 * pull + 2 * push, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": (1, 2)}, r"steps: expected three numbers of at least 0, found \[1, 2\]"),
        ({"steps": (1, 2, -3)}, r"steps: expected three numbers of at least 0, found \[1, 2, -3\]"),
        ({"rates": (1, 0, 1)}, r"rates: expected three positive numbers, found \[1, 0, 1\]"),
    ],
)
def test_wrong_settings_of_the_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GraspFit(**arguments)


def test_the_fit_pulls_the_hand_out_of_a_ball(hand, generator):
    """Depth in closed form: the palm of a grasp stands in a ball of 4 cm."""
    direction = torch.nn.functional.normalize(torch.randn(1, 400, 3, generator=generator), dim=-1)
    ball = replace(random_grasps(hand, 1, generator), object_points=0.04 * direction)
    markers, surface = hand.surface(40), hand.surface(300)
    pose = hand.rest_pose(1).moved_by(torch.eye(3), torch.tensor([0.0, -0.03, -0.03]))
    targets = targets_of(hand, markers, replace(ball, pose=pose))
    steps = {"steps": (30, 30, 80), "n_surface": 200, "n_object": 200}

    def depth(fit):
        links = hand.forward_kinematics(fit(hand, markers, targets))
        return (0.04 - hand.place(links, surface).norm(dim=-1)).clamp_min(0).amax().item()

    assert depth(BARE(**steps)) > 0.015
    assert depth(GraspFit(**steps)) < 0.006


def test_samples_follow_the_object_and_keep_the_limits(hand, net, grasps):
    points, shift = grasps.object_points, torch.tensor([0.7, -0.2, 0.4])
    poses = [net.sample(p, 3, torch.Generator().manual_seed(1)) for p in (points, points + shift)]
    assert poses[0].shape == (6, 3)
    torch.testing.assert_close(poses[1].translation, poses[0].translation + shift, atol=1e-3, rtol=0)
    rotation = poses[0].rotation
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(6, 3, 3, 3), atol=1e-5, rtol=0)
    hand.check_limits(poses[0].joints, tolerance=0.0)


def test_samples_depend_on_the_generator_and_not_on_the_batch(net, grasps):
    points = grasps.object_points
    first, again = (net.sample(points, 2, torch.Generator().manual_seed(7)).to_vector() for _ in range(2))
    assert torch.equal(first, again)
    one_by_one = torch.Generator().manual_seed(7)
    alone = torch.cat([net.sample(p[None], 2, one_by_one).to_vector() for p in points])
    torch.testing.assert_close(alone, first, atol=2e-3, rtol=1e-3)
    assert (first[:, 0] - first[:, 1]).abs().max() > 1e-3
    likeliest = net.sample(points, 2, temperature=0.0).to_vector()
    torch.testing.assert_close(likeliest[:, 0], likeliest[:, 1])


def test_samples_are_fitted_to_what_the_decoder_says(hand, grasps):
    """In a trainer's inference mode too, whose tensors take no gradient; with the object's field."""
    seen = []

    class Recorded(GraspFit):
        def __call__(self, hand, markers, targets):
            seen.append(targets)
            return super().__call__(hand, markers, targets)

    net = tiny(hand, fit=Recorded(steps=(20, 0, 2), n_surface=8))
    points = grasps.object_points[:1]
    with torch.inference_mode():
        pose = net.sample(points, 2, torch.Generator().manual_seed(0))
    (targets,) = seen
    centre = points.mean(1, keepdim=True)
    torch.testing.assert_close(targets.object_points, (points - centre)[:, :48].expand(2, -1, -1))
    z = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, obj = net._see(points.expand(2, -1, -1))
        out = net.net.decode(z, obj)
    torch.testing.assert_close(targets.points, out.points)
    torch.testing.assert_close(targets.contact, out.contact.sigmoid())
    torch.testing.assert_close(targets.object_contact, out.object_contact.sigmoid())
    placed = hand.place(hand.forward_kinematics(pose), net.surface()) - centre
    rough = net.fit(hand, net.surface(), targets)
    torch.testing.assert_close(placed[0], hand.place(hand.forward_kinematics(rough), net.surface()), atol=1e-4, rtol=0)


def test_the_task_trains_tests_and_restores_it(tmp_path):
    loss = dict.fromkeys(TERMS, 0.5)
    adam = partial(torch.optim.Adam, lr=1e-3)
    data = DemoGrasps(objects=["mug", "bottle", "bowl", "jar"], batch_size=8, min_grasps_per_epoch=0, eval_grasps=2)

    def task():
        return GraspGeneration(
            tiny, "shadow", loss, {"kl": (0, 0.99)}, adam, n_samples=2, metrics=["contact"], method="saga_grasp"
        )

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = L.Trainer(default_root_dir=tmp_path, max_epochs=1, limit_train_batches=2, **quiet)
    trained = task()
    trainer.fit(trained, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert {f"train/{name}" for name in TERMS} <= trainer.callback_metrics.keys()
    trainer.test(trained, data, verbose=False)
    other = task()
    trainer.test(other, data, ckpt_path=tmp_path / "a.ckpt", verbose=False)
    rows = [[row["pose"] for row in t.results if row["method"] == "saga_grasp"] for t in (trained, other)]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]
