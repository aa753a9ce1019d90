"""Pictures of an evaluation: a page of histograms, and the worst grasps with their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import trimesh
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...geometry.meshes import load_mesh
from ...geometry.render import Camera, from_the_side, render_scene
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ..grasp import GraspMetric
from ..tables import format_spread
from .summary import Columns

Picture = NDArray[np.uint8]

_HAND, _OBJECT = (0.35, 0.50, 0.85), (0.80, 0.66, 0.45)
_ACROSS, _LINE = 5, 18  # pixels
_BINS = 30


@dataclass(frozen=True)
class Scene:
    """One grasp to be drawn, in the object's frame, metres, and the lines under the picture."""

    pose: HandPose
    mesh: Path
    scale: float
    """Metres per unit of the mesh."""
    text: str

    def obj(self) -> trimesh.Trimesh:
        """The object, metres."""
        return load_mesh(self.mesh).copy().apply_scale(self.scale)


def worst_rows(values: NDArray[np.float64], column: type[GraspMetric], count: int = 10) -> list[int]:
    """Indices of the worst values, the worst first; grasps without a value are excluded."""
    known = np.flatnonzero(~np.isnan(values))
    key = values[known] if column.higher_is_better else -values[known]
    return known[np.argsort(key, kind="stable")][:count].tolist()


def draw_histograms(path: Path, columns: Columns, chosen: Sequence[type[GraspMetric]], title: str) -> None:
    """Draws the distribution of each column, with its median as a line; one page."""
    across = min(4, len(chosen))
    down = -(-len(chosen) // across)
    figure = Figure(figsize=(3.2 * across, 2.5 * down + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, column in zip(panels, chosen, strict=False):
        _histogram(axes, columns[column.key], column)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=120)


def _histogram(axes, values: NDArray[np.float64], column: type[GraspMetric]) -> None:
    known = values[~np.isnan(values)]
    direction = "" if column.higher_is_better is None else f", {column.better()} is better"
    missing = f", {len(values) - len(known)} without a value" if len(known) < len(values) else ""
    axes.set_title(f"{column.key}\nn = {len(known)}{missing}{direction}", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    if not len(known):
        return
    if column.unit == "share":
        axes.set_xlim(-0.1, 1.1)
    axes.hist(known, bins=_BINS, range=_range(known, column), color=_HAND)
    if column.unit != "share":  # the median of ones and zeros is meaningless
        axes.axvline(np.median(known), color="black", linewidth=1)


def _range(known: NDArray[np.float64], column: type[GraspMetric]) -> tuple[float, float]:
    low, high = (0.0, 1.0) if column.unit == "share" else (float(known.min()), float(known.max()))
    room = 0.0 if high - low > 1e-9 else 0.5 * max(abs(high), 1e-3)  # all values are the same
    return low - room, high + room


def draw_worst(path: Path, hand: Hand, scenes: Sequence[Scene], heading: str, size: int = 320) -> None:
    """Draws grasps side by side, five in a row, each with its numbers below it."""
    panels = [np.vstack([draw_grasp(hand, x.pose, x.obj(), size), text_strip(x.text, size)]) for x in scenes]
    across = min(_ACROSS, len(panels))
    height = max(panel.shape[0] for panel in panels)
    panels = [np.pad(x, ((0, height - len(x)), (0, 0), (0, 0)), constant_values=255) for x in panels]
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % across)
    rows = [np.hstack(panels[i : i + across]) for i in range(0, len(panels), across)]
    imageio.imwrite(path, np.vstack([text_strip(heading, across * size), *rows]), extension=".png")


def caption(name: str, row: int, values: Mapping[str, float]) -> str:
    """Lines that say which grasp it is and what its numbers are."""
    return "\n".join([name, f"grasp {row}", *(f"{key}  {format_spread(value)}" for key, value in values.items())])


def draw_grasp(hand: Hand, pose: HandPose, obj: trimesh.Trimesh, size: int) -> Picture:
    """Hand and object, metres, seen across the line between them: (size, size, 3)."""
    parts = [(hand.mesh(pose), _HAND), (obj, _OBJECT)]
    way = pose.translation.double().numpy() - obj.bounds.mean(0)
    return render_scene(parts, Camera.framing(parts, from_the_side(way)), (size, size))


def text_strip(text: str, width: int) -> Picture:
    """Lines of text, cut where they are too long."""
    lines = text.splitlines()
    image = Image.new("RGB", (width, _LINE * len(lines)), "white")
    font = ImageFont.load_default(11)
    for i, line in enumerate(lines):
        while len(line) > 1 and font.getlength(line) > width - 6:
            line = line[:-2] + "…"
        ImageDraw.Draw(image).text((4, 2 + i * _LINE), line, fill=(40, 40, 40), font=font)
    return np.asarray(image)
