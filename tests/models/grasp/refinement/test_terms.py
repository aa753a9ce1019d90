"""Distances and terms of the refinement's energy, against loops, closed forms and finite differences."""

from dataclasses import replace

import pytest
import torch

from dexzoo.hands import load_hand
from dexzoo.losses.contact import soft_contact
from dexzoo.losses.energies import keypoint_repulsion_energy, plane_energy
from dexzoo.models.grasp.refinement.nearest import Cloud, HandShapes
from dexzoo.models.grasp.refinement.refiner import move
from dexzoo.models.grasp.refinement.terms import DexzooTerms, Scene, UniDexGraspTerms
from tests.models.grasp.refinement.conftest import RADIUS, Ball
from tests.oracles import refinement as oracle


def test_search_and_measurement_equal_the_loop_over_links(hand, pushed, grasps):
    points = grasps[1]
    shapes, links = HandShapes(hand), hand.forward_kinematics(pushed)
    placed = shapes.place(links)
    table = shapes.search(placed, Cloud(points))
    squared, _ = oracle.fields(hand, pushed, points)
    expected = -squared.sign() * squared.abs().sqrt()
    torch.testing.assert_close(table.amin(1), expected, atol=1e-6, rtol=0)
    owner = torch.arange(6).repeat_interleave(300)
    found = placed.distance(points.flatten(0, 1), owner, table.argmin(1).flatten())
    torch.testing.assert_close(found.view(6, 300), expected, atol=1e-6, rtol=0)


