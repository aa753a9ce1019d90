"""Solids: the volume and the depth that closed forms say, whatever state the mesh was in, or an error that helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.geometry import solids
from dexzoo.geometry.meshes import MeshError
from dexzoo.geometry.remesh import deviation
from dexzoo.geometry.sdf import SignedDistance
from dexzoo.geometry.solids import (
    DILATION,
    MAX_FACES,
    convex_pieces,
    is_convex,
    make_solid,
    manifold_of,
    mesh_of,
    split_parts,
    unite_pieces,
)


def box(size: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    return trimesh.creation.box(size, trimesh.transformations.translation_matrix(centre))


def joined(*parts: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(list(parts))


@pytest.fixture
def halves() -> trimesh.Trimesh:
    """A cube of side 2 as two boxes that touch at x = 0."""
    return joined(box((1, 2, 2), (-0.5, 0, 0)), box((1, 2, 2), (0.5, 0, 0)))


@pytest.fixture
def l_shape() -> trimesh.Trimesh:
    solid = manifold_of(box((2, 1, 1), (1, 0.5, 0.5))) + manifold_of(box((1, 2, 1), (0.5, 1, 0.5)))
    return mesh_of(solid)  # volume 3


def test_touching_halves_have_the_depth_of_the_whole(halves: trimesh.Trimesh) -> None:
    solid, pieces, repairs = make_solid(halves)
    assert pieces is not None
    assert (len(pieces), len(solid.decompose()), repairs) == (2, 1, [])
    middle = torch.zeros(1, 3, dtype=torch.float64)
    assert SignedDistance(halves)(middle).item() == 0  # a wall, although trimesh calls the mesh watertight
    assert halves.is_watertight
    widened = 1 + DILATION * np.sqrt(3)
    assert SignedDistance(mesh_of(solid))(middle).item() == pytest.approx(-widened, rel=1e-6)


def test_dilation_is_relative_to_the_size(halves: trimesh.Trimesh) -> None:
    small = trimesh.Trimesh(halves.vertices * 1e-3, halves.faces, process=False)
    volumes = [make_solid(mesh)[0].volume() for mesh in (halves, small)]
    assert volumes[0] == pytest.approx((2 + 2 * DILATION * np.sqrt(3)) ** 3, rel=1e-9)
    assert volumes[1] == pytest.approx(volumes[0] * 1e-9, rel=1e-9)


def test_a_closed_mesh_is_taken_as_it_is(l_shape: trimesh.Trimesh) -> None:
    solid, pieces, repairs = make_solid(l_shape)
    assert solid.volume() == pytest.approx(3, rel=1e-12)
    assert (pieces, repairs) == (None, [])


def test_one_convex_part_is_its_own_piece_and_not_widened() -> None:
    solid, pieces, _ = make_solid(box((1, 2, 3)))
    assert solid.volume() == pytest.approx(6, rel=1e-12)
    assert pieces is not None
    assert pieces[0].volume == pytest.approx(6, rel=1e-12)


def test_overlapping_parts_count_once(l_shape: trimesh.Trimesh) -> None:
    solid, pieces, _ = make_solid(joined(l_shape, box((1, 1, 1), (0.5, 0.5, 0.7))))  # 0.2 stands out
    assert solid.volume() == pytest.approx(3.2, rel=1e-9)
    assert pieces is None


def test_an_inner_surface_turned_inwards_is_a_cavity() -> None:
    hollow = box((1, 1, 1))
    hollow.invert()
    solid, pieces, repairs = make_solid(joined(box((2, 2, 2)), hollow))
    assert solid.volume() == pytest.approx(7, rel=1e-9)
    assert (pieces, repairs) == (None, [])


def test_inside_out_is_turned_and_said(l_shape: trimesh.Trimesh) -> None:
    l_shape.invert()
    solid, _, repairs = make_solid(l_shape)
    assert solid.volume() == pytest.approx(3, rel=1e-12)
    assert repairs == ["turned inside out"]


def test_unmerged_faces_are_merged_and_said(l_shape: trimesh.Trimesh) -> None:
    loose = trimesh.Trimesh(
        l_shape.triangles.reshape(-1, 3), np.arange(3 * len(l_shape.faces)).reshape(-1, 3), process=False
    )
    solid, _, repairs = make_solid(loose)
    assert solid.volume() == pytest.approx(3, rel=1e-12)
    assert repairs == [f"merged {len(loose.vertices) - len(l_shape.vertices)} vertices at equal positions"]


def test_a_small_hole_is_filled_and_said() -> None:
    mesh = box((1, 1, 1))
    mesh.update_faces(np.arange(12) != 5)
    solid, _, repairs = make_solid(mesh)
    assert solid.volume() == pytest.approx(1, rel=1e-12)
    assert repairs == ["filled holes of three or four edges"]


def test_separate_convex_bodies_are_said() -> None:
    solid, _, repairs = make_solid(joined(box((1, 1, 1)), box((1, 1, 1), (3, 0, 0))))
    assert len(solid.decompose()) == 2
    assert repairs == ["its 2 convex pieces form 2 separate bodies"]


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (trimesh.Trimesh(), "can: expected a triangle mesh, found no faces"),
        (trimesh.Trimesh([[0, 0, np.nan], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False), "can: expected finite"),
        (trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False), "can: .* without an area"),
    ],
)
def test_a_mesh_that_bounds_nothing_is_refused(mesh: trimesh.Trimesh, message: str) -> None:
    with pytest.raises(MeshError, match=message):
        make_solid(mesh, "can")


def test_boxes_that_share_an_edge_are_closed() -> None:
    """Of the faces' edges one has four faces, as decimation leaves them."""
    mesh = joined(box((1, 1, 2)), box((1, 1, 2), (1, 1, 0)))
    mesh.merge_vertices()
    assert not mesh.is_watertight
    solid, _, repairs = make_solid(mesh)
    assert solid.volume() == pytest.approx(4, rel=1e-12)
    assert repairs == []


