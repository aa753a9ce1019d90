"""Diversity against constructed sets, scipy's mean rotation, and motions of the frame."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.hands import Hand, HandPose, load_hand
from dexzoo.metrics.functional.diversity import diversity, explained_variance, mean_rotation

NAN = float("nan")


@pytest.fixture(scope="module")
def hand() -> Hand:
    return load_hand("shadow")


def make(hand: Hand, n: int, seed: int = 0, angle: float = 0.4) -> HandPose:
    """Places of sd 1, 2 and 3 cm, turns of sd `angle` about each axis, joints of sd 0.1 rad."""
    rng = np.random.default_rng(seed)
    translation = torch.from_numpy(rng.normal(size=(n, 3)) * [0.01, 0.02, 0.03] + [0.1, 0, -0.2])
    rotation = torch.from_numpy(Rotation.from_rotvec(rng.normal(size=(n, 3)) * angle).as_matrix())
    joints = torch.from_numpy(rng.normal(size=(n, hand.num_joints)) * 0.1)
    return HandPose(translation, rotation, joints, hand.name)


def test_known_gaussian(hand: Hand) -> None:
    """The sds that the poses were drawn with come back, to the accuracy of 20000 draws."""
    found = diversity(hand, make(hand, 20000, angle=0.1))
    assert found.translation.item() == pytest.approx(np.sqrt(14) * 0.01, rel=0.02)
    assert found.rotation.item() == pytest.approx(np.sqrt(3) * 0.1, rel=0.02)
    assert found.joints.item() == pytest.approx(0.1, rel=0.02)


def test_two_grasps(hand: Hand) -> None:
    """Closed form: 6 cm, 1 rad and 0.2 rad apart; the sd of two values is their difference over sqrt(2)."""
    pose = hand.rest_pose(2).to(torch.float64).map(torch.clone)
    pose.translation[1] += torch.tensor([0.02, 0.04, 0.04])
    pose.rotation[1] = torch.from_numpy(Rotation.from_rotvec([0.6, 0, 0.8]).as_matrix())
    pose.joints[1] += 0.2
    found = diversity(hand, pose)
    spread = np.array([found.translation, found.rotation, found.joints])
    np.testing.assert_allclose(spread, np.array([0.06, 1.0, 0.2]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(found.explained, 1)  # two points lie on a line
    assert (found.n, found.n_missing) == (2, 0)


def test_equal_grasps_have_no_diversity(hand: Hand) -> None:
    found = diversity(hand, hand.rest_pose(4))
    np.testing.assert_allclose([found.translation, found.rotation, found.joints], 0, atol=1e-7)
    assert found.explained.isnan().all()


def test_mean_rotation_is_scipys(hand: Hand) -> None:
    for seed in range(5):
        rotation = make(hand, 6, seed, angle=1.0).rotation
        expected = Rotation.from_matrix(rotation.numpy()).mean()
        np.testing.assert_allclose(mean_rotation(rotation), expected.as_matrix(), atol=1e-9)
        angles = (expected.inv() * Rotation.from_matrix(rotation.numpy())).magnitude()
        found = diversity(hand, make(hand, 6, seed, angle=1.0)).rotation
        assert found.item() == pytest.approx(np.sqrt((angles**2).sum() / 5), rel=1e-9)


def test_mean_of_far_rotations_is_a_rotation() -> None:
    """Half turns about the three axes: the mean of the matrices is -I/3, whose nearest orthogonal one is a mirror."""
    half_turns = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double())
    found = mean_rotation(half_turns)
    torch.testing.assert_close(torch.linalg.det(found), torch.tensor(1.0).double())
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double())


def test_frame_of_the_object_makes_no_difference(hand: Hand) -> None:
    pose = make(hand, 9)
    turn = torch.from_numpy(Rotation.from_rotvec([1.0, -2, 0.5]).as_matrix())
    moved = diversity(hand, pose.moved_by(turn, torch.tensor([3.0, 1, -2]).double()))
    for name in ("translation", "rotation", "joints"):
        torch.testing.assert_close(getattr(moved, name), getattr(diversity(hand, pose), name), rtol=1e-9, atol=0)


def test_order_makes_no_difference(hand: Hand) -> None:
    pose = make(hand, 9)
    for found, expected in zip(
        astuple(diversity(hand, pose[[*range(8, -1, -1)]])), astuple(diversity(hand, pose)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_explained_variance_is_that_of_the_covariance(hand: Hand) -> None:
    """Oracle: numpy's eigenvalues of the covariance matrix of the vectors of `HandPose.to_vector`."""
    pose = make(hand, 40)
    values = np.sort(np.linalg.eigvalsh(np.cov(pose.to_vector().numpy().T)))[::-1]
    expected = values.cumsum() / values.sum()
    np.testing.assert_allclose(diversity(hand, pose).explained, expected[:5], rtol=1e-9)
    np.testing.assert_allclose(diversity(hand, pose, components=28).explained, expected, rtol=1e-9)
    few = explained_variance(pose.to_vector()[:3])
    assert few.shape == (28,)
    np.testing.assert_allclose(few[1:], 1)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_grasps_have_none(hand: Hand, n: int) -> None:
    found = diversity(hand, make(hand, n))
    assert [x.isnan().item() for x in (found.translation, found.rotation, found.joints)] == [True] * 3
    assert (found.explained.shape, found.explained.isnan().all().item()) == ((5,), True)
    assert (found.n, found.n_missing) == (n, 0)


def test_bad_poses_are_counted_and_left_out(hand: Hand) -> None:
    pose = make(hand, 6)
    pose.joints[1, 3], pose.translation[4, 0] = NAN, float("inf")
    found = diversity(hand, pose)
    assert (found.n, found.n_missing) == (4, 2)
    for a, b in zip(astuple(found)[:4], astuple(diversity(hand, pose[[0, 2, 3, 5]]))[:4], strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: diversity(h, replace(h.rest_pose(2), hand="mano")), r"of 'shadow', found \(2,\) of 'mano'"),
        (lambda h: diversity(h, h.rest_pose(2, 3)), r"poses \(N,\) of 'shadow', found \(2, 3\).*one object at a time"),
        (lambda h: diversity(h, h.rest_pose(2), components=0), r"components: expected 1 to 28, found 0"),
        (lambda h: diversity(h, h.rest_pose(2), components=29), r"components: expected 1 to 28, found 29"),
    ],
)  # fmt: skip
def test_bad_input_is_named(hand: Hand, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(hand)
