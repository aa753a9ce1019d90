"""The tasks around grasp models and contact predictors: what a test reports, what a checkpoint carries and refuses."""

import dataclasses
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch

from dexzoo.datamodules import DemoGrasps, PerturbHand
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.training.load import load_contact
from dexzoo.hands.pose import HandPose
from dexzoo.models import ContactMap, ContactPrediction, GraspCVAE, GraspFilter, GraspGeneration, GraspModel, Refiner
from dexzoo.models.grasp.contact.task import CONTACT
from dexzoo.models.task import draw_generator
from dexzoo.synthesis.grasps import load_grasps

ADAM = partial(torch.optim.Adam, lr=1e-3)
MAP = partial(ContactMap, n_hand_points=32, widths=(8, 8), width=8)
CVAE = partial(GraspCVAE, latent=2, n_object_points=32, n_hand_points=16, widths=(8, 8), hidden=(16, 16), contact=MAP)
LOSS = {"translation": 1.0, "kl": 0.1, "contact": 1.0}


class Recall(GraspModel):
    """Gives the same grasps of any object, moved to its centroid."""

    def __init__(self, hand, pose):
        super().__init__(hand)
        self.pose = pose

    def forward(self, batch, wanted=None):
        raise NotImplementedError

    def sample(self, points, n, generator=None, temperature=1.0):
        centre = points.mean(1)[:, None]
        pose = self.pose[:n][None]
        return dataclasses.replace(pose, translation=pose.translation + centre)


@pytest.fixture
def data():
    return DemoGrasps(
        objects=["mug", "bottle", "bowl", "jar"],
        batch_size=8,
        min_grasps_per_epoch=0,
        n_object_points=256,
        eval_grasps=4,
    )


def make_trainer(tmp_path, **kwargs):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(default_root_dir=tmp_path, max_epochs=1, **quiet, **kwargs)


def contact_task(**kwargs):
    return ContactPrediction(MAP, "shadow", PerturbHand(translation_std=0.03), optimizer=ADAM, **kwargs)


@pytest.fixture
def predictor(data, tmp_path):
    """A checkpoint of a predictor."""
    trainer = make_trainer(tmp_path, limit_train_batches=2)
    trainer.fit(contact_task(), data)
    trainer.save_checkpoint(tmp_path / "contact.ckpt")
    return tmp_path / "contact.ckpt"


