"""Oracles: closed forms for sphere and box, finite differences, exact winding numbers, a KD-tree of samples."""

import pickle
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from dexzoo.geometry import sdf_backends
from dexzoo.geometry.meshes import MeshError
from dexzoo.geometry.sdf import DistanceGrid, SignedDistance, closest_point

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(module), reason=f"{module} is not installed"))
    for name, module in (("warp", "warp"), ("igl", "igl"), ("trimesh", "rtree"))
] + [
    pytest.param(
        "kaolin",
        marks=pytest.mark.skipif(
            not (find_spec("kaolin") and torch.cuda.is_available()), reason="needs NVIDIA's kaolin and a GPU"
        ),
    )
]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
HALF = np.array([0.05, 0.1, 0.15])
both_backends = pytest.mark.parametrize("backend", BACKENDS)


def box(centre: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    return trimesh.creation.box(2 * HALF, transform=trimesh.transformations.translation_matrix(centre))


def box_distance(points: torch.Tensor) -> torch.Tensor:
    """Closed form (Quilez): distance outside from the positive parts, inside from the largest of the negative."""
    q = points.abs() - torch.tensor(HALF, dtype=points.dtype, device=points.device)
    return q.clamp(min=0).norm(dim=-1) + q.amax(-1).clamp(max=0)


def cloud(n: int, size: float = 0.3, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return (torch.rand(n, 3, dtype=dtype) - 0.5) * 2 * size


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-15), (torch.float32, 1e-7)])
@both_backends
def test_box_is_the_closed_form(backend: str, dtype: torch.dtype, tolerance: float, device: str) -> None:
    points = cloud(300, dtype=dtype).to(device)
    found = SignedDistance(box(), backend)(points)
    assert (found.dtype, found.device) == (points.dtype, points.device)
    torch.testing.assert_close(found, box_distance(points), atol=tolerance, rtol=0)


