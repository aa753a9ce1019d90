"""One page of grasps: the best, the median and the worst candidate of every method, with their numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ...geometry.meshes import load_mesh
from ...geometry.progress import tracked
from ...geometry.render import points_mesh
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...metrics.columns import grasp_columns
from ...metrics.tool.pictures import Picture, draw_grasp
from ...models.grasp.evaluation import pose_of_row
from .results import Row, by_method

_RANKS = ("best", "median", "worst")
_CAPTION = {
    "penetration_cm": "{:.2f} cm deep",
    "self_intersection_cm3": "s.i.vol {:.2f} cm³",
    "sim_displacement_cm": "moves {:.1f} cm",
    "q1": "Q1 {:.2f}",
}
"""Numbers below a picture, where the row has them."""
_PANEL = 2.6  # inches
_TOP = 0.8  # inches, for the title


def draw(
    path: Path, rows: Sequence[Row], title: str, key: str = "sim_displacement_cm", size: int = 320, *, hand: Hand
) -> Path:
    """Draws the best, the median and the worst candidate of each method and refinement by the metric `key`.

    Rows are those of `models.grasp.evaluation.rows`; without a mesh or a value they are left out, and ValueError is
    raised where none is left. A picture has `size` x `size` pixels. The folder of the path is made; returns the path.
    """
    groups = {name: [r for r in group if _value(r, key) is not None and r["mesh"]] for name, group in _methods(rows)}
    groups = {name: group for name, group in groups.items() if group}
    if not groups:
        raise ValueError(f"key: expected a metric that some rows with a mesh have, found none: {key!r}")
    figure = Figure(figsize=(3 * _PANEL + 0.6, 1.26 * _PANEL * len(groups) + _TOP), layout="constrained")
    figure.suptitle(f"{title}\nby {key}: best, median and worst candidate", fontsize=11)
    panels = figure.subplots(len(groups), len(_RANKS), squeeze=False)
    for line, (name, group) in tracked(zip(panels, groups.items(), strict=True), "drawing grasps", len(groups)):
        for axes, rank, row in zip(line, _RANKS, ranked(group, key), strict=True):
            obj = load_mesh(Path(row["mesh"])).copy().apply_scale(row["scale"])
            _show(axes, draw_grasp(hand, pose_of_row(row), obj, size), rank, caption(row))
        line[0].set_ylabel(f"{name}\n{len(group)} candidates", fontsize=9)
    return _saved(figure, path, size)


def ranked(rows: Sequence[Row], key: str) -> tuple[Row, Row, Row]:
    """The best, the median (the lower of two) and the worst of some rows; of equal ones the first."""
    better = {column.key: column.higher_is_better for column in (*grasp_columns(), *grasp_columns(legacy=True))}
    sign = -1 if better.get(key) else 1
    order = sorted(rows, key=lambda row: sign * row[key])
    return order[0], order[(len(order) - 1) // 2], order[-1]


def draw_on_cloud(path: Path, hand: Hand, pose: HandPose, points: Tensor, title: str, size: int = 320) -> Path:
    """Draws grasps of an object of which there is only a cloud, at most nine, the first ones; otherwise as `draw`.

    Poses are HandPose (n,), in the frame of the cloud (N, 3), metres.
    """
    shown = min(pose.shape[0], 9)
    down = -(-shown // 3)
    figure = Figure(figsize=(3 * _PANEL, 1.1 * _PANEL * down + _TOP), layout="constrained")
    figure.suptitle(f"{title}\n{shown} of {pose.shape[0]} grasps", fontsize=11)
    cloud = points_mesh(points.double().cpu().numpy())
    panels = figure.subplots(down, 3, squeeze=False).ravel()
    for i, axes in enumerate(panels):
        if i < shown:
            _show(axes, draw_grasp(hand, pose[i].to("cpu", torch.float64), cloud, size), f"no. {i}", "")
        else:
            axes.set_axis_off()
    return _saved(figure, path, size)


def caption(row: Row) -> str:
    """Name of the grasp, its numbers, and whether the filter keeps it or what drops it; four lines."""
    seed = "" if row.get("seed") is None else f", seed {row['seed']}"
    numbers = [text.format(row[key]) for key, text in _CAPTION.items() if _value(row, key) is not None]
    if _value(row, "six_success") is not None:
        numbers.append("held" if row["six_success"] else "not held")
    failed = [key.removeprefix("drop_").replace("_", " ") for key, x in row.items() if key.startswith("drop_") and x]
    verdict = "kept" if row["kept"] else f"dropped: {', '.join(failed)}"
    name = f"{_short(row['object'], 22)}, no. {row['candidate']}{seed}"
    return "\n".join([name, ", ".join(numbers[:2]), ", ".join(numbers[2:]), _short(verdict, 40)])


def _show(axes: Axes, picture: Picture, heading: str, below: str) -> None:
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(heading, fontsize=9, color="0.35", pad=2)
    axes.set_xlabel(below, fontsize=8)


def _saved(figure: Figure, path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=size / _PANEL)
    return path


def _methods(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    for (method, refine), group in by_method(rows).items():
        yield method + (f", {refine}" if refine not in ("off", "-") else ""), group


def _value(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    return None if value is None or math.isnan(value) else float(value)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
