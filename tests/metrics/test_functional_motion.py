"""Motion errors against closed forms, their naive twins and the traps of padding."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from dexzoo.metrics.functional import motion as functional
from tests.metrics.tester import check_padding_is_ignored
from tests.oracles import motion as naive

B, T, K = 5, 9, 4
LENGTHS = torch.tensor([9, 6, 3, 2, 5])
MASK = torch.arange(T) < LENGTHS[:, None]
FPS = torch.tensor([30.0, 60.0, 20.0, 30.0, 120.0], dtype=torch.float64)


@pytest.fixture
def clips() -> tuple[Tensor, Tensor]:
    """Predicted and true key points, (B, T, K, 3), float64."""
    generator = torch.Generator().manual_seed(3)
    target = torch.randn(B, T, K, 3, generator=generator, dtype=torch.float64)
    return target + 0.1 * torch.randn(B, T, K, 3, generator=generator, dtype=torch.float64), target


def _rotations(*shape: int, seed: int) -> Tensor:
    drawn = Rotation.random(math.prod(shape), rng=np.random.default_rng(seed)).as_matrix()
    return torch.from_numpy(drawn).reshape(*shape, 3, 3)


def _rates(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return functional.acceleration_error(pred, target, mask, FPS[: len(mask)])


SEQUENCE = [functional.mpjpe, functional.average_variance_error, _rates]


@pytest.mark.parametrize("name", ["mpjpe", "average_variance_error", "acceleration_error"])
def test_equals_its_naive_twin(name: str, clips: tuple[Tensor, Tensor]) -> None:
    more = {"fps": FPS} if name == "acceleration_error" else {}
    found = getattr(functional, name)(*clips, MASK, **more)
    for i, length in enumerate(LENGTHS.tolist()):
        extra = {key: value[i].item() for key, value in more.items()}
        expected = getattr(naive, name)(clips[0][i].numpy(), clips[1][i].numpy(), length, **extra)
        np.testing.assert_allclose(found[i], expected, rtol=1e-12)


def test_rotation_error_equals_the_trace_formula() -> None:
    pred, target = _rotations(B, T, seed=0), _rotations(B, T, seed=1)
    found = functional.rotation_error(pred, target, MASK)
    expected = [naive.rotation_error(p.numpy(), t.numpy(), n) for p, t, n in zip(pred, target, LENGTHS, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_constant_offset(clips: tuple[Tensor, Tensor]) -> None:
    """Closed form: MPJPE |c|, AVE 0, no acceleration."""
    _, target = clips
    pred = target + torch.tensor([0.03, -0.04, 0.12])
    torch.testing.assert_close(functional.mpjpe(pred, target, MASK), torch.full((B,), 0.13).double())
    torch.testing.assert_close(functional.average_variance_error(pred, target, MASK), torch.zeros(B).double())
    torch.testing.assert_close(_rates(pred[:3], target[:3], MASK[:3]), torch.zeros(3).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0])
def test_scaled_motion(scale: float, clips: tuple[Tensor, Tensor]) -> None:
    """Closed form: AVE = |a^2 - 1| |var(target)|; a = 0 is the frozen prediction, |var(target)|."""
    _, target = clips
    variance = np.stack([c[:n].numpy().var(0, ddof=1) for c, n in zip(target, LENGTHS, strict=True)])
    expected = abs(scale**2 - 1) * np.linalg.norm(variance, axis=-1).mean(-1)
    np.testing.assert_allclose(functional.average_variance_error(scale * target, target, MASK), expected, atol=1e-12)


def test_frozen_prediction(clips: tuple[Tensor, Tensor]) -> None:
    """Closed form: a hand that stays at its first pose has no variance, so AVE = |var(target)|, wherever it stays."""
    _, target = clips
    variance = np.stack([c[:n].numpy().var(0, ddof=1) for c, n in zip(target, LENGTHS, strict=True)])
    found = functional.average_variance_error(target[:, :1].expand_as(target), target, MASK)
    np.testing.assert_allclose(found, np.linalg.norm(variance, axis=-1).mean(-1), rtol=1e-12)


def test_no_clip_is_no_value() -> None:
    points, mask = torch.zeros(0, T, K, 3), torch.zeros(0, T, dtype=torch.bool)
    found = [metric(points, points, mask) for metric in SEQUENCE]
    found += [functional.vertex_offset(points[:, 0], points[:, 0], reduce) for reduce in ("mean", "max")]
    found.append(functional.min_distance(points[:, 0], lambda x: x[..., 0]))
    assert [value.shape for value in found] == [(0,)] * 6


def test_sinusoid() -> None:
    """Closed form: a sine of amplitude A over whole periods has variance A^2/2 * T/(T-1); mirrored, MPJPE is 4A/pi."""
    frames, amplitude = 1000, 0.2
    phase = 2 * math.pi * torch.arange(frames, dtype=torch.float64) / frames
    target = torch.zeros(1, frames, 1, 3, dtype=torch.float64)
    target[0, :, 0, 1] = amplitude * phase.sin()
    mask = torch.ones(1, frames, dtype=torch.bool)
    ave = functional.average_variance_error(torch.zeros_like(target), target, mask)
    np.testing.assert_allclose(ave, amplitude**2 / 2 * frames / (frames - 1), rtol=1e-12)
    np.testing.assert_allclose(functional.mpjpe(-target, target, mask), 4 * amplitude / math.pi, rtol=1e-5)


def test_order_of_frames_matters_to_mpjpe_but_not_to_ave(clips: tuple[Tensor, Tensor]) -> None:
    pred, target = (c[:1] for c in clips)
    mask = torch.ones(1, T, dtype=torch.bool)
    shuffled = pred[:, torch.randperm(T, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(
        functional.average_variance_error(shuffled, target, mask), functional.average_variance_error(pred, target, mask)
    )
    assert functional.mpjpe(shuffled, target, mask) > 2 * functional.mpjpe(pred, target, mask)


def test_constant_acceleration() -> None:
    """Closed form: p = g t^2 / 2 against rest is g, whatever the frame rate."""
    fps = torch.tensor([30.0, 100.0], dtype=torch.float64)
    time = torch.arange(T) / fps[:, None]
    pred = torch.zeros(2, T, 2, 3, dtype=torch.float64)
    pred[..., 2] = 0.5 * 9.8 * time[..., None] ** 2
    error = functional.acceleration_error(pred, torch.zeros_like(pred), torch.ones(2, T, dtype=torch.bool), fps)
    torch.testing.assert_close(error, torch.full((2,), 9.8).double())


@pytest.mark.parametrize("metric", SEQUENCE)
def test_padding_is_ignored(metric, clips: tuple[Tensor, Tensor]) -> None:
    check_padding_is_ignored(metric, {"pred": clips[0], "target": clips[1]}, MASK, ["pred", "target"])


def test_padded_rotations_are_ignored() -> None:
    inputs = {"pred": _rotations(B, T, seed=0), "target": _rotations(B, T, seed=1)}
    check_padding_is_ignored(functional.rotation_error, inputs, MASK, ["pred", "target"])


@pytest.mark.parametrize("metric", SEQUENCE)
def test_nan_in_a_valid_frame_is_nan_for_that_clip_alone(metric, clips: tuple[Tensor, Tensor]) -> None:
    pred, target = clips
    expected = metric(pred, target, MASK)
    pred[1, 2, 0, 0] = math.nan
    found = metric(pred, target, MASK)
    assert found[1].isnan()
    keep = [0, 2, 3, 4]
    torch.testing.assert_close(found[keep], expected[keep], equal_nan=True)


@pytest.mark.parametrize(("metric", "needs"), list(zip(SEQUENCE, [1, 2, 3], strict=True)))
def test_too_few_frames_have_no_value(metric, needs: int) -> None:
    points = torch.zeros(4, T, K, 3)
    mask = torch.arange(T) < torch.arange(4)[:, None]  # 0, 1, 2, 3 frames
    assert metric(points, points, mask).isnan().tolist() == [n < needs for n in range(4)]


@pytest.mark.parametrize("metric", [functional.mpjpe, functional.average_variance_error])
def test_batch_equals_single(metric, clips: tuple[Tensor, Tensor]) -> None:
    pred, target = clips
    singles = [metric(pred[i : i + 1, :n], target[i : i + 1, :n], MASK[i : i + 1, :n]) for i, n in enumerate(LENGTHS)]
    torch.testing.assert_close(metric(pred, target, MASK), torch.cat(singles))


@pytest.mark.parametrize("metric", [functional.mpjpe, _rates])
def test_rigid_motion_changes_nothing(metric, clips: tuple[Tensor, Tensor]) -> None:
    rotation, shift = _rotations(1, seed=5)[0], torch.tensor([1.0, -2.0, 3.0]).double()
    moved = [points @ rotation.T + shift for points in clips]
    torch.testing.assert_close(metric(*moved, MASK), metric(*clips, MASK), equal_nan=True)


def test_ave_changes_nothing_under_translation_and_axis_swaps_only(clips: tuple[Tensor, Tensor]) -> None:
    """A variance per coordinate depends on the axes: AVE needs the world's, and no other rotation leaves it alone."""
    ave = functional.average_variance_error(*clips, MASK)
    swapped = [points[..., [2, 0, 1]] * torch.tensor([1, -1, 1]) + 7 for points in clips]
    torch.testing.assert_close(functional.average_variance_error(*swapped, MASK), ave)
    turned = [points @ _rotations(1, seed=5)[0].T for points in clips]
    assert not torch.allclose(functional.average_variance_error(*turned, MASK), ave)


