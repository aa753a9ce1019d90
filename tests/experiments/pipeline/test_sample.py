"""Grasps of the user's own objects and files: what `task=sample` and `task=refine` write, say and refuse."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import hydra
import imageio.v3 as imageio
import numpy as np
import pytest
import torch
import trimesh
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dexzoo.experiments.pipeline import sample
from dexzoo.experiments.pipeline.user_objects import UserObject, object_files, read_object, warn_of_size
from dexzoo.experiments.reports.results import read_results
from dexzoo.experiments.training.load import load_run
from dexzoo.geometry import solids
from dexzoo.grasps.files import GraspSet, load_grasps, save_grasps
from dexzoo.models import GraspGeneration
from dexzoo.synthesis import grasps as demo
from dexzoo.synthesis.objects import object_mesh
from tests.experiments.in_process import run_here
from tests.experiments.pipeline.commands import DATA, SHORT, TINY, only_run, refused


def make_run(folder: Path, *overrides: str) -> Path:
    """The folder of a run, with the statistics of the data and random weights."""
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        cfg = hydra.compose("config", [*overrides, *DATA, f"run_dir={folder}", "name=tiny"])
    used = OmegaConf.masked_copy(cfg, ["model", "schedules", "data", "hand", "seed", "refine", "select"])
    task, data = instantiate(cfg.model, hand=cfg.hand), instantiate(cfg.data)
    data.setup("fit")
    if isinstance(task, GraspGeneration):
        task.network.fit_statistics(data.train)
    task.data_facts = {"split_hash": data.split_hash, "object_radius_m": [0.04, 0.15]}
    checkpoint = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(checkpoint)
    (folder / "checkpoints").mkdir()
    torch.save(checkpoint, folder / "checkpoints/best.ckpt")
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(used, resolve=True)), folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of a grasp model."""
    return make_run(tmp_path_factory.mktemp("trained"), *TINY)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Path:
    """A run of a contact predictor."""
    return make_run(tmp_path_factory.mktemp("predictor"), "model=contact_map")


@pytest.fixture(scope="module")
def sampled(trained, tmp_path_factory) -> tuple[Path, str]:
    """A folder with mug.obj and the run of a sampling in it, and what that printed."""
    root, printed = tmp_path_factory.mktemp("sampled"), io.StringIO()
    object_mesh("mug").export(root / "mug.obj")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(root)
        run_here("task=sample", "model=grasp_cvae", f"ckpt={trained}", "object=mug.obj", "n=3", "seed=5", *SHORT)
    return root, printed.getvalue()


# --------------------------------------------------------------------------------------------------------- task=sample


@pytest.mark.slow
def test_rows_are_of_the_grasps_that_the_model_draws(sampled, trained):
    """The same seed and cloud, straight from the network."""
    root, _ = sampled
    rows = read_results(only_run(root, "sample") / "results.parquet")
    assert [(row["method"], row["refine"], row["candidate"]) for row in rows] == [
        ("grasp_cvae", mode, i) for mode in ("off", "dexzoo") for i in range(3)
    ]
    assert {(row["object"], row["scale"], row["seed"], row["hand"]) for row in rows} == {("mug", 1.0, 5, "shadow")}
    assert [row["refine_fields"] for row in rows] == ["-"] * 3 + ["cloud"] * 3
    task, _ = load_run(trained)
    cloud = read_object(root / "mug.obj", 128).points[None]
    with torch.no_grad():
        drawn = task.network.sample(cloud, 3, torch.Generator().manual_seed(5))[0]
    expected = torch.cat([drawn.translation, drawn.rotation.flatten(1), drawn.joints], dim=1)
    np.testing.assert_allclose([row["pose"] for row in rows[:3]], expected.numpy(), atol=1e-6)
    assert not np.allclose([row["pose"] for row in rows[3:]], expected.numpy(), atol=1e-4)


def test_the_run_is_found_and_read_once(trained, tmp_path, monkeypatch):
    seen, read = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: seen.append(path) or read(path, **options))
    monkeypatch.chdir(tmp_path)
    object_mesh("can").export("can.obj")
    quick = ["refine=none", "select=none", "measure=false", "runs=runs"]
    run_here("task=sample", f"ckpt={trained}", "object=can.obj", "n=2", *quick)
    assert seen == [trained / "checkpoints/best.ckpt"]


