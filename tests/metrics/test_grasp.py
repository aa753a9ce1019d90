"""Classes of grasp metrics: each is its function in its unit, accumulates as any metric here does, and shares work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import HandPose, load_hand
from dexzoo.metrics import grasp as classes
from dexzoo.metrics.base import SampleMetric, measured
from dexzoo.metrics.columns import (
    CONTACT_MAPS,
    MOTIONS,
    TABLE3,
    GraspMetrics,
    columns,
    grasp_columns,
    grasp_errors,
)
from dexzoo.metrics.contact_map import ContactF1
from dexzoo.metrics.grasp import GraspMetric
from dexzoo.metrics.motion import LargestPenetration
from tests.oracles.motion import mean_and_sd

LISTS = ([*grasp_columns(), *grasp_columns(legacy=True)], MOTIONS, CONTACT_MAPS)


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[PosedGrasps]:
    """Grasps of a ball and of a brick, shallow and deep; one of them is not finite."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DEXZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    hand, found = load_hand("shadow"), []
    for mesh, count in ((trimesh.creation.icosphere(2, radius=0.04), 3), (trimesh.creation.box((0.06, 0.05, 0.1)), 2)):
        pose = hand.rest_pose(count).map(torch.clone)
        depth = torch.linspace(0.055, 0.045, count)
        translation = torch.stack([torch.zeros(count), depth, torch.full((count,), -0.08)], dim=-1)
        found.append(
            PosedGrasps(hand, HandPose(translation, pose.rotation, pose.joints, hand.name), ObjectAsset.from_mesh(mesh))
        )
    found[0].pose.translation[2, 0] = torch.nan
    yield found
    patch.undo()


SUFFIX = {"cm": "_cm", "cm^2": "_cm2", "cm^3": "_cm3", "deg": "_deg", "m/s^2": "_m_s2", "m^2 x 100": "_paper"}
PER_SI = {"cm": 1e2, "cm^2": 1e4, "cm^3": 1e6, "deg": 180 / np.pi, "m^2 x 100": 1e2}
GRASP_TITLES = [
    *("p.dist (cm)", "s.i.vol (cm³)", "hand-object (cm³)", "sim.disp (cm)", "held in six directions", "Q1", "contact"),
    *("spread, place (cm)", "spread, turn (°)", "spread, joints (°)"),
    *("p.dist (cm)", "hand-object (cm³)", "sim.disp (cm)"),  # legacy
]
MOTION_TITLES = [
    *("MPJPE (cm)", "palm (cm)", "fingers (cm)", "AVE (cm²)", "AVE (m²·100)", "vertex offset (cm)"),
    *("surface offset (cm)", "min distance (cm)", "its error (cm)", "depth, last frame (cm)", "depth, on the way (cm)"),
]
MAP_TITLES = ["bin accuracy", "F1 at 5 mm", "mean error", "calibration error"]


@pytest.mark.parametrize("column", [c for some in LISTS for c in some], ids=lambda c: f"{c.__name__}-{c.key}")
def test_key_says_the_unit_and_the_docstring_the_rest(column: type[SampleMetric]) -> None:
    assert column.key.endswith(SUFFIX.get(column.unit, ""))
    assert column.per_si == PER_SI.get(column.unit, 1.0)
    text = (column.__doc__ or "").lower()
    words = {False: "lower is better", True: "higher is|better|higher is more", None: "best|neither"}
    assert any(word in " ".join(text.split()) for word in words[column.higher_is_better].split("|"))
    assert column.better() == {False: "lower", True: "higher", None: "-"}[column.higher_is_better]
    assert column.source
    assert 5 < len(column.definition()) < 120
    assert column.inputs()


@pytest.mark.parametrize(("some", "titles"), zip(LISTS, (GRASP_TITLES, MOTION_TITLES, MAP_TITLES), strict=True))
def test_keys_are_unique_and_tables_have_these_columns(some: Sequence[type[SampleMetric]], titles: list[str]) -> None:
    keys = [column.key for column in some]
    assert len(set(keys)) == len(keys)
    found = [column.title() for column in some if column.heading]
    assert [title for title in found if title in titles] == titles  # a new metric adds its own