def test_units_scale_as_length_and_area(clips: tuple[Tensor, Tensor]) -> None:
    """Metres to millimetres: MPJPE times 1e3, AVE times 1e6."""
    scaled = [1e3 * points for points in clips]
    torch.testing.assert_close(functional.mpjpe(*scaled, MASK), 1e3 * functional.mpjpe(*clips, MASK))
    ave = functional.average_variance_error(*clips, MASK)
    torch.testing.assert_close(functional.average_variance_error(*scaled, MASK), 1e6 * ave)


def test_float32_is_enough_far_from_the_origin(clips: tuple[Tensor, Tensor]) -> None:
    """A one-pass variance would lose all its digits here: 3 cm of motion, 10 m from the origin."""
    pred, target = (0.03 * points + 10 for points in clips)
    exact = functional.average_variance_error(pred, target, MASK)
    torch.testing.assert_close(
        functional.average_variance_error(pred.float(), target.float(), MASK).double(), exact, rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_vertex_offset(reduce: str, clips: tuple[Tensor, Tensor]) -> None:
    pred, target = (points[:, 0] for points in clips)
    expected = [naive.vertex_offset(p.numpy(), t.numpy(), reduce) for p, t in zip(pred, target, strict=True)]
    np.testing.assert_allclose(functional.vertex_offset(pred, target, reduce), expected, rtol=1e-12)
    shifted = functional.vertex_offset(target + torch.tensor([0.0, 0.6, 0.8]), target, reduce)
    torch.testing.assert_close(shifted, torch.ones(B).double())


def test_min_distance_to_a_ball() -> None:
    """Closed form: a ball of radius 1; points at 1.5 and 3, then one inside, then one without a value."""
    points = torch.tensor([[[1.5, 0, 0], [0, 3, 0]], [[0, 0, 0.3], [9, 0, 0]], [[math.nan, 0, 0], [2, 0, 0]]])
    found = functional.min_distance(points, lambda x: torch.linalg.vector_norm(x, dim=-1) - 1)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0, math.nan]), equal_nan=True)


