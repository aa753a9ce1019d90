"""Oracle: scipy.spatial.transform.Rotation (xyzw there, wxyz here) and finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.geometry import rotations as rot

ANGLES = [0.0, 1e-12, 1e-7, 1e-3, 0.0316, 0.0317, 0.5, 2.0, 3.0, math.pi - 1e-3, math.pi - 1e-7, math.pi - 1e-11]
AXES = ["xyz", "xzy", "yxz", "yzx", "zxy", "zyx"]
ODD = [np.eye(3), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]  # angles 0 and pi


def directions(n: int = 40) -> np.ndarray:
    axis = np.concatenate([np.eye(3), -np.eye(3), np.random.default_rng(0).normal(size=(n, 3))])
    return axis / np.linalg.norm(axis, axis=1, keepdims=True)


def random_rotmats(n: int, seed: int = 0) -> torch.Tensor:
    return torch.tensor(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


@pytest.mark.parametrize("angle", ANGLES)
def test_rotvec_agrees_with_scipy_both_ways(angle: float) -> None:
    rotvec = torch.tensor(angle * directions())
    rotmat = torch.tensor(Rotation.from_rotvec(rotvec.numpy()).as_matrix())
    torch.testing.assert_close(rot.rotvec_to_rotmat(rotvec), rotmat, atol=1e-14, rtol=0)
    torch.testing.assert_close(rot.rotmat_to_rotvec(rotmat), rotvec, atol=3e-15, rtol=1e-12)


@pytest.mark.parametrize("angle", [a for a in ANGLES if a < 3.14])
def test_rotvec_is_accurate_in_float32(angle: float) -> None:
    rotvec = torch.tensor(angle * directions())
    rotmat = torch.tensor(Rotation.from_rotvec(rotvec.numpy()).as_matrix())
    torch.testing.assert_close(rot.rotmat_to_rotvec(rotmat.float()).double(), rotvec, atol=5e-7, rtol=0)


@pytest.mark.parametrize("angle", ANGLES)
def test_rotvec_round_trip_has_the_identity_as_gradient(angle: float) -> None:
    rotvec = torch.tensor(angle * directions(5), requires_grad=True)
    weight = torch.tensor(np.random.default_rng(1).normal(size=rotvec.shape))
    (weight * rot.rotmat_to_rotvec(rot.rotvec_to_rotmat(rotvec))).sum().backward()
    torch.testing.assert_close(rotvec.grad, weight, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.0316, 1.0, 3.0])
def test_rotvec_to_rotmat_gradcheck(angle: float) -> None:
    rotvec = torch.tensor(angle * directions(2), requires_grad=True)
    assert torch.autograd.gradcheck(rot.rotvec_to_rotmat, rotvec)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("R", ODD, ids=["0", "pi x", "pi y", "pi z"])
def test_values_and_gradients_are_finite_at_0_and_pi(R: np.ndarray, dtype: torch.dtype) -> None:
    a = torch.eye(3, dtype=dtype, requires_grad=True)
    b = torch.tensor(R, dtype=dtype, requires_grad=True)
    t = torch.tensor(0.3, dtype=dtype, requires_grad=True)
    angle = 0.0 if R is ODD[0] else math.pi
    distance = rot.geodesic_distance(a, b)
    assert distance.item() == pytest.approx(angle, abs=1e-6)
    assert rot.rotmat_to_rotvec(b).norm().item() == pytest.approx(angle, abs=1e-6)
    between = rot.slerp(a, b, t)
    assert rot.geodesic_distance(a, between).item() == pytest.approx(0.3 * angle, abs=1e-6)
    (distance + between.sum() + rot.rotmat_to_rotvec(b).sum() + rot.rotmat_to_euler(b).sum()).backward()
    for x in (a, b, t):
        assert x.grad.isfinite().all()


def test_rotvec_to_rotmat_is_finite_at_the_zero_vector_and_at_full_turns() -> None:
    rotvec = torch.tensor([[0.0, 0, 0], [math.pi, 0, 0], [0, math.tau, 0]], requires_grad=True)
    rot.rotvec_to_rotmat(rotvec).sum().backward()
    assert rotvec.grad.isfinite().all()


def test_quaternions_agree_with_scipy() -> None:
    R = torch.cat([random_rotmats(200), torch.tensor(np.stack(ODD))])
    wxyz = Rotation.from_matrix(R.numpy()).as_quat(canonical=True)[:, [3, 0, 1, 2]]
    quat = rot.rotmat_to_quat(R)
    torch.testing.assert_close(quat, torch.tensor(wxyz), atol=1e-14, rtol=0)
    torch.testing.assert_close(rot.quat_to_rotmat(-3 * quat), R, atol=1e-14, rtol=0)


@pytest.mark.parametrize("axes", AXES)
def test_euler_agrees_with_scipy(axes: str) -> None:
    angles = np.random.default_rng(0).uniform(-1, 1, (50, 3)) * [3.1, 1.55, 3.1]
    R = rot.euler_to_rotmat(torch.tensor(angles), axes)
    torch.testing.assert_close(R, torch.tensor(Rotation.from_euler(axes, angles).as_matrix()), atol=1e-14, rtol=0)
    torch.testing.assert_close(rot.rotmat_to_euler(R, axes), torch.tensor(angles), atol=1e-12, rtol=0)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("axes", AXES)
def test_euler_in_gimbal_lock_gives_the_same_rotation(axes: str, sign: int) -> None:
    angles = np.random.default_rng(0).uniform(-3, 3, (20, 3))
    angles[:, 1] = sign * np.pi / 2
    R = torch.tensor(Rotation.from_euler(axes, angles).as_matrix(), requires_grad=True)
    back = rot.rotmat_to_euler(R, axes)
    back.sum().backward()
    assert R.grad.isfinite().all()
    assert (back[:, 2] == 0).all()
    torch.testing.assert_close(rot.euler_to_rotmat(back, axes), R, atol=1e-14, rtol=0)


def test_euler_convention_is_the_documented_product() -> None:
    x, y, z = (Rotation.from_euler(axis, angle).as_matrix() for axis, angle in zip("xyz", (0.1, 0.2, 0.3), strict=True))
    R = rot.euler_to_rotmat(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
    np.testing.assert_allclose(R, z @ y @ x, atol=1e-15)


def test_rot6d_is_the_first_two_columns() -> None:
    R = random_rotmats(20)
    d = rot.rotmat_to_rot6d(R)
    torch.testing.assert_close(d, torch.cat([R[:, :, 0], R[:, :, 1]], dim=-1))
    scaled = torch.cat([2 * d[:, :3], 3 * d[:, 3:] + 0.5 * d[:, :3]], dim=-1)
    torch.testing.assert_close(rot.rot6d_to_rotmat(scaled), R, atol=1e-14, rtol=0)


def test_rot6d_of_anything_is_a_rotation() -> None:
    R = rot.rot6d_to_rotmat(torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3), atol=1e-14, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("t", [-0.5, 0.0, 0.25, 1.0, 1.5])
def test_slerp_agrees_with_scipy(t: float) -> None:
    a, b = random_rotmats(30, 0), random_rotmats(30, 1)
    start, end = Rotation.from_matrix(a.numpy()), Rotation.from_matrix(b.numpy())
    expected = start * Rotation.from_rotvec(t * (start.inv() * end).as_rotvec())
    found = rot.slerp(a, b, torch.full((30,), t, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(expected.as_matrix()), atol=1e-12, rtol=0)


def test_slerp_broadcasts_over_time() -> None:
    a, b, t = random_rotmats(2, 0)[:, None], random_rotmats(2, 1)[:, None], torch.linspace(0, 1, 5).double()
    path = rot.slerp(a, b, t)
    assert path.shape == (2, 5, 3, 3)
    steps = rot.geodesic_distance(path[:, 1:], path[:, :-1])
    torch.testing.assert_close(steps, rot.geodesic_distance(a, b).expand(2, 4) / 4, atol=1e-12, rtol=0)


@pytest.mark.parametrize("angle", ANGLES)
def test_geodesic_distance_is_the_angle(angle: float) -> None:
    a = random_rotmats(46)
    b = a @ torch.tensor(Rotation.from_rotvec(angle * directions()).as_matrix())
    torch.testing.assert_close(
        rot.geodesic_distance(a, b), torch.full((46,), angle, dtype=torch.float64), atol=3e-15, rtol=1e-12
    )


def test_geodesic_distance_gradcheck_on_the_group() -> None:
    a = random_rotmats(4)
    rotvec = torch.tensor(directions(4)[-4:] * [[0.01], [1.0], [2.0], [3.1]], requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: rot.geodesic_distance(a, a @ rot.rotvec_to_rotmat(v)), rotvec)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_any_batch_shape(shape: tuple[int, ...]) -> None:
    R = rot.rotvec_to_rotmat(torch.ones(*shape, 3))
    assert R.shape == (*shape, 3, 3)
    assert rot.rotmat_to_rotvec(R).shape == (*shape, 3)
    assert rot.rotmat_to_quat(R).shape == (*shape, 4)
    assert rot.quat_to_rotmat(rot.rotmat_to_quat(R)).shape == R.shape
    assert rot.rot6d_to_rotmat(rot.rotmat_to_rot6d(R)).shape == R.shape
    assert rot.euler_to_rotmat(rot.rotmat_to_euler(R)).shape == R.shape
    assert rot.geodesic_distance(R, R).shape == shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rot.rotvec_to_rotmat(torch.zeros(4)), r"v: expected shape \(..., 3\), found \(4,\)"),
        (lambda: rot.quat_to_rotmat(torch.zeros(2, 3)), r"q: expected shape \(..., 4\), found \(2, 3\)"),
        (lambda: rot.rot6d_to_rotmat(torch.zeros(3, 3)), r"d: expected shape \(..., 6\), found \(3, 3\)"),
        (lambda: rot.rotmat_to_rotvec(torch.zeros(3)), r"R: expected shape \(..., 3, 3\), found \(3,\)"),
        (lambda: rot.slerp(torch.eye(3), torch.zeros(4, 4), torch.ones(1)), r"b: expected shape .* found \(4, 4\)"),
        (lambda: rot.euler_to_rotmat(torch.zeros(3), "XYZ"), "axes: expected a permutation of 'xyz' .* found 'XYZ'"),
        (lambda: rot.rotmat_to_euler(torch.eye(3), "zxz"), "axes: expected a permutation of 'xyz' .* found 'zxz'"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
