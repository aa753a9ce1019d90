"""Motion metrics: thin torchmetrics classes over `dexzoo.metrics.functional.motion`.

Arguments of `update` have the same names across the classes, so that `MotionMetrics` can pass `motion_inputs(...)` to
all of them.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torchmetrics import Metric, MetricCollection

from .base import SampleMetric
from .functional.motion import average_variance_error, mpjpe, vertex_offset


class MPJPE(SampleMetric):
    """Mean per-joint position error: cm, lower is better.

    Source: RealDex (Liu et al., IJCAI 2024), Table 4; definition in `functional.motion.mpjpe`.

    As input to `update`:

    - pred_keypoints: (B, T, K, 3), metres, world frame.
    - target_keypoints: (B, T, K, 3), likewise.
    - mask: (B, T), bool, True for valid frames.

    Example:
        >>> import torch
        >>> metric, target = MPJPE(), torch.zeros(1, 4, 2, 3)
        >>> metric.update(target + torch.tensor([0.03, 0.0, 0.04]), target, torch.ones(1, 4, dtype=torch.bool))
        >>> round(metric.compute().item(), 4)
        5.0
    """

    unit = "cm"
    per_si = 1e2

    def update(self, pred_keypoints: Tensor, target_keypoints: Tensor, mask: Tensor) -> None:
        """Adds a batch of clips."""
        self.add(mpjpe(pred_keypoints, target_keypoints, mask))


class AverageVarianceError(SampleMetric):
    """Average variance error: cm^2, lower is better.

    Source: Ghosh et al. (ICCV 2021); RealDex, Table 4. Its inputs are those of `MPJPE`. A clip with fewer than two
        frames has no variance and counts in `n_nan`.
    """

    unit = "cm^2"
    per_si = 1e4

    def update(self, pred_keypoints: Tensor, target_keypoints: Tensor, mask: Tensor) -> None:
        """Adds a batch of clips."""
        self.add(average_variance_error(pred_keypoints, target_keypoints, mask))


class PaperAverageVarianceError(AverageVarianceError):
    """`AverageVarianceError` in m^2 x 100, lower is better: comparable to the column of RealDex, Table 4.

    The paper prints cm, which is not a unit of variance. As m^2 x 100 its numbers are consistent with its MPJPE; as
    cm^2 they would require paths accurate to 0.01 cm.
    """

    unit = "m^2 x 100"
    per_si = 1e2


class VertexOffset(SampleMetric):
    """Mean distance between vertices of the predicted and the true final hand mesh: cm, lower is better.

    Source: RealDex, Table 4 ("verts. offset"); definition in `functional.motion.vertex_offset`.

    As input to `update`:

    - pred_vertices: (B, V, 3), metres, vertices of the hand's mesh, at the last valid frame.
    - target_vertices: (B, V, 3), the same vertices of the true hand.

    Args:
        reduce: over the points of one hand, "mean" or "max".
        output: as for `SampleMetric`.
    """

    unit = "cm"
    per_si = 1e2

    def __init__(self, reduce: Literal["mean", "max"] = "mean", output: Literal["mean", "summary"] = "mean") -> None:
        super().__init__(output)
        self.reduce: Literal["mean", "max"] = reduce

    def update(self, pred_vertices: Tensor, target_vertices: Tensor) -> None:
        """Adds a batch of clips."""
        self.add(vertex_offset(pred_vertices, target_vertices, self.reduce))


class SurfaceOffset(SampleMetric):
    """Mean distance between points spread evenly on the predicted and the true final hand: cm, lower is better.

    Unlike `VertexOffset`, whose formula it shares, it does not depend on the density of a mesh; no paper reports it.

    As input to `update`:

    - pred_surface: (B, V, 3), metres, points fixed to the hand's links, at the last valid frame.
    - target_surface: (B, V, 3), the same points of the true hand.
    """

    unit = "cm"
    per_si = 1e2

    def update(self, pred_surface: Tensor, target_surface: Tensor) -> None:
        """Adds a batch of clips."""
        self.add(vertex_offset(pred_surface, target_surface))


class MinDistance(SampleMetric):
    """Gap between hand and object at the last valid frame: cm, lower is better.

    Source: RealDex, Table 4 ("min. dist"), whose text allows this reading and that of `MinDistanceError`.

    As input to `update`:

    - pred_distance: (B,), metres, from `functional.motion.min_distance` for the predicted hand.
    """

    unit = "cm"
    per_si = 1e2

    def update(self, pred_distance: Tensor) -> None:
        """Adds a batch of clips."""
        self.add(pred_distance)


class MinDistanceError(SampleMetric):
    """|gap of the predicted hand - gap of the true hand| at the last valid frame: cm, lower is better.

    Source: RealDex, Table 4 ("min. dist"), the other reading of its text; see `MinDistance`.

    As input to `update`:

    - pred_distance: (B,), metres, from `functional.motion.min_distance` for the predicted hand.
    - target_distance: (B,), metres, likewise for the true hand.
    """

    unit = "cm"
    per_si = 1e2

    def update(self, pred_distance: Tensor, target_distance: Tensor) -> None:
        """Adds a batch of clips.

        Raises:
            ValueError: the shapes differ.
        """
        if pred_distance.shape != target_distance.shape:
            raise ValueError(
                f"pred_distance and target_distance: expected one shape (B,), found {tuple(pred_distance.shape)} and "
                f"{tuple(target_distance.shape)}"
            )
        self.add((pred_distance - target_distance).abs())


class MotionMetrics(MetricCollection):
    """The columns of RealDex, Table 4, under the keys of `motion_errors`: MPJPE, AVE, verts. offset and min. dist.

    As input to `update`: `**motion_inputs(hand, pred, target, mask, distance)`.

    Args:
        distance: whether to measure distances to the object; the inputs then need one.
        output: as for `SampleMetric`; with "summary" the keys get the suffixes `_mean`, `_sd`, `_n` and `_n_nan`.
        prefix: prepended to the keys, such as "val/".
    """

    def __init__(
        self, distance: bool = True, output: Literal["mean", "summary"] = "mean", prefix: str | None = None
    ) -> None:
        metrics: dict[str, Metric | MetricCollection] = {
            "mpjpe_cm": MPJPE(output),
            "ave_cm2": AverageVarianceError(output),
            "ave_paper": PaperAverageVarianceError(output),
            "vertex_offset_cm": VertexOffset(output=output),
            "surface_offset_cm": SurfaceOffset(output),
        }
        if distance:
            metrics |= {"min_distance_cm": MinDistance(output), "min_distance_error_cm": MinDistanceError(output)}
        # Groups share the states of metrics whose first batch gave equal sums. Ours all have the same four states, and
        # a perfect first batch makes all sums 0: every column would then become the first one.
        super().__init__(metrics, prefix=prefix, compute_groups=False)