@pytest.mark.parametrize("gap", [-0.02, 0.0, 0.001, 0.03, 1.0])
@pytest.mark.parametrize("count", [1, 3, 700])
def test_min_distance_leaves_points_out_but_not_the_nearest(gap: float, count: int) -> None:
    """Equal to asking for every point, of a slab of 4 cm below clouds of 10 cm, far from the origin."""
    generator = torch.Generator().manual_seed(count)
    points = torch.rand(20, count, 3, generator=generator, dtype=torch.float64) * 0.1 + torch.tensor([3.0, -2.0, gap])
    asked = []

    def slab(x: Tensor) -> Tensor:
        asked.append(x.isfinite().all(-1).sum())
        return (x[..., 2] + 0.02).abs() - 0.02

    found = functional.min_distance(points, slab)
    torch.testing.assert_close(found, slab(points).clamp(min=0).amin(1), rtol=0, atol=1e-12)
    assert count < 700 or sum(asked[:-1]) < 0.4 * asked[-1]


def test_min_distance_keeps_a_nan_of_the_object() -> None:
    """A distance that fails must not look like one that was not asked for."""
    points = torch.rand(1, 500, 3, generator=torch.Generator().manual_seed(0)) + 1
    nearest = points[..., 2].amin()
    found = functional.min_distance(points, lambda x: x[..., 2].where(x[..., 2] > nearest, torch.nan))
    assert found.isnan().all()


