"""GOAL-hand and MNet: the published numbers, the loss against a loop, training in the task."""

import math
from dataclasses import replace
from functools import partial

import lightning as L
import pytest
import torch

from dexzoo.datamodules import MotionDataModule
from dexzoo.datamodules.splits import Split
from dexzoo.hands.pose import HandPose
from dexzoo.models.motion import GoalHand, GoalLoss, GoalSynthesis
from dexzoo.models.motion.features import motion_features
from dexzoo.models.published import CheckpointError, MNet, load_official
from tests.oracles.residual_blocks import WrittenOut

TINY = partial(GoalHand, n_points=12, n_basis=16, width=16, bottleneck=16, dropout=0.0)
RAMPS = {
    "points": (2.5, 10.0, 0, 0.4),
    "pose": (10.0, 2.5, 0, 0.4),
    "near": (0.7, 7.0, 0.4, 1),
    "offset": (2.5, 10.0, 0, 0.4),
}


@pytest.fixture(scope="module")
def official():
    return MNet()


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_mnet_has_the_published_numbers(official):
    assert count(official) == 71_388_266
    tensors = official.state_dict()
    assert len(tensors) == 75
    shapes = {
        "dec_bn1.weight": (7543,),
        "dec_rb1.fc1.weight": (256, 7543),
        "dec_rb1.fc2.weight": (2048, 256),
        "dec_rb1.fc3.weight": (2048, 7543),
        "dec_rb2.fc1.weight": (256, 9591),
        "dec_rb2.fc3.weight": (1024, 9591),
        "dec_rb3.fc1.weight": (256, 1024),
        "dec_rb4.fc2.weight": (2048, 256),
        "dec_rb4.fc3.weight": (2048, 1024),
        "dec_pose.weight": (3300, 2048),
        "dec_trans.weight": (30, 2048),
        "dec_xyz.weight": (12000, 2048),
        "dec_dist.weight": (2970, 2048),
    }
    assert {key: tuple(tensors[key].shape) for key in shapes} == shapes
    assert not any(key.startswith("dec_rb3.fc3") for key in tensors)


def test_mnet_gives_the_published_shapes(official):
    with torch.no_grad():
        out = official(torch.zeros(2, 7543))
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "pose": (2, 3300),
        "trans": (2, 30),
        "xyz": (2, 12000),
        "dist": (2, 2970),
    }


def test_a_bare_file_of_weights_loads_strictly(tmp_path):
    torch.manual_seed(0)
    heads = {"pose": 6, "trans": 3}
    theirs, mine = MNet(5, heads, width=8, bottleneck=4), MNet(5, heads, width=8, bottleneck=4)
    torch.save(theirs.state_dict(), tmp_path / "MNet_model.pt")
    load_official(tmp_path / "MNet_model.pt", mine)
    x = torch.randn(3, 5)
    assert torch.equal(theirs.eval()(x)["pose"], mine.eval()(x)["pose"])
    tensors = {key: value for key, value in theirs.state_dict().items() if key != "dec_rb1.fc3.bias"}
    torch.save(tensors, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match=r"1 missing: dec_rb1\.fc3\.bias"):
        load_official(tmp_path / "short.pt", mine)


def test_mnet_computes_its_definition():
    """Written out in plain matrix products, with batch norms that have seen data."""
    torch.manual_seed(1)
    network = MNet(5, {"pose": 6}, width=8, bottleneck=4).double()
    for _ in range(3):
        network(torch.randn(16, 5).double() * 2 + 1)
    network.eval()
    plain = WrittenOut(network.state_dict())
    linear, norm, block = plain.linear, plain.norm, plain.block

    x = torch.randn(4, 5).double()
    entry = norm(x, "dec_bn1")
    hidden = block(torch.cat([entry, block(entry, "dec_rb1")], dim=1), "dec_rb2")
    expected = linear(block(block(hidden, "dec_rb3"), "dec_rb4"), "dec_pose")
    torch.testing.assert_close(network(x)["pose"], expected)


def test_goal_hand_of_the_shadow_hand_has_the_numbers_of_the_adaptation(hand, batch):
    model = GoalHand(hand)
    assert count(model) == 54_779_580
    vector = model.input(motion_features(hand, model.surface, batch))
    assert vector.shape == (8, 5477)