def test_both_formats_hold_the_refined_grasps_that_the_filter_keeps(sampled, hand):
    root, printed = sampled
    folder = only_run(root, "sample")
    rows = [row for row in read_results(folder / "results.parquet") if row["refine"] == "dexzoo"]
    chosen = [row for row in rows if row["kept"]] or rows
    assert ("the filter keeps none of the grasps: all are written" in printed) == (not any(r["kept"] for r in rows))
    for path in (folder / "grasps.npz", folder / "dexgraspnet"):
        (found,) = load_grasps(path, hand)
        pose = found.pose
        assert (found.object, found.scale.tolist()) == ("mug", [1.0] * len(chosen))
        flat = torch.cat([pose.translation, pose.rotation.flatten(1), pose.joints], dim=1)
        np.testing.assert_allclose(flat.numpy(), [row["pose"] for row in chosen], atol=1e-6)


def test_it_prints_a_table_and_where_the_files_are(sampled):
    root, printed = sampled
    folder = only_run(root, "sample")
    assert "mug: 3 grasps" in printed
    assert "refined      3 grasps, mean energy" in printed
    assert "Table 3" not in printed
    for name in ("grasps.npz", "dexgraspnet", "results.parquet", "grasps.png"):
        assert str(folder / name) in printed
        assert (folder / name).exists()
    assert (imageio.imread(folder / "grasps.png")[..., :3] < 200).any()


@pytest.mark.slow
def test_millimetres_give_the_same_grasps(trained, tmp_path, monkeypatch, hand, caplog):
    mesh = object_mesh("mug")
    mesh.export(tmp_path / "m.off")
    mesh.copy().apply_scale(1000).export(tmp_path / "mm.off")
    monkeypatch.chdir(tmp_path)
    common = ["task=sample", f"ckpt={trained}", "n=2", "refine=none", "measure=false", "select=none", "runs=runs"]
    run_here(*common, "object=m.off", "name=m")
    run_here(*common, "object=mm.off", "object_scale=0.001", "name=mm")
    metres, millimetres = (load_grasps(only_run(tmp_path, name) / "grasps.npz", hand)[0] for name in ("m", "mm"))
    torch.testing.assert_close(millimetres.pose.to_vector(), metres.pose.to_vector(), atol=1e-5, rtol=0)
    assert millimetres.scale.tolist() == [0.001] * 2
    assert "object_scale" not in caplog.text


