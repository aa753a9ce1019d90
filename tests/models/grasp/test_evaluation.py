"""Rows of proposed grasps: what is in them, against numpy and against the grasps they came from."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.grasps.asset import ObjectAsset, load_asset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import load_hand
from dexzoo.models.grasp.evaluation import METRICS, evaluate_candidates, pose_of_row, rows
from dexzoo.models.selection.filter import Selection
from tests.metrics.small_hands import ball, fixed_hand, pose_at

CHEAP = ("penetration", "contact")
PLACES = np.array([[0.0, 0, 0.028], [0.001, 0, 0.03], [0, 0.02, 0.04], [0, 0, 1.0]])
LABELS = {"method": "model", "refine": "off", "seed": 3, "data": "demo data"}


@pytest.fixture(scope="module")
def grasps(tmp_path_factory) -> PosedGrasps:
    """A ball of 1 cm over the top face of a cube of 4 cm: 2 mm deep, touching, 1 cm and 97 cm above it."""
    hand = fixed_hand(tmp_path_factory.mktemp("hand"), ball([0, 0, 0], 0.01))
    cube = ObjectAsset.from_mesh(trimesh.creation.box([0.4] * 3), "cube")
    return PosedGrasps(hand, pose_at(hand, PLACES), cube, torch.tensor(0.1))


def selection(*kept: bool) -> Selection:
    flags = torch.tensor(kept)
    return Selection(flags, {"contact": ~flags, "penetration": torch.zeros_like(flags)})


def test_columns_are_those_of_the_metrics_and_the_spread_is_numpys(grasps):
    found = evaluate_candidates(grasps, CHEAP)
    torch.testing.assert_close(found["penetration_cm"], torch.tensor([0.2, 0, 0, 0]).double(), atol=2e-3, rtol=0)
    assert found["contact_ratio"].tolist() == [1, 1, 0, 0]
    spread = 100 * math.sqrt(PLACES.var(0, ddof=1).sum())
    assert found["diversity_translation_cm"].tolist() == pytest.approx([spread] * 4)
    assert found["diversity_rotation_deg"].tolist() == pytest.approx([0] * 4, abs=1e-5)
    assert found["diversity_joints_deg"].tolist() == pytest.approx([0] * 4)
    assert not any(key.startswith("kept_") for key in found)


def test_the_spread_of_the_kept_is_among_them_only(grasps):
    found = evaluate_candidates(grasps, CHEAP, kept=torch.tensor([True, False, True, False]))
    spread = 100 * math.sqrt(PLACES[[0, 2]].var(0, ddof=1).sum())
    expected = pytest.approx([spread, math.nan, spread, math.nan], nan_ok=True)
    assert found["kept_diversity_translation_cm"].tolist() == expected
    for few in (torch.tensor([True, False, False, False]), torch.zeros(4, dtype=torch.bool)):
        assert evaluate_candidates(grasps, CHEAP, kept=few)["kept_diversity_translation_cm"].isnan().all()


def test_kept_must_be_a_mask_of_the_candidates(grasps):
    with pytest.raises(ValueError, match=r"kept: expected bool, one per candidate, \(4,\), found torch.bool of shape"):
        evaluate_candidates(grasps, CHEAP, kept=torch.ones(3, dtype=torch.bool))


def test_the_default_metrics_of_grasps_that_hold_and_that_do_not():
    """The Shadow hand at rest behind a ball that touches nothing: it falls freely; a pose that is not finite is NaN."""
    hand = load_hand("shadow")
    pose = hand.rest_pose(2).to(torch.float64).map(torch.clone)
    pose.joints[1, 0] = math.nan
    ball_far = trimesh.creation.icosphere(subdivisions=1, radius=0.03).apply_translation([0, -0.5, 0])
    found = evaluate_candidates(PosedGrasps(hand, pose, ObjectAsset.from_mesh(ball_far, "ball")))
    assert float(found["sim_displacement_cm"][0]) == pytest.approx(10.4, abs=0.2)
    assert float(found["six_success"][0]) == 0
    assert float(found["q1"][0]) == 0
    assert all(math.isnan(float(found[key][1])) for key in found if not key.startswith("diversity"))
    assert set(METRICS) == {
        *("self_intersection", "hand_object", "penetration", "sim_displacement", "six_directions", "q1", "contact")
    }


def test_a_row_says_what_the_candidate_is(grasps, tmp_path):
    made = rows(grasps, selection(True, True, False, False), LABELS, CHEAP, mesh=tmp_path / "cube.obj")
    assert len(made) == 4
    row = made[2]
    assert {key: row[key] for key in LABELS} == LABELS
    about = {"hand": "fixed", "object": "cube", "mesh": str(tmp_path / "cube.obj"), "candidate": 2, "kept": False}
    about |= {"clip": "cube@0.1/2", "drop_contact": True, "drop_penetration": False}
    assert {key: row[key] for key in about} == about
    assert row["scale"] == pytest.approx(0.1)
    assert type(row["kept"]) is bool
    assert type(row["penetration_cm"]) is float
    assert len({row["clip"] for row in made}) == 4


def test_the_pose_of_a_row_is_the_grasp(grasps):
    turned = grasps.pose.map(torch.clone)
    turned.rotation[1] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned.joints[1] = 0.25
    made = rows(PosedGrasps(grasps.hand, turned, grasps.object, grasps.scale), None, LABELS, CHEAP)
    for b, row in enumerate(made):
        pose = pose_of_row(row)
        assert (pose.hand, row["kept"], row["mesh"]) == ("fixed", True, None)
        for part in ("translation", "rotation", "joints"):
            assert torch.equal(getattr(pose, part), getattr(turned, part)[b])


def test_rows_need_a_method_and_a_refinement(grasps):
    with pytest.raises(ValueError, match="labels: expected method and refine, found no refine"):
        rows(grasps, None, {"method": "model"}, CHEAP)


def test_an_object_is_read_once_until_its_file_changes(tmp_path):
    file = tmp_path / "cube.obj"
    trimesh.creation.box([1, 1, 1]).export(file)
    first = load_asset(file, "cube")
    assert load_asset(str(file), "cube") is first
    assert load_asset(file, "other name").name == "other name"
    trimesh.creation.box([2, 1, 1]).export(file)
    os.utime(file, ns=(1, 1))
    assert load_asset(file, "cube").volume == pytest.approx(2)


def test_candidates_on_two_tables_are_not_one(grasps):
    """A row that was there before is taken for the same sample, tested twice."""
    tables = [rows(grasps, None, LABELS, CHEAP, scene=scene) for scene in ("", "cube/0", "cube/7")]
    clips = [row["clip"] for table in tables for row in table]
    assert clips[:2] + clips[4:6] == ["cube@0.1/0", "cube@0.1/1", "cube@0.1#cube/0/0", "cube@0.1#cube/0/1"]
    assert len(set(clips)) == 12
