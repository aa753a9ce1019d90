"""Contact values and the palmar field against published values, a naive loop and finite differences."""

import pytest
import torch

from dexzoo.hands import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.losses.contact import bin_centres, contact_bins, contact_map_energy, palmar_penetration, soft_contact
from tests.oracles import refinement as oracle


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow").double()


def poses(hand, n):
    generator = torch.Generator().manual_seed(1)
    turn, _ = torch.linalg.qr(torch.randn(n, 3, 3, dtype=torch.float64, generator=generator))
    turn = turn * torch.linalg.det(turn)[:, None, None]
    joints = hand.lower + torch.rand(n, hand.num_joints, dtype=torch.float64, generator=generator) * (
        hand.upper - hand.lower
    )
    return HandPose(0.05 * torch.randn(n, 3, dtype=torch.float64, generator=generator), turn, joints, hand.name)


def near_points(hand, pose, n):
    """Points inside and around the hand, (B, n, 3)."""
    surface = hand.place(hand.forward_kinematics(pose), hand.surface(n))
    return surface + 0.006 * torch.randn(surface.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_soft_contact_has_its_published_values():
    distance = torch.tensor([0.0, 0.005, 0.010, 0.020, 0.030, 0.050])
    expected = torch.tensor([1, 0.85, 0.71, 0.46, 0.28, 0.095])
    torch.testing.assert_close(soft_contact(distance), expected, atol=5e-3, rtol=0)
    assert soft_contact(torch.tensor([-0.01])).item() == 1, "a point inside is touched"


def test_full_contact_falls_into_the_last_bin_and_decoding_is_off_by_half_a_bin_at_most():
    contact = torch.linspace(0, 1, 1001, dtype=torch.float64)
    bins = contact_bins(contact, 10)
    assert bins[0] == 0
    assert bins[-1] == 9
    assert (bin_centres(10).double()[bins] - contact).abs().max() <= 0.05 + 1e-6


def test_contact_map_energy_is_a_sum_over_points():
    contact, target = torch.tensor([[1.0, 0.5, 0.0]]), torch.tensor([[0.5, 0.5, 0.2]])
    assert contact_map_energy(contact, target).item() == pytest.approx(0.25 + 0.04)


def test_palmar_field_equals_the_loop_over_links(hand):
    pose = poses(hand, 5)
    points = near_points(hand, pose, 300)
    found = palmar_penetration(hand, hand.forward_kinematics(pose), points)
    _, expected = oracle.fields(hand, pose, points)
    assert (expected > 0).double().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-7)


def test_palmar_field_of_a_point_on_the_axis_is_the_squared_radius(hand):
    """The middle of the first finger's proximal capsule is a radius away from the palmar line."""
    pose = hand.rest_pose(1)
    links = hand.forward_kinematics(pose)
    capsules = hand.capsules
    middle = (capsules.start[0] + capsules.end[0]) / 2
    k = int(capsules.link[0])
    point = links.rotation[0, k] @ middle + links.translation[0, k]
    found = palmar_penetration(hand, links, point.view(1, 1, 3))
    assert found.item() == pytest.approx(float(capsules.radius[0]) ** 2)


def test_gradients_against_finite_differences(hand):
    pose = poses(hand, 1)
    points = near_points(hand, pose, 40)
    inside = palmar_penetration(hand, hand.forward_kinematics(pose), points) > 1e-6

    def energy(translation, joints):
        links = hand.forward_kinematics(HandPose(translation, pose.rotation, joints, hand.name))
        return palmar_penetration(hand, links, points)[inside].sum()

    inputs = pose.translation.clone().requires_grad_(True), pose.joints.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(energy, inputs)