@pytest.mark.parametrize("task", ["sample", pytest.param("refine", marks=pytest.mark.slow)])
def test_millimetres_are_taken_for_such_and_giants_refused(task, trained, hand, tmp_path, monkeypatch, capsys):
    object_mesh("mug").copy().apply_scale(1000).export(tmp_path / "mug.off")
    object_mesh("mug").copy().apply_scale(30).export(tmp_path / "giant.off")
    pose = demo.load_grasps()["mug"].pose[:2].to(torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    save_grasps(tmp_path / "mug.npz", [GraspSet("mug", pose, ones, torch.arange(2))], hand)
    monkeypatch.chdir(tmp_path)
    quick = ["measure=false", "select=none", *SHORT]
    what = {"sample": [f"ckpt={trained}", "n=2", "object="], "refine": ["grasps=mug.npz", "mesh="]}[task]
    said = refused(capsys, f"task={task}", *what[:-1], f"{what[-1]}giant.off", *quick)
    assert ": implausible: the longest side is " in said
    assert "object_scale=mm or object_scale=NUMBER states the unit of its file" in said
    for given in ([], ["object_scale=mm"]):
        run_here(f"task={task}", *what[:-1], f"{what[-1]}mug.off", *given, "name=mm", *quick)
        assert ("units long, which are taken for millimetres: " in capsys.readouterr().out) == (not given)
    for folder in (tmp_path / "runs/mm").iterdir():
        assert load_grasps(folder / "grasps.npz", hand)[0].scale.tolist() == [0.001] * 2


@pytest.mark.slow
def test_open_meshes_clouds_and_bad_ones_of_a_folder_all_get_grasps(trained, tmp_path, monkeypatch, capsys, hand):
    mug = object_mesh("mug")
    (tmp_path / "all").mkdir()
    mug.update_faces(mug.face_normals[:, 2] > -0.9)  # without its bottom
    mug.export(tmp_path / "all/open.glb")
    trimesh.PointCloud(mug.vertices).export(tmp_path / "all/cloud.ply")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(solids, "MAX_FACES", 2000)
    object_mesh("can").subdivide().subdivide().subdivide().export(tmp_path / "all/scan.stl")
    run_here("task=sample", f"ckpt={trained}", "object=all", "n=2", "refine=none", *SHORT[2:])
    printed, folder = capsys.readouterr().out, only_run(tmp_path, "sample")
    assert "mesh of open: " in printed
    assert "mm off, to which hand-object (cm³) and p.dist (cm) refer" in printed
    assert "mesh of scan: it is taken for a cloud: scan: expected at most 2,000 faces" in printed
    assert "a cloud has no inside: the grasps of cloud, scan are neither measured nor filtered" in printed
    written = {part.object: len(part) for part in load_grasps(folder / "grasps.npz", hand)}
    assert (written["cloud"], written["scan"]) == (2, 2)
    assert [row["object"] for row in read_results(folder / "results.parquet")] == ["open"] * 2  # kept or dropped


def test_sampling_names_grasps_that_are_nowhere_near(trained, tmp_path, monkeypatch, capsys):
    """A model that draws hands 5 m away."""
    object_mesh("mug").export(tmp_path / "mug.off")
    monkeypatch.chdir(tmp_path)
    draw = sample._draw

    def away(*args):
        drawn = draw(*args)
        return replace(drawn, pose=replace(drawn.pose, translation=drawn.pose.translation + 5))

    monkeypatch.setattr(sample, "_draw", away)
    run_here("task=sample", f"ckpt={trained}", "object=mug.off", "n=2", "refine=none", "select=none", *SHORT[2:])
    assert "implausible: 2 of 2 grasps: the hand is 8" in capsys.readouterr().out
    rows = read_results(only_run(tmp_path, "sample") / "results.parquet")
    assert all(row["implausible"].startswith("hand far from the object") for row in rows)


@pytest.mark.parametrize(
    ("factor", "scale", "hint"),
    [
        (1000.0, 1.0, "object_scale=0.001 would fit"),
        (1.0, 0.001, "object_scale=1 would fit"),
        (100.0, 1.0, "object_scale=0.01 would fit"),
        (5.0, 1.0, "trained on 0.04 to 0.15 m"),
        (1.0, 1.0, None),
        (2.2, 1.0, None),
    ],
)
def test_a_warning_names_the_likely_unit(factor, scale, hint, caplog):
    """A cube of corners at 0.1 m: larger than trained on by less than half again is no reason to warn."""
    corners = 0.1 / 3**0.5 * torch.tensor([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]).float()
    warn_of_size(UserObject("cube", factor * corners, None), scale, (0.04, 0.15))
    assert (hint in caplog.text) if hint else not caplog.text
    assert ("would fit" in caplog.text) == (hint is not None and "would fit" in hint)


def test_a_cloud_gets_grasps_without_numbers(trained, tmp_path, monkeypatch, capsys, hand):
    np.save(tmp_path / "mug.npy", object_mesh("mug").sample(300, seed=0))
    monkeypatch.chdir(tmp_path)
    run_here("task=sample", f"ckpt={trained}", "object=mug.npy", "n=2", *SHORT)
    printed, folder = capsys.readouterr().out, only_run(tmp_path, "sample")
    assert "a cloud has no inside: the grasps are neither measured nor filtered" in printed
    (found,) = load_grasps(folder / "grasps.npz", hand)
    assert len(found) == 2
    assert (folder / "grasps.png").is_file()
    assert not (folder / "results.parquet").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["object=mug.obj"], "ckpt: expected the folder of a run of a grasp model, found nothing; set ckpt=RUN"),
        (
            ["ckpt={run}"],
            "object: expected the file of a mesh or cloud, or a folder, found nothing",
        ),
        (["ckpt={run}", "object=mgu.obj"], "found no file mgu.obj; did you mean mug.obj?"),
        (["ckpt={run}", "object=[mug.obj,mgu.obj]"], "found no file mgu.obj; did you mean mug.obj?"),
        (["ckpt={run}", "object=none"], "none: expected files of .obj .stl"),
        (
            ["ckpt={run}", "object=mug.obj", "object_scale=cm"],
            "object_scale: expected auto, mm or metres per unit",
        ),
        (
            ["ckpt={run}", "object=mug.obj", "object_scale=0"],
            "expected metres per unit of the file, more than 0",
        ),
        (["ckpt={run}", "object=mug.obj", "model=contact_map"], "model=contact_map: expected the model of the run"),
        (["ckpt={run}", "object=mug.obj", "+model.n=3"], "+model.n=3: expected no settings of the model"),
        (
            ["ckpt={run}", "object=cloud.npy", "refine.fields=mesh"],
            "expected cloud for object 'cloud', which has no mesh",
        ),
        (["ckpt={run}", "object=mug.obj", "refine.fields=meh"], "fields: expected 'cloud' or 'mesh', found 'meh'"),
    ],
)
def test_what_sampling_refuses(args, message, sampled, trained, monkeypatch, capsys):
    root, _ = sampled
    monkeypatch.chdir(root)
    (root / "none").mkdir(exist_ok=True)
    np.save(root / "cloud.npy", object_mesh("mug").sample(300, seed=0))
    args = [arg.format(run=trained) for arg in args]
    assert message in refused(capsys, "task=sample", "name=refused", *args, *SHORT)


