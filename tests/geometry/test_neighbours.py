"""Oracles: scipy's KD-tree for the tables, the full distance matrix in numpy for the tree; finite differences."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from dexzoo.geometry import neighbours

SEARCHES = ["_knn_table", "_knn_tree"]


def clouds(m: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(3, m, 3, dtype=torch.float64), torch.randn(3, n, 3, dtype=torch.float64)


@pytest.mark.parametrize("n", [20, 600])  # on both sides of the size at which the search changes
@pytest.mark.parametrize("k", [1, 5, 20])
def test_knn_agrees_with_both_oracles(n: int, k: int) -> None:
    query, points = clouds(40, n)
    distance, index = neighbours.knn(query, points, k)
    matrix = np.linalg.norm(query.numpy()[:, :, None] - points.numpy()[:, None], axis=-1)
    np.testing.assert_array_equal(index, np.argsort(matrix, axis=-1)[..., :k])
    np.testing.assert_allclose(distance, np.sort(matrix, axis=-1)[..., :k], rtol=1e-12)
    tree = [cKDTree(p).query(q, [*range(1, k + 1)])[0] for q, p in zip(query.numpy(), points.numpy(), strict=True)]
    np.testing.assert_allclose(distance, np.stack(tree), rtol=1e-12)


@pytest.mark.parametrize("search", SEARCHES)
def test_all_searches_find_the_same(search: str) -> None:
    query, points = clouds(30, 50)
    matrix = torch.linalg.vector_norm(query.unsqueeze(2) - points.unsqueeze(1), dim=-1)
    assert torch.equal(getattr(neighbours, search)(query, points, 7), matrix.argsort(-1)[..., :7])


@pytest.mark.skipif(not find_spec("torch_cluster"), reason="torch_cluster is not installed")
def test_torch_cluster_finds_the_same() -> None:
    query, points = clouds(30, 50)
    assert torch.equal(neighbours._knn_cluster(query, points, 7), neighbours._knn_table(query, points, 7))


def test_the_table_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    query, points = clouds(30, 50)
    whole = neighbours._knn_table(query, points, 4)
    monkeypatch.setattr(neighbours, "_CHUNK", 400)
    assert torch.equal(neighbours._knn_table(query, points, 4), whole)


@pytest.mark.parametrize("n", [20, 600])
@pytest.mark.parametrize(("b", "m"), [(0, 5), (2, 0)])
def test_knn_of_nothing_is_empty(b: int, m: int, n: int) -> None:
    distance, index = neighbours.knn(torch.zeros(b, m, 3), torch.zeros(b, n, 3), 2)
    assert distance.shape == index.shape == (b, m, 2)


def test_knn_distances_are_exact_close_to_the_points_in_float32() -> None:
    points = torch.randn(1, 50, 3) + 100  # the product form |a|^2 - 2ab + |b|^2 would give about 0.06 here
    distance, index = neighbours.knn(points, points, 1)
    assert (distance == 0).all()
    assert torch.equal(index.flatten(), torch.arange(50))


def test_knn_gradcheck_and_finite_gradient_at_distance_0() -> None:
    query, points = clouds(4, 9)
    assert torch.autograd.gradcheck(
        lambda q, p: neighbours.knn(q, p, 3)[0], (query.requires_grad_(), points.requires_grad_())
    )
    same = torch.zeros(1, 1, 3, requires_grad=True)
    neighbours.knn(same, torch.zeros(1, 2, 3), 2)[0].sum().backward()
    assert (same.grad == 0).all()


@pytest.mark.parametrize("radius", [0.05, 0.5, 10.0])
def test_ball_query_agrees_with_a_naive_loop(radius: float) -> None:
    query, points = clouds(20, 40)
    index, found = neighbours.ball_query(query, points, radius, k=6)
    for b, m in np.ndindex(3, 20):
        distance = np.linalg.norm(points[b].numpy() - query[b, m].numpy(), axis=1)
        order = [int(i) for i in np.argsort(distance)]
        inside = [i for i in order if distance[i] <= radius][:6]
        assert found[b, m].tolist() == [True] * len(inside) + [False] * (6 - len(inside))
        assert index[b, m].tolist() == inside + [order[0]] * (6 - len(inside))


def test_ball_query_takes_the_border_in() -> None:
    _, found = neighbours.ball_query(torch.zeros(1, 1, 3), torch.tensor([[[1.0, 0, 0], [1.001, 0, 0]]]), 1.0, 2)
    assert found.tolist() == [[[True, False]]]


def test_bps_basis_is_uniform_in_the_ball() -> None:
    basis = neighbours.bps_basis(20000, radius=0.15, seed=0)
    share = (basis.norm(dim=-1) / 0.15) ** 3  # uniform in volume: uniform on 0..1
    np.testing.assert_allclose(np.quantile(share, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.015)
    assert basis.mean(0).abs().max() < 0.002
    assert torch.equal(basis, neighbours.bps_basis(20000, 0.15, 0))
    assert not torch.equal(basis, neighbours.bps_basis(20000, 0.15, 1))


def test_bps_encode_points_at_the_nearest_point() -> None:
    _, points = clouds(1, 60)
    basis = neighbours.bps_basis(32, 1.0).double()
    delta = neighbours.bps_encode(points, basis)
    for b in range(3):
        distance, index = cKDTree(points[b]).query(basis)
        np.testing.assert_allclose(delta[b], points[b, index] - basis, atol=1e-15)
        np.testing.assert_allclose(delta[b].norm(dim=-1), distance)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: neighbours.knn(p[0], p, 1), r"query: expected shape \(B, N, 3\), found \(9, 3\)"),
        (lambda p: neighbours.knn(p[:1], p, 1), "query: expected as many clouds as in points, 2, found 1"),
        (lambda p: neighbours.knn(p, p, 10), "k: expected 1 to 9, the number of points, found 10"),
        (lambda p: neighbours.ball_query(p, p, 0.0, 1), "radius: expected a positive number, found 0.0"),
        (lambda p: neighbours.bps_encode(p, p), r"basis: expected shape \(n, 3\), found \(2, 9, 3\)"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 9, 3))
