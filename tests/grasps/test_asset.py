"""Object assets: right numbers, made once, the same after pickling and whatever the unit of the mesh."""

from __future__ import annotations

import ast
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.geometry.meshes import MeshError
from dexzoo.grasps import asset as assets
from dexzoo.grasps.asset import ObjectAsset
from tests.geometry.test_solids import box, joined

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT.parent / "shared" / "data" / "dexgraspnet_sample" / "meshdata"

THREAD = "OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n"
"""A face without an area."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def brick() -> trimesh.Trimesh:
    return box((0.2, 0.1, 0.04), (0.1, 0.3, 0.0))


def test_mass_properties_of_a_brick(brick: trimesh.Trimesh) -> None:
    asset = ObjectAsset.from_mesh(brick)
    assert asset.volume == pytest.approx(0.2 * 0.1 * 0.04, rel=1e-12)
    np.testing.assert_allclose(asset.centre_of_mass, [0.1, 0.3, 0.0], atol=1e-12)
    assert asset.radius == pytest.approx(np.linalg.norm([0.1, 0.05, 0.02]), rel=1e-12)
    assert [len(p) for p in asset.pieces] == [8]


def test_centre_of_mass_does_not_depend_on_the_tessellation(brick: trimesh.Trimesh) -> None:
    fine = brick.copy()
    for _ in range(3):  # one side only: the mean of the vertices moves
        fine = fine.subdivide(np.flatnonzero(fine.triangles_center[:, 0] > 0.15))
    fine.merge_vertices()
    assert abs(fine.vertices[:, 0].mean() - 0.1) > 0.02
    # T-junctions open the surface, so the two are compared through trimesh's integral over faces
    np.testing.assert_allclose(fine.center_mass, ObjectAsset.from_mesh(brick).centre_of_mass, atol=1e-9)


def test_grid_is_the_exact_distance_at_its_nodes(brick: trimesh.Trimesh) -> None:
    asset = ObjectAsset.from_mesh(brick)
    grid = asset.grid
    assert 60 <= max(grid.values.shape) <= 66
    index = torch.tensor([[3, 4, 5], [30, 10, 7], [60, 20, 12]])
    nodes = grid.origin + grid.spacing * index
    torch.testing.assert_close(grid.values[tuple(index.T)], asset.distance(nodes), atol=1e-6, rtol=0)


def test_a_grid_that_a_test_made_has_gradients_afterwards(brick: trimesh.Trimesh) -> None:
    """Lightning tests in inference mode; the object of a mesh file is kept for the next task of the process."""
    asset, point = ObjectAsset.from_mesh(brick), torch.zeros(1, 3, requires_grad=True)
    with torch.inference_mode():
        asset.grid(point)
    asset.grid(point + 1).sum().backward()
    assert point.grad is not None


def test_slow_parts_are_made_once(brick: trimesh.Trimesh, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ObjectAsset.from_mesh(brick)
    first.grid  # noqa: B018 - fills the cache
    monkeypatch.setattr(assets, "make_solid", None)
    monkeypatch.setattr(assets, "DistanceGrid", type("Kept", (), {"from_state": first.grid.from_state}))
    again = ObjectAsset.from_mesh(brick)
    assert again.key == first.key
    torch.testing.assert_close(again.grid.values, first.grid.values)


def test_pickle_leaves_the_search_structures_out(brick: trimesh.Trimesh) -> None:
    asset = ObjectAsset.from_mesh(brick)
    asset.distance, asset.manifold  # noqa: B018 - makes them
    again = pickle.loads(pickle.dumps(asset))
    assert "manifold" not in vars(again)
    assert again.volume == asset.volume
    point = torch.tensor([[0.1, 0.3, 0.0]], dtype=torch.float64)
    assert again.distance(point).item() == pytest.approx(-0.02, abs=1e-9)


def test_millimetres_give_the_same_object(brick: trimesh.Trimesh) -> None:
    metres = ObjectAsset.from_mesh(joined(brick, box((0.2, 0.1, 0.04), (0.3, 0.3, 0.0))))
    scaled = metres.mesh.copy().apply_scale(1000)
    millimetres = ObjectAsset.from_mesh(scaled)
    assert millimetres.volume == pytest.approx(1e9 * metres.volume, rel=1e-9)
    np.testing.assert_allclose(millimetres.centre_of_mass, 1000 * metres.centre_of_mass, rtol=1e-9, atol=1e-9)
    assert millimetres.grid.values.shape == metres.grid.values.shape


def test_given_pieces_are_used_and_tell_assets_apart(brick: trimesh.Trimesh) -> None:
    plain = ObjectAsset.from_mesh(brick)
    given = ObjectAsset.from_mesh(brick, pieces=[np.asarray(brick.vertices[:4]), np.asarray(brick.vertices[4:])])
    assert [len(p) for p in given.pieces] == [4, 4]
    assert given.key != plain.key


def test_an_open_mesh_gets_a_solid_and_says_how_far_off_it_is(brick: trimesh.Trimesh) -> None:
    assert ObjectAsset.from_mesh(brick).said(1.0) == ()
    asset = ObjectAsset.from_mesh(trimesh.Trimesh([[0, 0, 0], [160, 0, 0], [0, 160, 0]], [[0, 1, 2]]), "sheet")
    assert asset.solid.is_watertight
    assert asset.deviation == pytest.approx(1, abs=0.05)  # a cell of the 160 along its side
    assert asset.said(0.001)[0] == "3 open edges: wrapped in a shell"
    assert asset.said(0.001)[1].startswith("at most 1 mm off")


def test_pieces_that_fail_are_tried_once(brick: trimesh.Trimesh, monkeypatch: pytest.MonkeyPatch) -> None:
    asset, tried = ObjectAsset.from_mesh(joined(brick, box((0.1, 0.1, 0.3)))), []
    asset = replace(asset, _given=None)

    def fail(mesh: trimesh.Trimesh) -> None:
        tried.append(mesh)
        raise MeshError("CoACD failed")

    monkeypatch.setattr(assets, "convex_pieces", fail)
    for _ in range(2):
        with pytest.raises(MeshError, match="CoACD failed"):
            asset.pieces  # noqa: B018 - makes them
    assert len(tried) == 1


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"expected a mesh file, found a folder"):
        ObjectAsset.from_file(tmp_path)
    (tmp_path / "thread.off").write_text(THREAD)
    with pytest.raises(MeshError, match=r"thread.off: expected a surface, found faces without an area"):
        ObjectAsset.from_file(tmp_path / "thread.off")


def test_a_refused_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "thread.off", assets.load_mesh
    path.write_text(THREAD)
    seen = []
    monkeypatch.setattr(assets, "load_mesh", lambda path: seen.append(path) or read(path))
    for _ in range(2):
        with pytest.raises(MeshError, match=r"thread: expected a surface, found faces without an area"):
            assets.load_asset(path, "thread")
    assert len(seen) == 1
    trimesh.creation.box((1, 1, 1)).export(path)
    assert assets.load_asset(path, "thread").volume == pytest.approx(1, rel=1e-3)


def test_objects_of_files_are_kept_in_one_place() -> None:
    """No other function that remembers its results returns an object."""
    keepers = []
    for path in sorted(ROOT.glob("[a-z]*/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())) if path.relative_to(ROOT).parts[0] != "tests" else ():
            if isinstance(node, ast.FunctionDef) and node.returns is not None:
                remembers = any(
                    "cache" in ast.unparse(d) and "property" not in ast.unparse(d) for d in node.decorator_list
                )
                if remembers and "ObjectAsset" in ast.unparse(node.returns):
                    keepers.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert keepers == ["grasps/asset.py: _read_asset"]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no samples of DexGraspNet beside the project")
@pytest.mark.parametrize(("name", "pieces"), [("core-mug", 27), ("ddg-gd_banana", 4), ("sem-Bottle", 5)])
def test_objects_of_dexgraspnet_become_one_solid(name: str, pieces: int) -> None:
    (folder,) = SAMPLE.glob(f"{name}*")
    asset = ObjectAsset.from_file(folder / "coacd" / "decomposed.obj", name)
    assert (len(asset.pieces), len(asset.manifold.decompose()), asset.repairs) == (pieces, 1, ())
    hulls = sum(trimesh.convex.convex_hull(p).volume for p in asset.pieces)
    assert 1.001 < asset.volume / hulls < 1.0045  # what the dilation may add