# -------------------------------------------------------------------------------------------------------- own objects


PCD = """# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x y z
SIZE 4 4 4
TYPE F F F
COUNT 1 1 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {1}
DATA {0}
"""


def test_names_of_objects_are_those_of_their_files_or_folders(tmp_path):
    for name in ("a.OBJ", "b.glb", "b.ply", "notes.txt", "c/coacd/decomposed.obj", "d/only.stl", "e/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = object_files(str(tmp_path))
    assert [str(path.relative_to(tmp_path)) for path in found.values()] == [
        "a.OBJ", "b.glb", "b.ply", "c/coacd/decomposed.obj", "d/only.stl",
    ]  # fmt: skip
    assert [*found][::3] == ["a", "c"]
    assert len(found) == 5
    assert object_files([str(tmp_path / "d"), "x.obj"]) == {"only": tmp_path / "d/only.stl", "x": Path("x.obj")}


def test_files_of_one_mesh_and_of_one_cloud_give_the_same_points(tmp_path):
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.05)
    points = []
    for suffix in ("obj", "stl", "ply", "off", "glb"):
        mesh.export(tmp_path / f"ball.{suffix}")
        obj = read_object(tmp_path / f"ball.{suffix}", 64)
        assert (obj.name, obj.mesh) == ("ball", tmp_path / f"ball.{suffix}")
        points.append(obj.points)
    for cloud in points:
        assert cloud.shape == (64, 3)
        assert cloud.norm(dim=1).min() > 0.048
        assert cloud.norm(dim=1).max() <= 0.05001
    np.save(tmp_path / "c.npy", np.hstack([mesh.vertices, mesh.vertex_normals]))
    np.savetxt(tmp_path / "c.xyz", mesh.vertices)
    trimesh.PointCloud(mesh.vertices).export(tmp_path / "c.ply")
    np.savez(tmp_path / "c.npz", points=mesh.vertices, other=np.eye(3))
    (tmp_path / "c.pcd").write_bytes(
        PCD.format("binary", len(mesh.vertices)).encode() + mesh.vertices.astype("<f4").tobytes()
    )
    text = "\n".join("{} {} {}".format(*point) for point in [*mesh.vertices.tolist(), ["nan"] * 3])
    (tmp_path / "d.pcd").write_text(PCD.format("ascii", len(mesh.vertices) + 1) + text)
    clouds = [read_object(tmp_path / name, 64) for name in ("c.npy", "c.npz", "c.xyz", "c.ply", "c.pcd", "d.pcd")]
    assert all(cloud.mesh is None for cloud in clouds)
    for cloud in clouds[1:]:
        torch.testing.assert_close(cloud.points, clouds[0].points, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("n", "kept"), [(20, 20), (500, 100)])