@both_backends
def test_sphere_depth_is_radius_minus_distance(backend: str) -> None:
    distance = SignedDistance(trimesh.creation.icosphere(subdivisions=4), backend)
    points = torch.tensor([[0.3, 0, 0], [0, 0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(distance(points), torch.tensor([-0.7, 2.0]).double(), atol=3e-3, rtol=0)  # tessellation


@both_backends
def test_gradient_is_the_finite_difference(backend: str) -> None:
    points = torch.tensor([[0.0, 0.01, 0.11], [0.02, 0.0, 0.03], [0.2, 0.3, 0.4], [0.2, 0.0, 0.0]]).double()
    assert torch.autograd.gradcheck(SignedDistance(box(), backend), points.requires_grad_())


@both_backends
def test_gradient_is_a_unit_vector_pointing_outside(backend: str) -> None:
    distance = SignedDistance(box(), backend)
    points = cloud(200).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(points).sum(), points)
    torch.testing.assert_close(gradient.norm(dim=-1), torch.ones(200).double())
    assert (distance(points + 1e-5 * gradient) > distance(points)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@both_backends
def test_on_the_surface_the_gradient_is_the_face_normal(backend: str, dtype: torch.dtype) -> None:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    points = torch.tensor(mesh.triangles_center, dtype=dtype, requires_grad=True)
    found = SignedDistance(mesh, backend)(points)
    found.sum().backward()
    assert found.abs().max() < 1e-8
    torch.testing.assert_close(points.grad.double(), torch.tensor(mesh.face_normals), atol=1e-6, rtol=0)


@both_backends
def test_any_batch_shape(backend: str) -> None:
    distance = SignedDistance(box(), backend)
    points = cloud(24).reshape(2, 3, 4, 3)
    torch.testing.assert_close(distance(points), box_distance(points))
    assert distance(points[0, 0, 0]).shape == ()
    assert distance(points[:0]).shape == (0, 3, 4)


@both_backends
def test_a_point_that_is_not_finite_is_nan_and_spoils_no_other(backend: str) -> None:
    points = torch.tensor([[torch.nan, 0, 0], [0, 0, 0], [0, torch.inf, 0]])
    found = SignedDistance(box(), backend)(points)
    assert found.isnan().tolist() == [True, False, True]
    assert found[1].item() == pytest.approx(-0.05)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
@both_backends
def test_units_and_place_do_not_matter(backend: str, factor: float) -> None:
    mesh = trimesh.creation.torus(0.1, 0.03)
    points = cloud(100, 0.15)
    expected = SignedDistance(mesh, backend)(points)
    far = torch.tensor([50.0, -20.0, 7.0], dtype=torch.float64)
    moved = trimesh.Trimesh(factor * (mesh.vertices + far.numpy()), mesh.faces, process=False)
    found = SignedDistance(moved, backend)(factor * (points + far))
    torch.testing.assert_close(found / factor, expected, atol=1e-12, rtol=0)


@both_backends
def test_overlapping_parts_and_a_hole_have_the_right_sign(backend: str) -> None:
    two = trimesh.util.concatenate([box(), box((0.05, 0, 0))])  # ray parity calls the overlap outside
    assert SignedDistance(two, backend)(torch.tensor([[0.025, 0.01, 0.02]])).item() < 0
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.1)
    ball.faces = ball.faces[3:]
    assert SignedDistance(ball, backend)(torch.tensor([[0.0, 0.0, 0.0]])).item() < 0


@both_backends
def test_signs_agree_with_the_exact_winding_number(backend: str) -> None:
    mesh = trimesh.util.concatenate([trimesh.creation.torus(0.1, 0.03), box()])
    points = cloud(500, 0.15)
    exact = sdf_backends.winding_number(points, torch.tensor(mesh.triangles))
    assert (exact - exact.round()).abs().max() < 1e-9  # 0, 1 or 2 for closed parts
    assert set(exact.round().tolist()) == {0, 1, 2}
    assert torch.equal(SignedDistance(mesh, backend)(points) < 0, exact > 0.5)


def test_distance_agrees_with_a_tree_of_surface_samples() -> None:
    mesh = trimesh.creation.annulus(0.05, 0.1, 0.1)
    points = cloud(200, 0.15)
    tree, _ = cKDTree(mesh.sample(200_000, seed=0)).query(points)
    found = SignedDistance(mesh)(points).abs()
    assert (found - torch.tensor(tree)).max() < 1e-12  # samples are never nearer than the surface
    torch.testing.assert_close(found, torch.tensor(tree), atol=5e-4, rtol=0)


def test_closest_point_agrees_with_trimesh_and_bears_degenerate_triangles() -> None:
    triangles, points = torch.randn(500, 3, 3).double(), torch.randn(500, 3).double()
    expected = trimesh.triangles.closest_point(triangles.numpy(), points.numpy())
    np.testing.assert_allclose(closest_point(points, triangles), expected, atol=1e-12)
    line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    assert closest_point(torch.tensor([[1.5, 1.0, 0.0]]), line).tolist() == [[1.5, 0, 0]]
    dot = torch.ones(1, 3, 3)
    assert closest_point(torch.zeros(1, 3), dot).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_grid_changes_nothing_but_the_time(size: float) -> None:
    parts = [trimesh.creation.torus(0.1, 0.03), box((0.02, 0.0, 0.0))]  # overlapping, with walls inside
    mesh = trimesh.util.concatenate(parts).apply_scale(size)
    plain = SignedDistance(mesh)
    fast = SignedDistance(mesh, grid=DistanceGrid(mesh, 0.008 * size, 0.016 * size))
    near = torch.from_numpy(mesh.sample(3000, seed=0)) + 0.002 * size * torch.randn(3000, 3).double()
    points = torch.cat([size * cloud(3000, 0.2), near])
    assert torch.equal(fast(points), plain(points))
    assert torch.equal(pickle.loads(pickle.dumps(fast))(points), plain(points))


def test_it_pickles() -> None:
    distance = SignedDistance(box())
    points = cloud(10)
    assert torch.equal(pickle.loads(pickle.dumps(distance))(points), distance(points))


@pytest.mark.slow
def test_the_package_is_light_and_warp_is_quiet() -> None:
    code = """
import sys, torch
import dexzoo.geometry.sdf, dexzoo.geometry.render
assert not {"warp", "igl"} & set(sys.modules), "slow imports"  # trimesh itself takes embreex along
import trimesh
dexzoo.geometry.sdf.SignedDistance(trimesh.creation.box())(torch.zeros(1, 3))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"expected one of warp \| igl \| trimesh \| kaolin \(installed: .*\), found 'vdb'"
    ):
        SignedDistance(box(), "vdb")


def test_a_backend_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdf_backends, "find_spec", lambda name: name == "warp")
    with pytest.raises(ValueError, match=r"'igl' needs the module 'igl', which is not installed; installed: warp$"):
        SignedDistance(box(), "igl")


def test_a_bad_mesh_is_named() -> None:
    inverted = box()
    inverted.invert()
    with pytest.raises(MeshError, match="faces that point outwards, found a volume below 0"):
        SignedDistance(inverted)
    with pytest.raises(MeshError, match="found no faces"):
        SignedDistance(trimesh.Trimesh(np.eye(3)))
    with pytest.raises(MeshError, match="all faces collapsed to one point"):
        SignedDistance(trimesh.Trimesh(np.ones((3, 3)), [[0, 1, 2]], process=False))
    with pytest.raises(ValueError, match=r"points: expected shape \(..., 3\), found \(2,\)"):
        SignedDistance(box())(torch.zeros(2))


@pytest.fixture(scope="module")
def grid() -> DistanceGrid:
    return DistanceGrid(box((0.01, 0.0, 0.0)), spacing=0.004, margin=0.03)


def shifted(points: torch.Tensor) -> torch.Tensor:
    return points - torch.tensor([0.01, 0, 0], dtype=points.dtype)


def test_grid_covers_mesh_and_margin(grid: DistanceGrid) -> None:
    upper = grid.origin + grid.spacing * (torch.tensor(grid.values.shape) - 1)
    expected = torch.tensor(HALF + 0.03).float()
    assert (grid.origin <= torch.tensor([0.01, 0, 0]) - expected + 1e-6).all()
    assert (upper >= torch.tensor([0.01, 0, 0]) + expected - 1e-6).all()
    assert (upper - grid.origin - 2 * expected < 2 * grid.spacing).all()


def test_grid_is_exact_at_its_nodes_and_within_half_a_spacing_elsewhere(grid: DistanceGrid) -> None:
    index = torch.cartesian_prod(*(torch.arange(0, n, 5) for n in grid.values.shape))
    nodes = grid.origin + grid.spacing * index
    torch.testing.assert_close(grid(nodes), box_distance(shifted(nodes)), atol=1e-6, rtol=0)
    points = cloud(2000, 0.075, torch.float32)
    error = (grid(points) - box_distance(shifted(points))).abs()
    assert error.max() < grid.spacing / 2
    flat = torch.tensor([[0.08, 0.03, 0.04], [0.0, 0.11, -0.02], [0.0551, 0.01, 0.1]])  # beside the faces: linear
    torch.testing.assert_close(grid(flat), box_distance(shifted(flat)), atol=1e-6, rtol=0)


def test_grid_beyond_its_border_adds_the_way_there(grid: DistanceGrid) -> None:
    upper = grid.origin + grid.spacing * (torch.tensor(grid.values.shape) - 1)
    border = torch.tensor([upper[0], 0.01, 0.02])
    beyond = border + torch.tensor([0.5, 0, 0])
    torch.testing.assert_close(grid(beyond), grid(border) + 0.5)
    torch.testing.assert_close(grid(upper + 0.1), grid(upper) + 0.1 * 3**0.5)
    points = cloud(500, 1.0, torch.float32)
    assert (grid(points) - box_distance(shifted(points)) > -1e-6).all()


def test_grid_gradient_is_the_finite_difference(grid: DistanceGrid) -> None:
    double = DistanceGrid.from_state(grid.state()).double()
    points = torch.tensor([[0.0511, 0.0213, 0.0017], [0.3, 0.4, 0.5], [0.0123, 0.0432, 0.9]]).double()
    assert torch.autograd.gradcheck(double, points.requires_grad_())


def test_grid_state_makes_the_same_grid(grid: DistanceGrid, tmp_path) -> None:
    np.savez(tmp_path / "grid.npz", **grid.state())
    with np.load(tmp_path / "grid.npz") as state:
        again = DistanceGrid.from_state(state)
    points = cloud(4, 0.2, torch.float32).reshape(2, 2, 3)
    assert torch.equal(again(points), grid(points))
    assert again(points.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DistanceGrid(box(), spacing=0), "expected spacing > 0 and margin >= 0, found 0 and 0.1"),
        (lambda: DistanceGrid(box(), margin=-1), "expected spacing > 0 and margin >= 0, found 0.004 and -1"),
        (lambda: DistanceGrid(box().apply_scale(1000)), "makes .* nodes of a mesh of 100x200x300 m; is the mesh in me"),
        (lambda: DistanceGrid.from_state({"values": np.zeros(3)}), "found no origin, spacing"),
        (
            lambda: DistanceGrid.from_state({"values": np.zeros(3), "origin": np.zeros(3), "spacing": 1.0}),
            r"expected values \(X, Y, Z\) and origin \(3,\), .* found \(3,\) and \(3,\)",
        ),
    ],
)
def test_a_bad_grid_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
