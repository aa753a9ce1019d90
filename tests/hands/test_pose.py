"""HandPose. Oracle: numpy on homogeneous matrices."""

import pytest
import torch

from dexzoo.geometry.rotations import geodesic_distance, rotvec_to_rotmat
from dexzoo.hands import HandPose


def _poses(*batch, seed=0, hand="shadow"):
    generator = torch.Generator().manual_seed(seed)

    def normal(n):
        return torch.randn(*batch, n, generator=generator, dtype=torch.float64)

    return HandPose(normal(3), rotvec_to_rotmat(normal(3)), normal(22), hand)


def _matrix(pose):
    matrix = torch.eye(4, dtype=torch.float64).repeat(*pose.shape, 1, 1)
    matrix[..., :3, :3], matrix[..., :3, 3] = pose.rotation, pose.translation
    return matrix


def test_vector_round_trip_and_order():
    pose = _poses(5, 2)
    vector = pose.to_vector()
    assert vector.shape == (5, 2, 28)
    torch.testing.assert_close(vector[..., :3], pose.translation)
    torch.testing.assert_close(rotvec_to_rotmat(vector[..., 3:6]), pose.rotation)
    torch.testing.assert_close(vector[..., 6:], pose.joints)
    again = HandPose.from_vector(vector, "shadow")
    torch.testing.assert_close(again.rotation, pose.rotation)


def test_relative_and_moved_are_matrix_products():
    pose, other = _poses(4), _poses(4, seed=1)
    relative = pose.relative_to(other)
    torch.testing.assert_close(_matrix(relative), torch.linalg.inv(_matrix(other)) @ _matrix(pose))
    back = relative.moved_by(other.rotation, other.translation)
    torch.testing.assert_close(_matrix(back), _matrix(pose))


def test_interpolation_ends_at_its_ends_and_is_even():
    a, b = _poses(4), _poses(4, seed=1)
    for progress, end in ((0.0, a), (1.0, b)):
        found = a.interpolate(b, torch.full((4,), progress, dtype=torch.float64))
        torch.testing.assert_close(_matrix(found), _matrix(end), atol=1e-9, rtol=0)
        torch.testing.assert_close(found.joints, end.joints)
    third = a.interpolate(b, torch.full((4,), 1 / 3, dtype=torch.float64))
    whole = geodesic_distance(a.rotation, b.rotation)
    torch.testing.assert_close(geodesic_distance(a.rotation, third.rotation), whole / 3)


def test_cat_stack_index_reshape():
    poses = [_poses(3, seed=k) for k in range(2)]
    assert HandPose.cat(poses).shape == (6,)
    stacked = HandPose.stack(poses, dim=1)
    assert stacked.shape == (3, 2)
    assert torch.equal(stacked[:, 1].joints, poses[1].joints)
    assert stacked.reshape(6).shape == (6,)
    assert stacked.to(torch.float32).joints.dtype == torch.float32


def test_errors():
    with pytest.raises(ValueError, match=r"expected poses of one hand, found \['mano', 'shadow'\]"):
        HandPose.cat([_poses(1), _poses(1, hand="mano")])
    with pytest.raises(ValueError, match="counted from the front"):
        HandPose.stack([_poses(1)], dim=-1)
    with pytest.raises(IndexError, match="indexed from the front"):
        _poses(2)[..., -1]