def test_the_most_spread_points_of_a_cloud_come_first(n, kept, tmp_path):
    """Models look at the first ones; against greedy picking by a loop. A small cloud is sorted too."""
    cloud = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    np.save(tmp_path / "c.npy", cloud)
    found = read_object(tmp_path / "c.npy", n).points.numpy()
    assert found.shape == (kept, 3)
    picked = [found[0]]
    for point in found[1:20]:
        gaps = np.linalg.norm(cloud[:, None] - np.array(picked)[None], axis=-1).min(1)
        assert np.linalg.norm(point - np.array(picked), axis=-1).min() == pytest.approx(gaps.max(), rel=1e-4)
        picked.append(point)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"1 2 3", r"a\.txt: expected one of \.3mf \.dae \.glb .*, found '\.txt'"),
        ("a.xyz", b"1 2 x\n", r"a\.xyz: expected numbers \(N, 3\), found: "),
        ("a.xyz", b"1 2\n3 4\n", r"expected numbers \(N, 3\), found float64 of shape \(2, 2\)"),
        ("a.xyz", b"1 2 3\n" * 31, "expected 32 or more finite points, found 31 of 31 finite"),
        ("a.xyz", b"1 2 3\n" * 40 + b"nan 0 0\n", "expected 32 or more finite points, found 40 of 41 finite"),
        ("a.npy", b"PK", r"a\.npy: expected numbers \(N, 3\), found: "),
        ("a.npz", b"PK", r"a\.npz: expected numbers \(N, 3\), found: "),
        ("a.pcd", b"DATA ascii\n", r"expected numbers \(N, 3\), found: the fields none, without x, y and z"),
        ("a.pcd", b"FIELDS x y z\nDATA binary_compressed\n", "pcl_convert_pcd_ascii_binary IN.pcd OUT.pcd 1"),
        ("a.ply", b"ply\nformat", r"a\.ply: expected a mesh or cloud, but its parser failed: "),
        ("a.obj", b"v 0 0 0\n", r"a\.obj: expected a"),
    ],
)
def test_objects_that_cannot_be_used_are_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_object(tmp_path / name, 64)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["mesh=meshes"], "grasps: expected a file or folder of grasps, found nothing; set grasps=PATH"),
        (["grasps=mine.npz"], "mesh: expected the object's mesh, or a folder of meshes, found nothing; set mesh=PATH"),
        (
            ["grasps=mine.npz", "mesh=meshes", "refine=none"],
            "refine: expected a refiner, found none; set refine=dexzoo",
        ),
        (["grasps=mine.npz", "mesh=meshes/jar.obj"], "expected a folder, because the grasps are of 2 objects"),
        (["grasps=mine.npz", "mesh=nowhere"], "mesh: {root}/nowhere: expected a mesh file or a folder of meshes"),
        (["grasps=mine.npz", "mesh=empty"], "expected a mesh of object 'jar', found none"),
        (["grasps=nan.npz", "mesh=meshes"], "grasps: expected grasps of finite numbers, found 2 that hold others"),
        (["grasps=mine.npz", "mesh=meshes", "contact_from={run}"], "expected a run of model=contact_map, found one of"),
        (["grasps=mine.npz", "mesh=meshes", "hand=mano_skeleton"], "hand: expected 'mano_skeleton', found 'shadow'"),
    ],
)
def test_what_refining_refuses(args, message, pushed, hand, trained, tmp_path, monkeypatch, capsys):
    save_grasps(tmp_path / "mine.npz", pushed, hand)
    unknown = pushed[1].pose.map(lambda x: torch.full_like(x, torch.nan))
    save_grasps(tmp_path / "nan.npz", [replace(pushed[1], pose=unknown)], hand)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    args = [arg.format(run=trained) for arg in args]
    assert message.format(root=tmp_path) in refused(capsys, "task=refine", *args, "runs=runs")
