"""The torchmetrics classes: units, states, distributed sums, and the collection of Table 4."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dexzoo.metrics.base import SampleMetric
from dexzoo.metrics.columns import MOTIONS, MotionMetrics
from dexzoo.metrics.motion import (
    MPJPE,
    AverageVarianceError,
    MinDistance,
    MinDistanceError,
    PaperAverageVarianceError,
    SurfaceOffset,
    VertexOffset,
)
from tests.metrics.tester import MetricTester
from tests.oracles import motion as naive

T = 7


def _batch(lengths: list[int], seed: int) -> dict[str, Tensor]:
    """All inputs of one batch; the clip of one frame has no variance, so `n_nan` has something to count."""
    generator = torch.Generator().manual_seed(seed)
    size = len(lengths)

    def draw(*shape: int) -> Tensor:
        return torch.randn(size, *shape, generator=generator)

    return {
        "pred_keypoints": draw(T, 4, 3),
        "target_keypoints": draw(T, 4, 3),
        "mask": torch.arange(T) < torch.tensor(lengths)[:, None],
        "pred_rotation": torch.linalg.qr(draw(T, 3, 3))[0],
        "target_rotation": torch.linalg.qr(draw(T, 3, 3))[0],
        "pred_fingers": draw(T, 3, 3),
        "target_fingers": draw(T, 3, 3),
        "pred_translation": draw(T, 3),
        "target_translation": draw(T, 3),
        "pred_joints": draw(T, 5),
        "target_joints": draw(T, 5),
        "pred_vertices": draw(9, 3),
        "target_vertices": draw(9, 3),
        "pred_surface": draw(6, 3),
        "target_surface": draw(6, 3),
        "pred_distance": draw().abs(),
        "target_distance": draw().abs(),
    }


BATCHES = [_batch([7, 4, 1], seed=0), _batch([5], seed=1), _batch([2, 6, 3, 1, 7], seed=2)]
KEYPOINTS = ("pred_keypoints", "target_keypoints", "mask")
VERTICES, SURFACES = ("pred_vertices", "target_vertices"), ("pred_surface", "target_surface")
CASES = [
    pytest.param(
        MPJPE,
        KEYPOINTS,
        lambda pred_keypoints, target_keypoints, mask: (
            100 * naive.mpjpe(pred_keypoints, target_keypoints, int(mask.sum()))
        ),
        id="MPJPE",
    ),
    pytest.param(
        AverageVarianceError,
        KEYPOINTS,
        lambda pred_keypoints, target_keypoints, mask: (
            1e4 * naive.average_variance_error(pred_keypoints, target_keypoints, int(mask.sum()))
        ),
        id="AverageVarianceError",
    ),
    pytest.param(
        PaperAverageVarianceError,
        KEYPOINTS,
        lambda pred_keypoints, target_keypoints, mask: (
            100 * naive.average_variance_error(pred_keypoints, target_keypoints, int(mask.sum()))
        ),
        id="PaperAverageVarianceError",
    ),
    pytest.param(
        VertexOffset,
        VERTICES,
        lambda pred_vertices, target_vertices: 100 * naive.vertex_offset(pred_vertices, target_vertices),
        id="VertexOffset",
    ),
    pytest.param(
        SurfaceOffset,
        SURFACES,
        lambda pred_surface, target_surface: 100 * naive.vertex_offset(pred_surface, target_surface),
        id="SurfaceOffset",
    ),
    pytest.param(
        lambda output: VertexOffset("max", output),
        VERTICES,
        lambda pred_vertices, target_vertices: 100 * naive.vertex_offset(pred_vertices, target_vertices, "max"),
        id="VertexOffset-max",
    ),
    pytest.param(MinDistance, ("pred_distance",), lambda pred_distance: 100 * float(pred_distance), id="MinDistance"),
    pytest.param(
        MinDistanceError,
        ("pred_distance", "target_distance"),
        lambda pred_distance, target_distance: 100 * abs(float(pred_distance) - float(target_distance)),
        id="MinDistanceError",
    ),
]


@pytest.mark.filterwarnings("ignore:.*have no value")
@pytest.mark.parametrize(("make", "names", "oracle"), CASES)
def test_against_the_oracle(make, names: tuple[str, ...], oracle) -> None:
    MetricTester(make, oracle, [{k: batch[k] for k in names} for batch in BATCHES]).check_all()


@pytest.mark.parametrize(
    ("metric", "unit", "value"),
    [
        (MPJPE(), "cm", 10.0),
        (AverageVarianceError(), "cm^2", 1e4 * math.sqrt(3)),
        (PaperAverageVarianceError(), "m^2 x 100", 1e2 * math.sqrt(3)),
    ],
)
def test_units(metric: SampleMetric, unit: str, value: float) -> None:
    """0.1 m aside is 10 cm; coordinates -1, 0, 1 m have variance 1 m^2 each, so |var| = sqrt(3) m^2."""
    target = torch.zeros(1, 3, 1, 3)
    offset = torch.tensor([0.1, 0, 0]) if unit == "cm" else torch.tensor([-1.0, 0, 1]).reshape(1, 3, 1, 1)
    metric.update(target + offset, target, torch.ones(1, 3, dtype=torch.bool))
    assert metric.unit == unit
    assert metric.compute().item() == pytest.approx(value)


def test_a_value_that_does_not_exist_is_counted_and_warned_of() -> None:
    metric = AverageVarianceError(output="summary")
    points = torch.zeros(3, T, 2, 3)
    metric.update(points, points, torch.arange(T) < torch.tensor([7, 1, 0])[:, None])
    with pytest.warns(UserWarning, match="AverageVarianceError: 2 of 3 samples have no value"):
        summary = metric.compute()
    assert (summary["n"].item(), summary["n_nan"].item()) == (1, 2)
    assert summary["mean"] == 0
    assert summary["sd"].isnan()


def test_no_sample_with_a_value_is_nan_not_zero() -> None:
    metric = MinDistance()
    metric.update(torch.tensor([math.nan]))
    with pytest.warns(UserWarning, match="1 of 1"):
        assert metric.compute().isnan()


def test_spread_survives_a_large_mean() -> None:
    """Sums of squares cancel; in float32 this sd would be 0."""
    metric = MinDistance(output="summary")
    metric.update(torch.tensor([1000.0, 1000.001, 1000.002], dtype=torch.float64))
    assert metric.compute()["sd"].item() == pytest.approx(0.1, rel=1e-4)


def test_collection_keeps_its_columns_apart_after_a_perfect_batch() -> None:
    """With compute groups every column would be merged with the others: after the first batch all states are equal."""
    perfect = {k: torch.zeros_like(v) if v.is_floating_point() else v[:, :1] | True for k, v in BATCHES[0].items()}
    perfect["mask"] = torch.ones_like(BATCHES[0]["mask"])
    metrics = MotionMetrics(prefix="val/")
    metrics.update(**perfect)
    metrics.update(**BATCHES[1])
    values = metrics.compute()
    given = BATCHES[0].keys()
    assert set(values) == {f"val/{column.key}" for column in MOTIONS if column.inputs() <= given}
    assert {"val/mpjpe_cm", "val/ave_paper", "val/surface_offset_cm", "val/min_distance_error_cm"} <= set(values)
    alone = VertexOffset()
    alone.update(BATCHES[1]["pred_vertices"], BATCHES[1]["target_vertices"])
    torch.testing.assert_close(4 * values["val/vertex_offset_cm"], alone.compute())
    torch.testing.assert_close(values["val/ave_cm2"], 100 * values["val/ave_paper"])


def test_collection_without_an_object() -> None:
    metrics = MotionMetrics(distance=False, output="summary")
    metrics.update(**{k: v for k, v in BATCHES[1].items() if "distance" not in k})
    assert "mpjpe_cm_mean" in metrics.compute()
    assert not any("distance" in key for key in metrics.compute())


def test_bad_output_is_named() -> None:
    with pytest.raises(ValueError, match="output: expected 'mean' or 'summary', found 'median'"):
        MPJPE(output="median")


def test_bad_distances_are_named() -> None:
    with pytest.raises(ValueError, match=r"found \(2,\) and \(3,\)"):
        MinDistanceError().update(torch.zeros(2), torch.zeros(3))