def test_a_metric_of_tensors_takes_its_inputs_by_name_or_place_and_leaves_others_out() -> None:
    inputs = {"pred_touch": torch.tensor([[True, False]]), "target_touch": torch.tensor([[True, True]])}
    named, placed = ContactF1(), ContactF1()
    named.update(**inputs, mask=torch.ones(1))
    placed.update(*inputs.values())
    assert named.compute() == placed.compute() == pytest.approx(2 / 3)
    assert measured(CONTACT_MAPS, inputs).keys() == {"contact_f1"}
    assert measured([LargestPenetration], {"largest_depth": torch.tensor([0.02])})["penetration_max_cm"].item() == 2.0


@pytest.mark.parametrize(
    "column", [classes.PenetrationDepth, classes.SelfIntersectionVolume, classes.SimHeld2, classes.Q1]
)
def test_states_are_those_of_single_values(column: type[GraspMetric], batches: list[PosedGrasps]) -> None:
    values = np.concatenate([(column().measure(b) * column.per_si).numpy() for b in batches])
    metric = column(output="summary")
    for batch in batches:
        metric.update(batch)
    found = metric.compute()
    expected = mean_and_sd(values)
    np.testing.assert_allclose([float(found[k]) for k in ("mean", "sd", "n", "n_nan")], expected, rtol=1e-9)
    assert expected[3] == 1


def test_two_ranks_give_the_mean_over_all_grasps(batches: list[PosedGrasps]) -> None:
    alone, first, second = (classes.PenetrationDepth() for _ in range(3))
    for batch in batches:
        alone.update(batch)
    first.update(batches[0])
    second.update(batches[1])
    first.merge_state(second)
    assert first.compute() == alone.compute() > 0


def test_collection_and_table_agree(batches: list[PosedGrasps]) -> None:
    collection = GraspMetrics(prefix="test/")
    for batch in batches:
        collection.update(batch)
    found = collection.compute()
    tables = [grasp_errors(batch) for batch in batches]
    assert set(found) == {f"test/{key}" for key in tables[0]}
    for key in tables[0]:
        values = torch.cat([table[key] for table in tables])
        assert values.isnan().sum() == 1
        torch.testing.assert_close(found[f"test/{key}"], values.nanmean(), rtol=1e-9, atol=1e-12)


def test_columns_of_one_metric_share_one_simulation(
    batches: list[PosedGrasps], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    simulate = classes.sim_displacement
    monkeypatch.setattr(classes, "sim_displacement", lambda g: calls.append(len(g)) or simulate(g))
    found = grasp_errors(batches[1][:], ["sim_displacement"])
    assert calls == [2]
    assert torch.equal(found["sim_held_3cm"] >= found["sim_held_2cm"], torch.tensor([True, True]))


def test_legacy_columns_are_beside_ours_never_instead() -> None:
    plain, both = columns(TABLE3), columns(TABLE3, legacy=True)
    assert [c for c in both if c in plain] == plain
    assert {c.key for c in set(both) - set(plain)} == {
        "penetration_legacy_cm", "hand_object_legacy_cm3", "sim_displacement_legacy_cm"
    }  # fmt: skip


def test_valid_q1_is_q1_or_nothing(batches: list[PosedGrasps]) -> None:
    batch = batches[0][:2]
    raw, valid = (column().measure(batch) for column in (classes.Q1, classes.ValidQ1))
    deep = classes.ObjectPenetration().measure(batch) >= 0.005
    assert torch.equal(valid, torch.where(deep, 0.0, raw))


def test_diversity_counts_objects(batches: list[PosedGrasps]) -> None:
    metric = classes.TranslationDiversity(output="summary")
    for batch in batches:
        metric.update(batch)
    found = metric.compute()
    spread = [100 * np.std([0.055, 0.05], ddof=1), 100 * np.std([0.055, 0.045], ddof=1)]  # the third of three is NaN
    assert (int(found["n"]), int(found["n_nan"])) == (2, 0)
    assert float(found["mean"]) == pytest.approx(np.mean(spread), rel=1e-6)


def test_an_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"metrics: expected some of penetration, .* found 'penetraton'; did you mean 'penetration'"
    ):
        columns(["penetraton"])