def test_the_input_is_what_it_says(hand, batch):
    """One window by loops: the exponential distances, the offsets and the basis point set."""
    model = TINY(hand)
    f = motion_features(hand, model.surface, batch)
    row = model.input(f)[3]
    parts = row.split([5 * 28, 5 * 3, 36, 12, 36, 36, 48])
    assert parts[0][:28].tolist() == pytest.approx(f.history[3, 0, 3:].tolist())
    assert parts[1][-3:].tolist() == [0, 0, 0]  # the current palm is the origin
    for n in range(12):
        offset = f.points[3, n] - f.target_points[3, n]
        assert parts[3][n].item() == pytest.approx(math.exp(-5 * math.dist(offset, [0, 0, 0])), abs=1e-5)
        assert parts[5][3 * n : 3 * n + 3].tolist() == pytest.approx(offset.tolist(), abs=1e-6)
    centroid = f.object_points[3].mean(0)
    for n, base in enumerate(model.basis):
        place = base + centroid
        nearest = min((math.dist(p, place), i) for i, p in enumerate(f.target_points[3].tolist()))[1]
        expected = f.target_points[3, nearest] - place
        assert parts[6][3 * n : 3 * n + 3].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_it_can_be_told_what_is_up_and_how_long_is_left(hand, batch):
    told, plain = TINY(hand, gravity=True, time_to_go=True), TINY(hand)
    features = motion_features(hand, told.surface, batch)
    extra = told.input(features)[:, plain.input(features).shape[1] :]
    upright = batch.past.rotation[:, -1] @ extra[:, :3, None]
    torch.testing.assert_close(upright[..., 0], torch.tensor([0.0, 0.0, 1.0]).expand(8, 3))
    torch.testing.assert_close(extra[:, 3], batch.time_to_go / 30)


def test_zero_output_holds_the_current_pose(hand, batch):
    model = TINY(hand).eval()
    for name in ("pose", "trans", "xyz", "dist"):
        for parameter in model.mnet.get_submodule(f"dec_{name}").parameters():
            torch.nn.init.zeros_(parameter)
    out = model.predict(batch)
    for k in range(10):
        for name in ("translation", "rotation", "joints"):
            still = getattr(batch.past[:, -1], name)
            torch.testing.assert_close(getattr(out.pose, name)[:, k], still, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.points[:, 4], out.features.points)
    torch.testing.assert_close(out.displacement[:, 4], -out.features.displacement)


def test_without_a_cloud_it_says_so(hand, batch):
    with pytest.raises(ValueError, match=r"object_points: expected at least one point, found none; .*='mesh'"):
        TINY(hand)(replace(batch, object_points=batch.object_points[:, :0]))


def true_points(model, hand, batch):
    future = batch.future.relative_to(batch.past[:, -1:])
    return hand.place(hand.forward_kinematics(future), model.surface)


def test_perfect_heads_cost_nothing(hand, batch):
    model = TINY(hand)
    truth = true_points(model, hand, batch)
    out = model.predict(batch)
    goal = out.features.target_points[:, None]
    perfect = replace(out, pose=batch.future, points=truth, displacement=truth - goal)
    terms = GoalLoss(hand, RAMPS).terms(perfect, batch, model.surface)
    assert list(terms) == ["points", "points_head", "pose", "translation", "near", "near_head", "offset"]
    assert max(float(value) for value in terms.values()) < 1e-6


def test_the_terms_are_those_of_a_loop(hand, batch):
    torch.manual_seed(2)
    model = TINY(hand)
    out = model.predict(batch)
    # One window far from its goal, one near it, so that both values of both indicators occur.
    far = out.features.displacement.norm(dim=-1).amin(-1)
    assert (far > 0.3).any()
    assert (far < 0.3).any()
    terms = GoalLoss(hand, RAMPS).terms(out, batch, model.surface)
    truth = true_points(model, hand, batch)
    poses = out.pose.relative_to(batch.past[:, -1:])
    decoded = hand.place(hand.forward_kinematics(poses), model.surface)
    future = batch.future.relative_to(batch.past[:, -1:])
    sums = dict.fromkeys(terms, 0.0)
    for b in range(8):
        d = out.features.displacement[b].norm(dim=-1).min().item()
        near = (d < 0.3) + math.exp(-10 * d)
        for k in range(10):
            v = (decoded[b, k] - truth[b, k]).abs().mean().item()
            vx = (out.points[b, k] - truth[b, k]).abs().mean().item()
            left = truth[b, k] - out.features.target_points[b]
            d_k = left.norm(dim=-1).min().item()
            sums["points"] += v
            sums["points_head"] += vx
            sums["near"] += near * v
            sums["near_head"] += near * vx
            sums["offset"] += ((d_k < 0.4) + math.exp(-10 * d_k)) * (out.displacement[b, k] - left).abs().mean().item()
            sums["translation"] += (poses.translation[b, k] - future.translation[b, k]).abs().mean().item()
            pose = (poses.rotation[b, k] - future.rotation[b, k]).square().mean().item()
            for a, c in zip(poses.joints[b, k].tolist(), future.joints[b, k].tolist(), strict=True):
                turns = [torch.tensor([[math.cos(x), -math.sin(x)], [math.sin(x), math.cos(x)]]) for x in (a, c)]
                pose += (turns[0] - turns[1]).square().sum().item() / 9  # of the 3x3 matrix about any axis
            sums["pose"] += pose / 23
    for name, value in sums.items():
        assert terms[name].item() == pytest.approx(value / 80, rel=1e-4), name


