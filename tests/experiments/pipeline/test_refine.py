"""Refinement of the user's own files: what `task=refine` writes, says and refuses."""

from __future__ import annotations

from dataclasses import replace

import hydra
import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from dexzoo.experiments.pipeline import user_grasps
from dexzoo.experiments.pipeline.user_objects import UserObject, read_object
from dexzoo.experiments.reports.results import read_results
from dexzoo.experiments.training.load import load_run
from dexzoo.grasps.asset import load_asset
from dexzoo.grasps.files import GraspSet, load_grasps, save_grasps
from dexzoo.models import Refiner
from dexzoo.models.grasp.refinement.fields import ObjectFields
from dexzoo.synthesis import grasps as demo
from dexzoo.synthesis.objects import object_mesh
from tests.experiments.in_process import run_here
from tests.experiments.pipeline.commands import only_run


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (
            {"translation": 1000.0},
            "hand far from the object (millimetres?)",
            "did you mean translations in millimetres? If so, 2 of them are within 5 cm",
        ),
        (
            {"joints": 180 / np.pi},
            "joints beyond their limits (degrees?)",
            "did you mean joints in degrees? If so, 2 of them are at most 0.6 rad beyond",
        ),
    ],
)
def test_refining_names_grasps_in_wrong_units(change, reason, message, hand, tmp_path, monkeypatch, capsys):
    object_mesh("can").export(tmp_path / "can.off")
    pose = demo.load_grasps()["can"].pose[:2].to(torch.float64)
    pose = replace(pose, **{name: factor * getattr(pose, name) for name, factor in change.items()})
    part = GraspSet("can", pose, torch.ones(2, dtype=torch.float64), torch.arange(2))
    save_grasps(tmp_path / "can.npz", [part], hand)
    monkeypatch.chdir(tmp_path)
    run_here("task=refine", "grasps=can.npz", "mesh=can.off", "refine.steps=2", "runs=runs")
    printed = capsys.readouterr().out
    assert printed.count("implausible: 2 of 2 grasps: ") == 1
    assert message in printed
    rows = read_results(only_run(tmp_path, "refine") / "results.parquet")
    assert [row["implausible"] for row in rows if row["refine"] == "off"] == [reason] * 2


@pytest.mark.parametrize(("with_contact", "fields"), [(False, "mesh"), (True, "cloud")])
@pytest.mark.slow
def test_refining_a_file_is_refining_each_grasp_alone(
    with_contact, fields, pushed, hand, predictor, tmp_path, monkeypatch
):
    """Batches of two mix the objects; the refiner itself on one grasp at a time says the same."""
    plane = torch.tensor([[0.0, 0.0, 1.0, 0.5]] * 3, dtype=torch.float64)  # out of reach
    save_grasps(tmp_path / "mine.npz", [replace(pushed[0], plane=plane), pushed[1]], hand)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_grasps, "_BATCH", 2)
    contact = [f"contact_from={predictor}"] if with_contact else []
    steps = ["refine.steps=6"] if fields == "cloud" else ["refine.steps=6", "refine.fields=mesh"]
    run_here("task=refine", "grasps=mine.npz", "mesh=meshes", "measure=false", "runs=runs", *steps, *contact)
    folder = only_run(tmp_path, "refine")
    found = load_grasps(folder / "grasps.npz", hand)
    assert [(part.object, part.rows.tolist()) for part in found] == [("jar", [10, 11, 12]), ("can", [10, 11])]
    assert found[0].plane is not None
    assert torch.equal(found[0].plane, plane)
    assert found[1].plane is None
    assert not (folder / "dexgraspnet").exists()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        refiner: Refiner = instantiate(hydra.compose("config", ["refine=dexzoo", *steps]).refine)
    network, moved = load_run(predictor)[0].network if with_contact else None, 0
    for before, after in zip(pushed, found, strict=True):
        mesh = tmp_path / f"meshes/{before.object}.obj"
        grid, cloud = load_asset(mesh, before.object).grid, read_object(mesh, 128 if with_contact else 1024).points
        for i in range(len(before)):
            pose, scale = before.pose[i : i + 1].to(torch.float32), before.scale[i : i + 1].float()
            meshes = ObjectFields([grid], torch.zeros(1, dtype=torch.long), scale) if fields == "mesh" else None
            alone = refiner(hand, pose, scale * cloud[None], network, meshes=meshes).pose.to_vector()
            refined = after.pose[i : i + 1].to(torch.float32).to_vector()
            torch.testing.assert_close(refined, alone, atol=2e-5, rtol=0)
            moved += int((alone - pose.to_vector()).abs().max() > 0.01)
    assert moved >= 3


def test_refining_makes_pushed_grasps_shallower_and_keeps_their_format(pushed, hand, tmp_path, monkeypatch, capsys):
    """DexGraspNet's format in and out, with NaN in one grasp; depth from the rows before and after."""
    jar = pushed[0]
    broken = jar.pose.joints.clone()
    broken[1, 3] = torch.nan
    broken_jar = replace(jar, pose=replace(jar.pose, joints=broken))
    save_grasps(tmp_path / "set", [broken_jar], hand, "dexgraspnet")
    monkeypatch.chdir(tmp_path)
    run_here("task=refine", "grasps=set/jar.npy", "mesh=meshes/jar.obj", "refine.steps=40", "runs=runs")
    printed, folder = capsys.readouterr().out, only_run(tmp_path, "refine")
    assert "1 grasps hold numbers that are not finite: they are left out" in printed
    assert "on, drops" not in printed
    rows = read_results(folder / "results.parquet")
    assert [(r["method"], r["refine"], r["candidate"]) for r in rows] == [
        *(("jar", "off", 0), ("jar", "off", 2), ("jar", "dexzoo", 0), ("jar", "dexzoo", 2))
    ]
    depths = [row["penetration_cm"] for row in rows]
    assert max(depths[2:]) < min(depths[:2])
    assert np.mean(depths[2:]) < 0.6 * np.mean(depths[:2])  # a cloud does not show edges to the millimetre
    plain, theirs = (load_grasps(folder / name, hand)[0] for name in ("grasps.npz", "dexgraspnet"))
    torch.testing.assert_close(theirs.pose.to_vector(), plain.pose.to_vector(), atol=1e-6, rtol=0)
    np.testing.assert_allclose(plain.pose.joints, [row["pose"][12:] for row in rows[2:]], atol=1e-6)


def test_grasps_without_a_table_share_batches_with_those_that_have_one(pushed):
    plane = torch.tensor([[0.0, 0.0, 1.0, 0.02], [torch.nan] * 4, [0.0, 1.0, 0.0, 0.3]], dtype=torch.float64)
    cloud = torch.rand(40, 3)
    objs = [UserObject("jar", cloud, None), UserObject("can", 2 * cloud[:35], None)]
    (batch,) = user_grasps._Batches([replace(pushed[0], plane=plane), pushed[1]], objs)
    assert batch.plane is not None
    torch.testing.assert_close(batch.plane[[0, 2]], plane[[0, 2]].float())
    assert (batch.plane[[1, 3, 4], 3] > 100).all()
    assert batch.objects == ("jar",) * 3 + ("can",) * 2
    assert batch.names[-1] == "can/11"
    torch.testing.assert_close(batch.object_points[3], 1.25 * 2 * cloud[:35])
    torch.testing.assert_close(batch.object_points[0], cloud[:35])
    (free,) = user_grasps._Batches(pushed, objs)
    assert free.plane is None