def test_a_scan_of_ten_million_faces_is_refused_before_any_work() -> None:
    faces = np.broadcast_to(np.array([0, 1, 2]), (10_000_000, 3))
    mesh = trimesh.Trimesh(np.eye(3), faces, process=False, validate=False)
    with pytest.raises(MeshError, match=rf"at most {MAX_FACES:,} faces, found 10,000,000; simplify"):
        make_solid(mesh, "scan")


def test_no_pieces_are_refused() -> None:
    with pytest.raises(MeshError, match="mug: expected at least one convex piece, found none"):
        unite_pieces([], name="mug")


def test_manifold_of_says_what_is_wrong_instead_of_returning_nothing() -> None:
    lidless = box((1, 1, 1))
    lidless.update_faces(np.arange(12) > 1)
    with pytest.raises(MeshError, match="pot: expected a closed manifold surface, found one that manifold3d calls Not"):
        manifold_of(lidless, "pot")


def test_round_trip_keeps_a_surface(l_shape: trimesh.Trimesh) -> None:
    again = mesh_of(manifold_of(l_shape))
    assert again.volume == pytest.approx(3, rel=1e-12)
    assert again.area == pytest.approx(l_shape.area, rel=1e-12)


def test_parts_keep_their_order_and_faces() -> None:
    parts = [box((1, 1, 1)), trimesh.creation.icosphere(subdivisions=1), box((2, 1, 1), (5, 0, 0))]
    found = split_parts(joined(*parts))
    assert [len(p.faces) for p in found] == [len(p.faces) for p in parts]
    for part, expected in zip(found, parts, strict=True):
        np.testing.assert_array_equal(part.triangles, expected.triangles)


def test_convexity(l_shape: trimesh.Trimesh) -> None:
    assert is_convex(box((1, 2, 3)))
    assert not is_convex(l_shape)


def test_coacd_may_die_or_hang_without_ending_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cup = mesh_of(manifold_of(box((2, 2, 2))) - manifold_of(box((1.6, 1.6, 2), (0, 0, 0.2))))
    (tmp_path / "coacd.py").write_text("import os\nos.write(2, b'Assertion n >= 4 failed')\nos.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MeshError, match="CoACD failed to cut the mesh into convex pieces: Assertion n >= 4 failed"):
        convex_pieces(cup)
    (tmp_path / "coacd.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(solids, "PATIENCE", 0.1)
    with pytest.raises(MeshError, match=r"CoACD found no convex pieces of the mesh within 0\.1 s"):
        convex_pieces(cup)


def test_coacd_is_given_a_coarser_solid_that_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bowl of 15 cm, with walls of 4 mm, a few thousand faces and no hull that would do."""
    outer, inner = (trimesh.creation.icosphere(subdivisions=4, radius=r) for r in (0.075, 0.071))
    above = manifold_of(box((1, 1, 1), (0, 0, 0.5)))
    bowl, given = mesh_of(manifold_of(outer) - manifold_of(inner) - above), {}
    monkeypatch.setattr(solids, "_coacd", lambda **inputs: given.update(inputs) or [inputs["vertices"]])
    convex_pieces(bowl)
    assert given["closed"]
    coarse = trimesh.Trimesh(given["vertices"] * 0.15, given["faces"]).apply_translation(bowl.bounds.mean(0))
    assert len(coarse.faces) < 0.8 * len(bowl.faces)
    assert deviation(coarse, bowl) <= 3.0e-4
    given.clear()
    bowl.update_faces(bowl.triangles_center[:, 2] > -0.07)
    convex_pieces(bowl)
    assert (given["closed"], len(given["faces"])) == (False, len(bowl.faces))


@pytest.mark.slow
def test_pieces_of_a_hollow_object_cover_it_better_than_its_hull() -> None:
    pytest.importorskip("coacd")
    cup = mesh_of(manifold_of(box((2, 2, 2))) - manifold_of(box((1.6, 1.6, 2), (0, 0, 0.2))))
    pieces = convex_pieces(cup)
    union = unite_pieces(pieces, dilation=0)
    assert len(pieces) > 1
    assert union.volume() == pytest.approx(cup.volume, rel=0.05)
    assert cup.convex_hull.volume > 2 * cup.volume