@pytest.mark.parametrize(
    ("progress", "w_v", "w_p", "w_r", "w_c"),
    [
        (0, 2.5, 10.0, 0.0, 2.5),
        (0.2, 6.25, 6.25, 0.0, 6.25),
        (0.4, 10, 2.5, 0.7, 10),
        (0.7, 10, 2.5, 3.85, 10),
        (1, 10, 2.5, 7.0, 10),
    ],
)
def test_weights_are_annealed(hand, progress, w_v, w_p, w_r, w_c):
    weights = GoalLoss(hand, RAMPS).weights(progress)
    expected = [w_v, w_v + 3, w_p, w_p / 2, w_r / 2, w_r, w_c]
    assert [*weights.values()] == pytest.approx(expected)


def test_the_sum_is_weighted_by_the_progress(hand, batch):
    model, loss = TINY(hand), GoalLoss(hand, RAMPS)
    total, terms = loss(model.predict(batch), batch, model.surface, 0.7)
    by_hand = [10, 13, 2.5, 1.25, 1.925, 3.85, 10]
    expected = sum(w * term.item() for w, term in zip(by_hand, terms.values(), strict=True))
    assert total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_every_head_is_trained_and_errors_shrink(hand, batch):
    torch.manual_seed(0)
    model, loss = TINY(hand, width=64, bottleneck=64), GoalLoss(hand, RAMPS)
    loss(model.predict(batch), batch, model.surface, 0)[0].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    first, last = loss.terms(model.predict(batch), batch, model.surface), {}
    for _ in range(150):
        optimiser.zero_grad()
        total, last = loss(model.predict(batch), batch, model.surface, 1.0)
        total.backward()
        optimiser.step()
    for name in ("points", "points_head", "offset", "translation"):
        assert last[name] < first[name] / 5, name


@pytest.mark.parametrize(
    ("ramps", "message"),
    [
        ({"points": (1, 1, 0, 1)}, r"expected the weights \['points', 'pose', 'near', 'offset'\], found \['points'\]"),
        (RAMPS | {"pose": (1, 2, 3)}, r"expected ramps \[start, end, first, last\], found \{'pose': \[1, 2, 3\]\}"),
        (
            RAMPS | {"pose": (10.0, 2.5, 0, 4)},
            r"shares of the training, .*, found first=0, last=4; epochs are divided by",
        ),
    ],
)
def test_wrong_ramps_are_refused(hand, ramps, message):
    with pytest.raises(ValueError, match=message):
        GoalLoss(hand, ramps)


class SixClips(MotionDataModule):
    title = "six clips"

    def __init__(self, clips, n_val):
        super().__init__(batch_size=16, min_windows_per_epoch=0)
        self.clips, self.n_val = clips, n_val

    def load(self):
        return self.clips

    def split(self, samples):
        self.split_group = "recording"
        return Split(list(samples[:4]), list(samples[4 : 4 + self.n_val]), list(samples[5:]))


NEVER_BETTER = {"threshold": 1e9, "threshold_mode": "abs"}


def make_task():
    adam = partial(torch.optim.Adam, lr=1e-3)
    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.2, patience=0, **NEVER_BETTER)
    return GoalSynthesis(
        network=TINY,
        hand="shadow",
        loss=RAMPS,
        optimizer=adam,
        scheduler=plateau,
        goal_refine=("off", "opt"),
        method="goal",
    )


def fit(task, data, tmp_path, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = L.Trainer(default_root_dir=tmp_path, max_epochs=3, enable_checkpointing=False, **quiet, **options)
    trainer.fit(task, data)
    return trainer


def test_the_task_trains_lowers_the_rate_and_tests(clips, tmp_path):
    task = make_task()
    trainer = fit(task, SixClips(clips, 1), tmp_path)
    assert {"train/points_head", "train/offset", "val/mpjpe_cm"} <= trainer.callback_metrics.keys()
    # Only the first validation counts as better than none: the two after it lower the rate.
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3 * 0.2**2)
    trainer.test(task, SixClips(clips, 1), verbose=False)
    assert [row["refine"] for row in task.results] == ["off", "opt", "teacher_forced"]
    rollout = task.rollouts["clip5"]
    assert isinstance(rollout, HandPose)
    assert rollout.shape == (len(clips[5].pose.joints),)


def test_without_validation_clips_the_rate_stays(clips, tmp_path):
    trainer = fit(make_task(), SixClips(clips, 0), tmp_path)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3)