def test_local_keypoints_undo_the_palm(clips: tuple[Tensor, Tensor]) -> None:
    """x = R y + t is built from y here, so y has to come back; and a moved hand looks the same to itself."""
    local, _ = clips
    rotation, translation = _rotations(B, T, seed=2), torch.linspace(-1, 1, B * T * 3).double().reshape(B, T, 3)
    world = torch.einsum("btij,btkj->btki", rotation, local) + translation[:, :, None]
    torch.testing.assert_close(functional.local_keypoints(world, rotation, translation), local)


def test_last_valid_frame() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    assert functional.last_valid_frame(mask).tolist() == [1, 3, 1, 3]


POINTS, RIGHT = torch.zeros(2, 5, 4, 3), torch.ones(2, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: functional.mpjpe(POINTS, POINTS[:, :4], RIGHT), r"found \(2, 5, 4, 3\) and \(2, 4, 4, 3\)"),
        (lambda: functional.mpjpe(POINTS[0], POINTS[0], RIGHT), r"expected \(B, T, K, 3\), found \(5, 4, 3\)"),
        (lambda: functional.mpjpe(POINTS, POINTS, RIGHT[:, 1:]), r"mask: expected bool .*\(2, 5\).*bool.*\(2, 4\)"),
        (lambda: functional.mpjpe(POINTS, POINTS, RIGHT.int()), r"mask: expected bool .*int32.*torch\.arange"),
        (lambda: functional.average_variance_error(POINTS, POINTS[:1], RIGHT), r"\(2, 5, 4, 3\) and \(1, 5, 4, 3\)"),
        (lambda: functional.acceleration_error(POINTS, POINTS, RIGHT, torch.ones(3)), r"fps: .*\(2,\), found \(3,\)"),
        (lambda: functional.rotation_error(POINTS, POINTS, RIGHT), r"\(B, T, 3, 3\), found \(2, 5, 4, 3\) and"),
        (lambda: functional.vertex_offset(POINTS, POINTS), r"expected \(B, V, 3\), found \(2, 5, 4, 3\)"),
        (lambda: functional.vertex_offset(POINTS[0], POINTS[0], "sum"), r"reduce: .*'mean' or 'max', found 'sum'"),
        (
            lambda: functional.vertex_offset(*2 * [POINTS[0, :, :0]], "max"),
            r"at least one point per hand, found \(5, 0, 3",
        ),
        (lambda: functional.last_valid_frame(RIGHT[:, :0]), r"mask: expected at least one frame, found \(2, 0\)"),
        (lambda: functional.min_distance(POINTS, lambda x: x[..., 0]), r"points: expected \(B, H, 3\), found"),
        (
            lambda: functional.min_distance(POINTS[0, :, :0], torch.sum),
            r"at least one point per hand, found \(5, 0, 3\)",
        ),
        (lambda: functional.min_distance(POINTS[0], lambda x: x), r"sdf: .*\(5, 4\), found \(5, 4, 3\)"),
        (
            lambda: functional.local_keypoints(POINTS, torch.eye(3), torch.zeros(3)),
            r"\(2, 5, 3, 3\) and \(2, 5, 3\).*found \(3, 3\) and \(3,\)",
        ),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("module", ["dexzoo.metrics.functional.motion", "dexzoo.metrics.motion"])
def test_examples_in_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