def test_contact_rows_are_those_of_the_definition(data, hand, tmp_path):
    """The perturbed hand's own map against the truth, by a loop over points."""
    task = contact_task()
    make_trainer(tmp_path).test(task, data, verbose=False)
    rows = [row for row in task.results if row["method"] == "perturbed hand"]
    assert len(rows) == 4 == len(task.results) - 4
    batch = next(iter(data.test_dataloader()))
    moved = task.perturb(batch, [draw_generator(0, name) for name in batch.names])

    def contact(pose):
        links = hand.forward_kinematics(pose)
        distance = hand.signed_distance(links, batch.object_points[0])
        return [2 - 2 / (1 + np.exp(-60 * max(float(d), 0))) for d in distance]

    for i, row in enumerate(rows):
        true, own = (np.array(contact(pose[i])) for pose in (batch.pose, moved.pose))
        touch = 2 - 2 / (1 + np.exp(-60 * CONTACT))
        hits = sum((true >= touch) & (own >= touch))
        found = sum(true >= touch) + sum(own >= touch)
        assert row["contact_mae"] == pytest.approx(np.abs(own - true).mean(), abs=1e-5)
        bins = [np.minimum(values * 10 // 1, 9) for values in (own, true)]
        assert row["bin_accuracy"] == pytest.approx(np.mean(bins[0] == bins[1]))
        assert row["contact_f1"] == pytest.approx(2 * hits / found if found else np.nan, nan_ok=True)


@pytest.mark.parametrize("bins", [4, 10, 17])
def test_a_perfect_predictor_gets_all_bins_right_however_many_it_has(data, tmp_path, bins):
    """The centre of a class of its own is in that class; in classes of another number it is not."""
    network = partial(MAP, bins=bins)
    task = ContactPrediction(network, "shadow", PerturbHand(translation_std=0.03), optimizer=ADAM)

    def perfect(points, hand_points):
        batch = next(batch for batch in data.test_dataloader())
        target = task.network.target(batch.pose, points)
        return 50 * torch.nn.functional.one_hot((target * bins).long().clamp(max=bins - 1), bins).float()

    task.network.forward = perfect
    make_trainer(tmp_path).test(task, data, verbose=False)
    rows = {row["method"]: row for row in task.results}
    assert rows["contact_map"]["bin_accuracy"] == 1
    batch = next(iter(data.test_dataloader()))
    moved = task.perturb(batch, [draw_generator(0, name) for name in batch.names])
    own, true = (task.network.target(pose, batch.object_points).numpy() for pose in (moved.pose, batch.pose))
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    same = np.digitize(own, edges) == np.digitize(true, edges)
    found = [row["bin_accuracy"] for row in task.results if row["method"] == "perturbed hand"]
    assert found == pytest.approx(same.mean(1), abs=2 / same.shape[1])


@pytest.mark.parametrize("preset", ["dexzoo", "unidexgrasp"])
def test_grasp_rows_say_what_was_drawn_refined_and_kept(data, hand, tmp_path, preset):
    """Candidates far from the object touch nothing, so the filter keeps none; ground truth stands beside."""
    away = hand.rest_pose(3).moved_by(torch.eye(3), torch.tensor([0.0, 0.0, 1.0]))
    task = GraspGeneration(
        partial(Recall, pose=away),
        "shadow",
        refine=Refiner(preset, steps=2),
        select=GraspFilter(min_q1=None),
        n_samples=3,
        metrics=["contact"],
        method="recall",
    )
    assert not task.trainable
    make_trainer(tmp_path).test(task, data, verbose=False)
    found = [(row["method"], row["refine"]) for row in task.results]
    assert found == [("ground truth", "-")] * 3 + [("recall", "off")] * 3 + [("recall", preset)] * 3
    truth, drawn = task.results[:3], task.results[3:6]
    assert all(row["contact_ratio"] == 1 for row in truth)
    assert not any(row["contact_ratio"] or row["kept"] for row in drawn)
    assert all(row["drop_contact"] and not row["drop_penetration"] for row in drawn)
    assert [row["clip"] for row in drawn] == ["jar@1/0", "jar@1/1", "jar@1/2"]


class Disguised(DemoGrasps):
    """Clouds of one object, and the mesh of another to measure on."""

    def load(self):
        store = super().load()
        bottle = next(obj.mesh for obj in store.objects if obj.name == "bottle")
        return dataclasses.replace(store, objects=tuple(dataclasses.replace(x, mesh=bottle) for x in store.objects))


@pytest.mark.parametrize("fields", ["cloud", "mesh"])
def test_the_mesh_is_hidden_from_the_refinement_unless_it_is_asked_for(hand, tmp_path, fields):
    """The same clouds twice, once with another object's mesh: what is measured differs, refined poses do not."""
    options = {"objects": ["mug", "bottle", "jar"], "n_object_points": 128, "eval_grasps": 3, "val_objects": ["mug"]}
    held = load_grasps()["jar"].pose[:2].to(torch.float32)
    held = dataclasses.replace(held, translation=held.translation - held.translation.new_tensor([0, 0, 0.0525]))
    found = []
    for kind in (DemoGrasps, Disguised):
        refine = Refiner(steps=3, fields=fields)
        task = GraspGeneration(
            partial(Recall, pose=held), "shadow", refine=refine, n_samples=2, metrics=["penetration"], method="recall"
        )
        make_trainer(tmp_path).test(task, kind(**options), verbose=False)
        assert [row["refine_fields"] for row in task.results] == ["-"] * 4 + [fields] * 2
        found.append(task.results[-2:])
    true, disguised = ([row["pose"] for row in rows] for rows in found)
    assert found[0][0]["penetration_cm"] != found[1][0]["penetration_cm"]
    assert (true == disguised) == (fields == "cloud")


def test_samples_follow_from_the_seed(data, tmp_path, predictor):
    def drawn(seed):
        task = GraspGeneration(CVAE, "shadow", LOSS, optimizer=ADAM, n_samples=2, metrics=["contact"], sample_seed=seed)
        torch.manual_seed(0)
        for weights in task.network.parameters():
            torch.nn.init.normal_(weights, std=0.1)
        load_contact(task, predictor)
        make_trainer(tmp_path).test(task, data, verbose=False)
        return [row["pose"] for row in task.results if row["method"] == "model"]

    assert drawn(1) == drawn(1) != drawn(2)


class Drawn(GraspModel):
    """The rest posture, drawn vectors away from the centroid of an object."""

    def forward(self, batch, wanted=None):
        raise NotImplementedError

    def sample(self, points, n, generator=None, temperature=1.0):
        rest, centre = self.hand.rest_pose(len(points), n), points.mean(1, keepdim=True)
        away = torch.randn(len(points), n, 3, generator=generator)
        return dataclasses.replace(rest, translation=rest.translation + centre + away)


def two_test_objects():
    options = {"min_grasps_per_epoch": 0, "n_object_points": 256, "eval_grasps": 4}
    return DemoGrasps(objects=["mug", "bowl", "jar"], test_objects=["bowl", "jar"], val_objects=[], **options)


def test_every_test_object_has_draws_of_its_own(tmp_path):
    def drawn():
        data, task = two_test_objects(), GraspGeneration(Drawn, "shadow", n_samples=2, metrics=["contact"])
        make_trainer(tmp_path).test(task, data, verbose=False)
        centre = {batch.objects[0]: batch.object_points[0].mean(0) for batch in data.test_dataloader()}
        rows = [row for row in task.results if row["method"] == "model"]
        return torch.stack([torch.tensor(row["pose"][:3]) - centre[row["object"]] for row in rows])

    away = drawn()
    assert len(away) == 4
    assert torch.pdist(away).min() > 1e-3, "two objects, or two candidates, are drawn alike"
    torch.testing.assert_close(drawn(), away, rtol=0, atol=0)


def test_the_hands_of_every_test_object_are_moved_in_ways_of_their_own(tmp_path):
    moves = []

    def perturb(batch, generator):
        moved = PerturbHand(translation_std=0.03)(batch, generator)
        moves.append(moved.pose.translation - batch.pose.translation)
        return moved

    for _ in range(2):
        task = ContactPrediction(MAP, "shadow", perturb, optimizer=ADAM)
        make_trainer(tmp_path).test(task, two_test_objects(), verbose=False)
    first, again = (torch.cat(half).unique(dim=0) for half in (moves[: len(moves) // 2], moves[len(moves) // 2 :]))
    assert torch.equal(first, again), "each test moves them in other ways"
    assert torch.pdist(first).min() > 1e-3
    assert len(first) == 8, "two objects are moved alike"


def test_a_model_with_a_predictor_needs_a_trained_one(data, tmp_path, predictor):
    task = GraspGeneration(CVAE, "shadow", LOSS, optimizer=ADAM)
    with pytest.raises(ValueError, match=r"^contact: expected a trained contact predictor .*load_contact_weights"):
        make_trainer(tmp_path).fit(task, data)
    load_contact(task, predictor)
    before = {k: v.clone() for k, v in task.network.contact.state_dict().items()}
    trainer = make_trainer(tmp_path, limit_train_batches=2)
    trainer.fit(task, data)
    for name, value in task.network.contact.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    trainer.save_checkpoint(tmp_path / "grasp.ckpt")
    facts = torch.load(tmp_path / "grasp.ckpt", weights_only=True)["dexzoo"]
    assert facts["split_hash"] == data.split_hash
    low, high = facts["object_radius_m"]
    assert 0.02 < low < high < 0.2


def test_a_predictor_of_another_size_is_refused(predictor):
    other = partial(CVAE, contact=partial(MAP, width=9))
    task = GraspGeneration(other, "shadow", LOSS, optimizer=ADAM)
    with pytest.raises(RunError, match=r"expected the contact predictor of 'model'.*size mismatch"):
        load_contact(task, predictor)
    without = GraspGeneration(partial(CVAE, contact=None), "shadow", {"kl": 1.0}, optimizer=ADAM)
    with pytest.raises(ValueError, match="'model' has none"):
        load_contact(without, predictor)


def test_a_weight_rises_during_its_warm_up():
    task = GraspGeneration(CVAE, "shadow", LOSS, {"kl": [0.2, 0.6]}, optimizer=ADAM)
    rising = [task.weights_at(p)["kl"] / LOSS["kl"] for p in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert rising == pytest.approx([0, 0, 0.5, 1, 1])
    assert task.weights_at(0.0)["contact"] == LOSS["contact"]


def test_a_term_of_weight_zero_needs_no_warm_up(data, tmp_path):
    rising = {"contact": [0.0, 1.0], "kl": [0.0, 0.5]}
    task = GraspGeneration(partial(CVAE, contact=None), "shadow", {**LOSS, "contact": 0.0}, rising, optimizer=ADAM)
    make_trainer(tmp_path, limit_train_batches=1).fit(task, data)
    assert list(task.objective.ramps) == ["kl"]
    task = GraspGeneration(partial(CVAE, contact=None), "shadow", LOSS | {"contact": 0.0}, {"kld": [0, 1]}, ADAM)
    with pytest.raises(ValueError, match=r"loss: expected terms of 'model', .*'kl'.*found kld"):
        make_trainer(tmp_path).fit(task, data)


def test_an_unknown_term_is_named(data, tmp_path, predictor):
    task = GraspGeneration(CVAE, "shadow", {**LOSS, "kld": 1.0}, optimizer=ADAM)
    load_contact(task, predictor)
    with pytest.raises(ValueError, match=r"loss: expected terms of 'model', .*'kl'.*found kld"):
        make_trainer(tmp_path).fit(task, data)


def test_motions_are_refused_by_name(clips, tmp_path):
    from tests.models.motion.test_task import SixClips

    task = GraspGeneration(partial(Recall, pose=HandPose.stack([clips[0].goal])), "shadow", method="recall")
    with pytest.raises(ValueError, match=r"data: expected GraspDataModule for model 'recall', found SixClips"):
        make_trainer(tmp_path).test(task, SixClips(clips))
