"""The flow of motions: its error against a loop, its steps against exact fields, its noise, its task."""

from dataclasses import replace
from functools import partial

import lightning as L
import pytest
import torch

from dexzoo.hands.pose import HandPose
from dexzoo.models.motion.features import pose_to_offsets
from dexzoo.models.motion.flow import FlowSynthesis, MotionFlow
from tests.models.motion.test_task import SixClips

TINY = partial(MotionFlow, n_points=12, n_object_points=16, width=64, blocks=2)
ADAM = partial(torch.optim.Adam, lr=1e-3)


class Field(torch.nn.Module):
    """Ends known in closed form."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, x, time, feature):
        return self.of(x, time)


@pytest.fixture
def net(hand, clips, batch):
    torch.manual_seed(0)
    net = TINY(hand).eval()
    net.fit_statistics(clips, [batch])
    return net


def ends(net, batch):
    """Standardised offsets (8, 10, 9 + J), number after number."""
    rows = torch.zeros(8, 10, net.n_pose)
    for b in range(8):
        now = batch.past[b, -1]
        for k in range(10):
            then = batch.future[b, k]
            moved = now.rotation.T @ (then.translation - now.translation)
            turned = now.rotation.T @ then.rotation
            rows[b, k] = torch.cat([moved, turned[:, 0], turned[:, 1], then.joints - now.joints])
    return ((rows - net.offsets.mean) / net.offsets.sd).flatten(1)


def rollout(net, batch, generator=None, frames=25, **kwargs):
    count = torch.full((len(batch.fps),), frames)
    return net.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps, generator, **kwargs)


def test_the_error_is_that_of_the_definition(net, batch):
    seen = {}

    def field(x, time):
        seen.update(x=x, time=time)
        return 2 * x + time

    net.end = Field(field)
    torch.manual_seed(5)
    guess, error = net.guess(batch)
    end = ends(net, batch)
    torch.manual_seed(5)
    time, noise = torch.rand(8, 1), torch.randn(8, net.size)
    for b in range(8):
        t = time[b].item()
        for i in range(0, net.size, 7):
            x = (1 - t) * noise[b, i] + t * end[b, i]
            assert error[b, i].item() == pytest.approx((2 * x + t - end[b, i]).item() ** 2, rel=2e-3, abs=1e-4)
    offsets = (2 * seen["x"] + seen["time"]).unflatten(1, (10, -1)) * net.offsets.sd + net.offsets.mean
    now = batch.past[:, -1]
    for k in (0, 9):
        expected = now.translation + (now.rotation @ offsets[:, k, :3, None]).squeeze(-1)
        torch.testing.assert_close(guess.translation[:, k], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(guess.joints[:, k], now.joints + offsets[:, k, 9:], atol=1e-5, rtol=0)


def test_the_exact_field_of_one_motion_has_no_error_and_leads_to_it(net, batch):
    end = ends(net, batch)
    net.end = Field(lambda x, time: end)
    assert net.guess(batch)[1].max() < 1e-6
    for net.steps in (1, 3):
        out = net.step(batch, torch.Generator().manual_seed(0))
        for name in ("translation", "rotation", "joints"):
            torch.testing.assert_close(getattr(out, name), getattr(batch.future, name), atol=1e-4, rtol=0)


def test_steps_follow_the_velocity_of_the_field(net, batch):
    """Euler steps of v = (end - x) / (1 - t), written out; they approach the solution in closed form."""
    net.end = Field(lambda x, time: x + (1 - time) * (3 * time - x))  # v = 3 t - x: x(1) = 3 / e from x(0) = 0
    for net.steps in (2, 400):
        x = 0.0
        for k in range(net.steps):
            t = k / net.steps
            x = x + (3 * t - x) / net.steps
        offsets = (net(batch).translation - batch.past[:, -1:].translation).squeeze(-1)
        local = (batch.past[:, -1].rotation.mT[:, None] @ offsets[..., None]).squeeze(-1)
        state = (local - net.offsets.mean[:, :3]) / net.offsets.sd[:, :3]
        torch.testing.assert_close(state, torch.full_like(state, x), atol=1e-3, rtol=0)
    assert x == pytest.approx(3 / torch.e, abs=5e-3)


def test_the_exact_field_of_two_motions_leads_to_both_equally_often(net, batch):
    """The marginal end of a flow from N(0, I) to two points, E[x_1 | x_t] (Lipman et al., equation 8)."""
    two = torch.zeros(2, net.size)
    two[0, 0], two[1, 0] = -4.0, 4.0

    def field(x, time):
        nearness = -(x.unsqueeze(1) - time.unsqueeze(-1) * two).square().sum(-1) / (2 * (1 - time) ** 2)
        return nearness.softmax(-1) @ two

    net.end, net.steps = Field(field), 16
    generator = torch.Generator().manual_seed(0)
    x = net._carry(torch.randn(400, net.size, generator=generator), torch.zeros(400, 1))[:, 0]
    assert (x.abs() > 3.9).float().mean() > 0.95
    assert 150 < int((x > 0).sum()) < 250


def test_every_chunk_starts_from_noise_of_its_own(net, batch):
    seen = []

    def field(x, time):
        if not time.any():
            seen.append(x)
        return x

    net.end = Field(field)
    rollout(net, batch, torch.Generator().manual_seed(4))
    rollout(net, batch)
    noise = torch.stack(seen[:3])
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    assert abs(torch.corrcoef(noise.flatten(1))[0, 1:]).max() < 0.1
    assert len(seen) == 6
    assert not torch.stack(seen[3:]).any()


def test_draws_follow_the_generator_and_not_the_global_one(net, batch):
    torch.manual_seed(1)
    first = rollout(net, batch, torch.Generator().manual_seed(7)).to_vector()
    torch.manual_seed(2)
    assert torch.equal(first, rollout(net, batch, torch.Generator().manual_seed(7)).to_vector())
    assert (first - rollout(net, batch, torch.Generator().manual_seed(8)).to_vector()).abs().max() > 1e-3
    likely = rollout(net, batch).to_vector()
    assert (first - likely).abs().max() > 1e-3
    assert torch.equal(likely, rollout(net, batch).to_vector())


def test_a_chunk_does_not_depend_on_the_batch(net, batch):
    together = rollout(net, batch, torch.Generator().manual_seed(7), frames=10)
    generator = torch.Generator().manual_seed(7)
    for i in range(3):
        one = slice(i, i + 1)
        state = (batch.past[one], batch.goal[one], torch.tensor([10]), batch.object_points[one], batch.fps[one])
        alone = net.rollout(*state, generator)
        torch.testing.assert_close(alone.joints[0], together.joints[i], atol=1e-4, rtol=0)


def test_teacher_forcing_draws_from_the_truth(net, batch):
    truth = HandPose.cat([batch.future, batch.future], dim=1)
    taught = rollout(net, batch, torch.Generator().manual_seed(1), frames=20, truth=truth)
    free = rollout(net, batch, torch.Generator().manual_seed(1), frames=20)
    assert torch.equal(taught.joints[:, :10], free.joints[:, :10])
    assert (taught.joints[:, 10:] - free.joints[:, 10:]).abs().max() > 1e-3


def test_steps_are_positive(hand):
    with pytest.raises(ValueError, match="steps: expected 1 or more, found 0"):
        MotionFlow(hand, steps=0)


def test_the_loss_is_the_weighted_sum_of_its_terms(batch):
    task = FlowSynthesis(
        network=TINY, hand="shadow", loss={"flow": 3.0, "keypoints": 100.0, "joints": 5.0}, optimizer=ADAM
    )
    task.network.fit_statistics([], [batch])
    torch.manual_seed(2)
    total, terms = task.losses(batch)
    assert set(terms) == {"flow", "keypoints", "joints"}
    expected = 3.0 * terms["flow"] + 100.0 * terms["keypoints"] + 5.0 * terms["joints"]
    torch.testing.assert_close(total, expected)
    torch.manual_seed(2)
    guess, error = task.network.guess(batch)
    assert terms["flow"].item() == pytest.approx(error.mean().item())
    points, true = (task.hand.keypoints(task.hand.forward_kinematics(pose)) for pose in (guess, batch.future))
    assert terms["keypoints"].item() == pytest.approx((points - true).norm(dim=-1).mean().item(), rel=1e-4)
    alone = FlowSynthesis(network=TINY, hand="shadow", loss={"flow": 2.0}, optimizer=ADAM)
    assert set(alone.losses(batch)[1]) == {"flow"}


@pytest.mark.parametrize("loss", [{"keypoints": 1.0}, {"flow": 0.0, "keypoints": 1.0}])
def test_a_loss_without_flow_is_refused(loss):
    with pytest.raises(ValueError, match=r"loss\.flow: expected a positive weight, found 0\.0"):
        FlowSynthesis(network=TINY, hand="shadow", loss=loss, optimizer=ADAM)


def test_the_flow_alone_trains_every_parameter(net, batch):
    net.guess(batch)[1].mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.slow
def test_it_learns_two_motions_of_one_state(net, batch):
    """One window with two futures, wrist to the left and to the right: draws reach both, and nothing between."""
    n = 64
    side = torch.tensor([0.1, -0.1]).repeat(n // 2)
    now = HandPose.stack([batch.past[0, -1:]] * n)
    shift = torch.zeros(n, 10, 3, 1)
    shift[:, :, 0, 0] = side[:, None]
    future = HandPose(
        now.translation + (now.rotation @ shift).squeeze(-1),
        now.rotation.expand(n, 10, 3, 3),
        now.joints.expand(n, 10, -1),
        now.hand,
    )
    fork = replace(batch, past=now, future=future)
    net.offsets.fit(pose_to_offsets(future, now[:, 0]), floor=1e-3)
    net.features, net.encode = (lambda state: state), (lambda state: torch.zeros(n, net.n_features))
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / 200)
        optimiser.zero_grad()
        net.guess(fork)[1].mean().backward()
        optimiser.step()
    net.steps = 8

    path = net.step(fork, torch.Generator().manual_seed(0))
    reached = (now.rotation.mT @ (path.translation - now.translation)[..., None])[:, -1, 0, 0]
    assert ((reached.abs() - 0.1).abs() < 0.03).float().mean() > 0.9
    assert 18 < int((reached > 0).sum()) < 46


def test_a_training_reports_draws_and_the_most_likely_motion(clips, tmp_path):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    task = FlowSynthesis(
        network=TINY, hand="shadow", loss={"flow": 1.0, "keypoints": 10.0}, optimizer=ADAM, n_draws=2, sample_seed=3
    )
    trainer = L.Trainer(default_root_dir=tmp_path, max_epochs=1, **quiet)
    trainer.fit(task, SixClips(clips))
    assert {"train/flow", "train/keypoints"} <= set(trainer.callback_metrics)
    trainer.test(task, SixClips(clips), verbose=False)
    assert [row["refine"] for row in task.results] == ["off"] * 2 + ["teacher_forced"] * 2 + ["most_likely"] * 2
    drawn, likely = task.results[0]["mpjpe_cm"], task.results[4]["mpjpe_cm"]
    assert abs(drawn - likely) > 1e-4
