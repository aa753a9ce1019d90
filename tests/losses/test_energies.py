"""Grasp energies against closed forms, brute force and finite differences."""

import math

import pytest
import torch

from dexzoo.losses.energies import (
    contact_distance_energy,
    force_closure_energy,
    joint_limit_energy,
    keypoint_repulsion_energy,
    penetration_energy,
    segment_distance,
    table_energy,
)


def sphere_contacts(directions):
    normals = torch.nn.functional.normalize(torch.tensor(directions, dtype=torch.float64), dim=-1)
    return 0.04 * normals, normals


@pytest.mark.parametrize(
    "directions",
    [
        [[1, 0, 0], [-1, 0, 0]],
        [[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]],
        [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]],
    ],
)
def test_force_closure_is_zero_for_balanced_pushes(directions):
    points, normals = sphere_contacts(directions)
    assert force_closure_energy(points[None], normals[None], 0.04).item() == pytest.approx(0, abs=1e-24)


def test_force_closure_of_one_sided_pushes_is_their_squared_sum():
    points, normals = sphere_contacts([[0, 0, 1]] * 3)
    assert force_closure_energy(points[None], normals[None], 0.04).item() == pytest.approx(9)


def test_force_closure_counts_the_torque_of_a_couple():
    """Two opposite pushes a lever of 2 cm apart: no force, torque 0.02 / 0.05."""
    points = torch.tensor([[[0.0, 0.01, 0.0], [0.0, -0.01, 0.0]]], dtype=torch.float64)
    normals = torch.tensor([[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]], dtype=torch.float64)
    assert force_closure_energy(points, normals, 0.05).item() == pytest.approx((0.02 / 0.05) ** 2)


def test_force_closure_does_not_depend_on_the_frame():
    torch.manual_seed(0)
    points = torch.randn(2, 4, 3, dtype=torch.float64)
    normals = torch.nn.functional.normalize(torch.randn(2, 4, 3, dtype=torch.float64), dim=-1)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    turn = turn * turn.det()
    moved = force_closure_energy(points @ turn.mT + 0.7, normals @ turn.mT, 0.1)
    torch.testing.assert_close(moved, force_closure_energy(points, normals, 0.1))


def test_sums_have_their_closed_forms():
    distance = torch.tensor([[0.01, -0.002, 0.0]])
    assert contact_distance_energy(distance).item() == pytest.approx(0.012)
    assert penetration_energy(distance).item() == pytest.approx(0.002)
    joints = torch.tensor([[-0.1, 0.5, 1.8]])
    lower, upper = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.5])
    assert joint_limit_energy(joints, lower, upper).item() == pytest.approx(0.4)
    points = torch.tensor([[[0.0, 0.0, -0.05], [0.0, 0.0, 0.1]]])
    assert table_energy(points).item() == pytest.approx(0.05)
    assert table_energy(points, height=-0.03).item() == pytest.approx(0.02)


def test_repulsion_counts_each_pair_of_different_links_once():
    points = torch.tensor([[[0.0, 0, 0], [0.005, 0, 0], [0.0, 0.012, 0]]])
    links = torch.tensor([0, 0, 1])
    expected = (0.02 - 0.012) + (0.02 - math.hypot(0.005, 0.012))
    assert keypoint_repulsion_energy(points, links, 0.02).item() == pytest.approx(expected, rel=1e-5)


def test_segment_distance_against_brute_force():
    torch.manual_seed(1)
    ends = torch.randn(200, 4, 3, dtype=torch.float64)
    ends[:10, 1] = ends[:10, 0]  # a segment of length zero
    ends[10:20, 3] = ends[10:20, 2] + 0.7 * (ends[10:20, 1] - ends[10:20, 0])  # parallel
    found = segment_distance(*ends.unbind(1))
    share = torch.linspace(0, 1, 401, dtype=torch.float64)[:, None]
    first = ends[:, None, 0] + share * (ends[:, 1] - ends[:, 0])[:, None]
    second = ends[:, None, 2] + share * (ends[:, 3] - ends[:, 2])[:, None]
    brute = torch.cdist(first, second).amin((1, 2))
    assert (found <= brute + 1e-9).all()
    torch.testing.assert_close(found, brute, atol=5e-3, rtol=0)


def test_crossing_segments_have_distance_zero_and_a_finite_gradient():
    start = torch.tensor([-1.0, 0, 0], requires_grad=True)
    distance = segment_distance(start, torch.tensor([1.0, 0, 0]), torch.tensor([0.0, -1, 0]), torch.tensor([0.0, 1, 0]))
    distance.backward()
    assert distance.item() < 1e-6
    assert start.grad.isfinite().all()


@pytest.mark.parametrize(
    "energy",
    [
        lambda x: force_closure_energy(x, torch.nn.functional.normalize(x.sin(), dim=-1), 0.05),
        lambda x: contact_distance_energy(x[..., 0]),
        lambda x: penetration_energy(x[..., 1]),
        lambda x: joint_limit_energy(x[..., 2], x.new_full((4,), -0.2), x.new_full((4,), 0.3)),
        lambda x: table_energy(x),
        lambda x: keypoint_repulsion_energy(x, torch.arange(4), 1.5),
        lambda x: segment_distance(*x.unbind(1)),
    ],
)
def test_gradients_against_finite_differences(energy):
    torch.manual_seed(2)
    x = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(energy, (x,))
