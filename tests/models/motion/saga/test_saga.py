"""SAGA-hand in training: what its networks see and the fit, against loops and scipy; the loss."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp
from torch.distributions import Normal, kl_divergence

from dexzoo.models.motion.saga import SagaLoss
from dexzoo.models.motion.saga.fit import fit_joints
from dexzoo.models.motion.saga.image import (
    ImageScale,
    fingertip_contact,
    frame_positions,
    local_points,
    resample,
    tip_depths,
    velocities,
)
from tests.models.motion.saga.saga_cases import LENGTHS, TINY, WEIGHTS


def canonical(batch):
    return resample(batch.pose.relative_to(batch.pose[:, :1]), frame_positions(batch.length))


# What the networks see


def test_clips_are_resampled_as_scipy_does(batch):
    pose = resample(batch.pose, frame_positions(batch.length))
    assert pose.shape == (6, 62)
    for b, n in enumerate(LENGTHS):
        time = np.minimum(np.arange(62) / 60, 1) * (n - 1)
        turns = Slerp(np.arange(n), Rotation.from_matrix(batch.pose.rotation[b, :n].numpy()))
        np.testing.assert_allclose(pose.rotation[b], turns(time.clip(max=n - 1)).as_matrix(), atol=1e-5)
        for name in ("translation", "joints"):
            rows = getattr(batch.pose, name)[b, :n].numpy()
            expected = np.stack([np.interp(time, np.arange(n), row) for row in rows.T], axis=1)
            np.testing.assert_allclose(getattr(pose, name)[b], expected, atol=1e-5)


def test_velocities_lead_back_to_the_clip(batch):
    """Added up one by one they give the path: nothing of it is lost."""
    pose = canonical(batch).to(torch.float64)
    rate = velocities(pose.translation, pose.rotation)
    assert rate.shape == (6, 61, 6)
    for b in range(6):
        R, t = np.eye(3), np.zeros(3)
        for k in range(61):
            t = t + R @ rate[b, k, :3].numpy()
            R = R @ Rotation.from_rotvec(rate[b, k, 3:].numpy()).as_matrix()
            np.testing.assert_allclose(t, pose.translation[b, k + 1], atol=1e-4)
            np.testing.assert_allclose(R, pose.rotation[b, k + 1], atol=1e-4)


def test_images_are_those_of_a_loop(hand, batch, generator):
    pose, surface = canonical(batch), hand.surface(5)
    scale, rate = ImageScale(5, 2), velocities(pose.translation, pose.rotation)
    points = local_points(hand, surface, pose.joints[:, :61])
    scale.fit(points.flatten(0, 1), rate.flatten(0, 1))
    touch = torch.rand(6, 2, 61, generator=generator).round()
    image = scale.stack(torch.cat([scale.body(points), touch], dim=1), rate)
    assert image.shape == (6, 7, 20, 61)
    world = hand.place(hand.forward_kinematics(pose), surface)
    every = points.reshape(-1, 5, 3).double().numpy()
    mean = every.mean(0)
    sd = math.sqrt(((every - mean) ** 2).mean())
    flat = rate.double().numpy()
    means, sds = [], []
    for part in (flat[..., :3], flat[..., 3:]):
        means += [part.mean()] * 3
        sds += [part.std(ddof=1)] * 3
    for b, t in ((0, 0), (2, 17), (5, 60)):
        assert image[b, 0, :3, t].tolist() == [0, 0, 0]
        for p in range(5):
            seen = pose.rotation[b, t].T @ (world[b, t, p] - pose.translation[b, t])
            for axis in range(3):
                expected = (seen[axis].item() - mean[p, axis]) / sd
                assert image[b, 0, 3 + 3 * p + axis, t].item() == pytest.approx(expected, abs=1e-4)
        assert image[b, 0, 18:, t].tolist() == touch[b, :, t].tolist()
        for c in range(6):
            expected = (flat[b, t, c] - means[c]) / sds[c]
            assert image[b, 1 + c, :, t].tolist() == pytest.approx([expected] * 20, abs=1e-4)
    torch.testing.assert_close(scale.points(image[:, 0]), points, atol=1e-6, rtol=0)
    masked = scale.masked(points[:, [0, 60]])
    assert torch.equal(masked[:, :18, [0, 60]], image[:, 0, :18, [0, 60]])
    assert not masked[:, :18, 1:60].any()
    assert not masked[:, 18:].any()


def test_contacts_are_those_of_a_kd_tree(hand, batch):
    """A cloud dense enough that some fingertips touch and some do not."""
    pose = canonical(batch)
    cloud = 0.15 * torch.randn(6, 3000, 3)
    depths = tip_depths(hand)
    touch = fingertip_contact(hand, pose, cloud, depths, 0.005)
    tips = hand.keypoints(hand.forward_kinematics(pose))[..., -5:, :]
    for b in range(6):
        distance = cKDTree(cloud[b].numpy()).query(tips[b].reshape(-1, 3).numpy())[0].reshape(62, 5)
        assert torch.equal(touch[b].bool(), torch.from_numpy(distance - depths.numpy() < 0.005))
    assert 0.02 < touch.mean() < 0.98


def test_a_fingertip_lies_as_deep_as_its_capsule_says(hand):
    capsules = hand.capsules
    for (link, offset), depth in zip(hand.spec.fingertips.values(), tip_depths(hand).tolist(), strict=True):
        expected = []
        for i in np.flatnonzero(capsules.link.numpy() == hand.link_names.index(link)):
            start, end = capsules.start[i].numpy(), capsules.end[i].numpy()
            share = np.clip((np.asarray(offset) - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
            nearest = start + share * (end - start)
            expected.append(capsules.radius[i].item() - math.dist(offset, nearest))
        assert depth == pytest.approx(max(expected), abs=1e-5)


def test_the_goal_is_frame_60_in_training_and_synthesis(model, batch):
    """The condition and the truth agree in both end frames; the published code has its goal at 60, then at 61."""
    out = model.predict(batch)
    condition = model._path_condition(batch.goal.relative_to(batch.pose[:, 0])).unflatten(1, (62, 9))
    torch.testing.assert_close(out.true_path[:, [0, 60, 61]], condition[:, [0, 60, 61]], atol=1e-4, rtol=0)
    ends = local_points(model.hand, model.surface, torch.stack([batch.pose.joints[:, 0], batch.goal.joints], dim=1))
    given = model.image_scale.masked(ends)[:, : model.image_scale.n_body, [0, 60]]
    torch.testing.assert_close(given, out.true_body[:, :, [0, 60]], atol=1e-4, rtol=0)


# The fit


def test_fit_finds_the_joints_of_given_points(hand, generator):
    share = torch.rand(64, 22, generator=generator)
    joints, surface = hand.lower + share * (hand.upper - hand.lower), hand.surface(79)
    points = local_points(hand, surface, joints)
    limits = [x.expand(64, -1) for x in (hand.lower, hand.upper)]
    found = fit_joints(hand, surface, points, hand.rest.expand(64, -1), *limits)
    torch.testing.assert_close(found, joints, atol=1e-3, rtol=0)


def test_fit_is_one_of_absolute_errors(hand, generator):
    """One point that is far off moves nothing; it would, if errors were squared."""
    share = 0.2 + 0.6 * torch.rand(16, 22, generator=generator)
    joints, surface = hand.lower + share * (hand.upper - hand.lower), hand.surface(200)
    points = local_points(hand, surface, joints)
    on_the_tip = surface.link.tolist().index(hand.link_names.index("ffdistal"))
    points[:, on_the_tip] += 0.05
    limits = [x.expand(16, -1) for x in (hand.lower, hand.upper)]
    found = fit_joints(hand, surface, points, hand.rest.expand(16, -1), *limits)
    assert (local_points(hand, surface, found) - local_points(hand, surface, joints)).norm(dim=-1).max() < 5e-4


def test_fit_keeps_limits(hand):
    joints = hand.rest.clone()
    joints[[3, 7]] = hand.upper[[3, 7]] + 0.3
    surface = hand.surface(79)
    limits = [x[None] for x in (hand.lower, hand.upper)]
    found = fit_joints(hand, surface, local_points(hand, surface, joints)[None], hand.rest[None], *limits)
    assert ((found >= hand.lower) & (found <= hand.upper)).all()
    assert found[0, [3, 7]].tolist() == pytest.approx(hand.upper[[3, 7]].tolist())


# The loss


def test_the_terms_are_those_of_a_loop(model, batch):
    out = model.predict(batch)
    terms = SagaLoss(WEIGHTS).terms(out)
    body, path = (out.body - out.true_body).abs(), (out.path - out.true_path).abs()
    assert terms["body"].item() == pytest.approx(body.mean().item(), rel=1e-5)
    assert terms["path"].item() == pytest.approx(path.mean().item(), rel=1e-5)
    assert terms["path_first"].item() == pytest.approx(path[:, 0].mean().item(), rel=1e-5)
    assert terms["path_last"].item() == pytest.approx(path[:, 60].mean().item(), rel=1e-5)
    steps = [((out.body[..., t + 1] - out.body[..., t]) - (out.true_body[..., t + 1] - out.true_body[..., t])).abs()
             for t in range(60)]  # fmt: skip
    assert terms["body_velocity"].item() == pytest.approx(torch.stack(steps).mean().item(), rel=1e-4)
    steps = [((out.path[:, t + 1] - out.path[:, t]) - (out.true_path[:, t + 1] - out.true_path[:, t])).abs()
             for t in range(61)]  # fmt: skip
    assert terms["path_velocity"].item() == pytest.approx(torch.stack(steps).mean().item(), rel=1e-4)
    p, y = out.contact.sigmoid(), out.true_contact
    assert terms["contact"].item() == pytest.approx(-(y * p.log() + (1 - y) * (1 - p).log()).mean().item(), rel=1e-4)
    for name, (mean, log_variance) in (("path_kl", out.path_posterior), ("image_kl", out.image_posterior)):
        posterior = Normal(mean.double(), (log_variance / 2).exp().double())
        divergence = kl_divergence(posterior, Normal(torch.zeros(()).double(), torch.ones(()).double())).mean().item()
        assert terms[name].item() == pytest.approx(math.sqrt(1 + divergence**2) - 1, rel=1e-3, abs=1e-7)
    total = SagaLoss(WEIGHTS)(out)[0].item()
    assert total == pytest.approx(sum(WEIGHTS[name] * term.item() for name, term in terms.items()), rel=1e-5)


def test_a_perfect_motion_costs_nothing(model, batch):
    out = model.predict(batch)
    terms = SagaLoss(WEIGHTS).terms(replace(out, path=out.true_path, body=out.true_body))
    assert all(terms[name] == 0 for name in SagaLoss(WEIGHTS).weights if "kl" not in name and name != "contact")


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match=r"loss: expected the weights \['body', .*\], found \['body'\]"):
        SagaLoss({"body": 1.0})


def test_every_parameter_is_trained(hand, model, batch):
    model.train()
    SagaLoss(WEIGHTS)(model.predict(batch))[0].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("end_to_end", [True, False])
def test_the_image_teaches_the_path_end_to_end(model, batch, end_to_end):
    model.train()
    SagaLoss(WEIGHTS).terms(model.predict(batch, end_to_end))["body"].backward()
    reached = [p.grad is not None and bool(p.grad.any()) for p in model.traj_fill.dec2.parameters()]
    assert all(reached) if end_to_end else not any(reached)


def test_contacts_need_a_cloud_or_a_setting(hand, whole, batch):
    bare = replace(batch, object_points=batch.object_points[:, :0])
    with pytest.raises(ValueError, match=r"object_points: .* found none; .* or set contacts=False"):
        TINY(hand).predict(bare)
    model = TINY(hand, contacts=False)
    model.fit_statistics(whole, [])
    out = model.predict(bare)
    assert out.contact.shape == (6, 0, 61)
    assert "contact" not in SagaLoss(WEIGHTS)(out)[1]