def test_the_gradient_of_the_nearest_distance_against_finite_differences(hand, pushed, grasps):
    shapes = HandShapes(hand)
    placed = shapes.place(hand.forward_kinematics(pushed[:2]))
    near = 0.01 * torch.randn(2, 60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cloud = Cloud(torch.cat([grasps[1][:2, :40], near + placed.centre.repeat(1, 4, 1)[:, :60]], dim=1))
    table = shapes.search(placed, cloud)
    boxes = table.argmin(1) >= shapes.capsules
    assert (boxes & (table.amin(1) < 0)).any(), "no point is inside a box"
    assert (boxes & (table.amin(1) > 0)).any(), "no point is outside a box"
    assert (~boxes & (table.amin(1) < 0)).any(), "no point is inside a capsule"

    def distance(rotation, centre):
        return shapes.nearest(replace(placed, rotation=rotation, centre=centre), cloud)[0]

    inputs = (placed.rotation.requires_grad_(True), placed.centre.requires_grad_(True))
    assert torch.autograd.gradcheck(distance, inputs, eps=1e-8, atol=1e-6, rtol=1e-5)


def test_of_two_equally_near_shapes_the_first_gets_the_gradient(hand, pushed, grasps):
    shapes = HandShapes(hand)
    placed = shapes.place(hand.forward_kinematics(pushed[:1]))
    for values in (placed.rotation[0], placed.centre[0], shapes.half, shapes.radius):
        values[4] = values[2]
    centre = placed.centre.clone().requires_grad_(True)
    distance, table = shapes.nearest(replace(placed, centre=centre), Cloud(grasps[1][:1]))
    assert torch.equal(table[:, 4], table[:, 2])
    point = (table[0, 2] - table[0].amin(0)).argmin()
    assert table[0, 2, point] == distance[0, point], "no point is nearest to the two"
    (gradient,) = torch.autograd.grad(distance[0, point], centre)
    assert gradient[0, 2].norm().item() == pytest.approx(1.0)
    assert gradient[0, 4].abs().max() == 0


def test_distances_in_single_precision_a_metre_away(hand, pushed, grasps):
    away = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    there, points = replace(pushed, translation=pushed.translation + away), grasps[1] + away
    single = load_hand("shadow")
    shapes = HandShapes(single)
    placed = shapes.place(single.forward_kinematics(there.map(torch.Tensor.float)))
    found, _ = shapes.nearest(placed, Cloud(points.float()))
    squared, _ = oracle.fields(hand, there, points)
    torch.testing.assert_close(found.double(), -squared.sign() * squared.abs().sqrt(), atol=2e-6, rtol=0)


def test_official_terms_equal_the_loop_over_links(hand, pushed, grasps):
    points = grasps[1]
    target = torch.rand(6, 300, dtype=torch.float64)
    plane = torch.tensor([0.0, 0.6, 0.8, -0.02], dtype=torch.float64).expand(6, -1)
    found = UniDexGraspTerms(hand)(pushed, Scene(Cloud(points), target, plane=plane))
    expected = oracle.terms(hand, pushed, points, target, plane)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.max() > 0, name
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


def test_our_terms_by_shapes_equal_the_loop_over_links(hand, pushed, grasps):
    points, squeeze = grasps[1], 0.001
    target, attract = torch.rand(6, 300, dtype=torch.float64), torch.rand(6, 14, dtype=torch.float64)
    found = DexzooTerms(hand, squeeze)(pushed, Scene(Cloud(points), target, attract))
    squared, _ = oracle.fields(hand, pushed, points)
    distance = -squared.sign() * squared.abs().sqrt()
    depth = (-distance - squeeze).clamp_min(0).sum(-1)
    torch.testing.assert_close(found["penetration"], depth, atol=1e-6, rtol=0)
    contact = (soft_contact(distance) - target).square().sum(-1)
    torch.testing.assert_close(found["contact"], contact, atol=1e-4, rtol=0)  # the sum of 300 values of slope 60 / m


def test_gaps_to_a_ball_have_their_closed_form(hand, pushed):
    """The distance of a segment to the centre, less both radii; probes 7 mm apart miss it by 0.2 mm at most."""
    scene = Scene(Cloud(torch.zeros(6, 1, 3, dtype=torch.float64)), fields=Ball())
    terms = DexzooTerms(hand, 0.0)
    shifted = replace(pushed, translation=pushed.translation - torch.tensor([0, 0, 0.05], dtype=torch.float64))
    found = terms.gaps(shifted, scene)
    links, capsules = hand.forward_kinematics(shifted), hand.capsules
    for column, name in enumerate(hand.spec.contact_links):
        k = [hand.link_names[i] for i in capsules.link.tolist()].index(name)
        link = int(capsules.link[k])
        ends = [
            (links.rotation[:, link] @ x) + links.translation[:, link] for x in (capsules.start[k], capsules.end[k])
        ]
        axis = ends[1] - ends[0]
        share = (-(ends[0] * axis).sum(-1) / (axis * axis).sum(-1)).clamp(0, 1)
        exact = (ends[0] + share[:, None] * axis).norm(dim=-1) - capsules.radius[k] - RADIUS
        assert (found[:, column] >= exact - 1e-9).all()
        torch.testing.assert_close(found[:, column], exact, atol=2e-4, rtol=0)


@pytest.mark.parametrize("by", ["grid", "primitives", "unidexgrasp"])
def test_gradients_against_finite_differences(hand, pushed, grasps, by):
    pose, generator = pushed[:1], torch.Generator().manual_seed(4)
    target = torch.rand(1, 300, dtype=torch.float64, generator=generator)
    plane = torch.tensor([[0.0, 0.6, 0.8, -0.02]], dtype=torch.float64)
    attract = torch.ones(1, 14, dtype=torch.float64)
    scene = Scene(Cloud(grasps[1][:1]), target, attract, plane, Ball() if by == "grid" else None)
    terms = UniDexGraspTerms(hand) if by == "unidexgrasp" else DexzooTerms(hand, 0.0005)
    x = torch.cat([torch.full((1, 6), 0.001, dtype=torch.float64), pose.joints], dim=-1).requires_grad_(True)
    names = list(terms(move(pose, x), scene))
    assert set(names) >= {"contact", "penetration", "repulsion", "table"}

    def energies(x):
        found = terms(move(pose, x), scene)
        return tuple(found[name] for name in names)

    assert torch.autograd.gradcheck(energies, (x,), eps=1e-8, atol=2e-5, rtol=1e-3)


def test_the_open_hand_does_not_repel_itself(hand):
    open_hand = replace(hand.rest_pose(1), joints=hand.clamp(torch.zeros(1, hand.num_joints, dtype=torch.float64)))
    inner = hand.penetration_keypoints
    points = hand.place(hand.forward_kinematics(open_hand), inner)
    assert keypoint_repulsion_energy(points, inner.link).item() == 0


def test_plane_energy_sums_depths():
    points = torch.tensor([[[0.0, 0, 0.03], [0.0, 0, -0.01], [1.0, 0, 0.005]]])
    plane = torch.tensor([[0.0, 0, 1, 0]])
    assert plane_energy(points, plane).item() == pytest.approx(0.01)
    assert plane_energy(points, plane, margin=0.01).item() == pytest.approx(0.02 + 0.005)
