"""Contact sheet of twelve samples, to spot what no number shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...geometry.meshes import MeshError, load_mesh
from ...geometry.render import Camera, Part, from_the_side, render_scene
from .examine import Examined, spread
from .findings import BENT, TIP, Expected, touching
from .measure import Measures

SAMPLES, PIXELS = 12, 300  # Samples per page and pixels per side of a picture
_ACROSS, _LINE = 4, 15
_HAND, _OBJECT = (0.35, 0.50, 0.85), (0.80, 0.66, 0.45)
_AWAY = 1.0  # metres: an object farther from the hand is not drawn, because both would be specks

Picture = NDArray[np.uint8]


def draw_sheet(
    path: Path, examined: Examined, measures: Measures, expected: Expected, title: str, size: int = PIXELS
) -> None:
    """Draws at most twelve samples, spread over those examined, each with its numbers below, to the PNG `path`.

    `expected` defines touching; the title is above the samples; a picture has `size` x `size` pixels.
    """
    rows = spread(len(examined), SAMPLES)
    panels = [
        np.vstack([_draw(examined, i, size), _text(_caption(examined, measures, expected, i), size)]) for i in rows
    ]
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % _ACROSS)
    lines = [np.hstack(panels[i : i + _ACROSS]) for i in range(0, len(panels), _ACROSS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    imageio.imwrite(path, np.vstack([_text((title,), _ACROSS * size), *lines]), extension=".png")


def _draw(examined: Examined, i: int, size: int) -> Picture:
    """The hand and its object, seen perpendicular to the line between them, with the world's z up."""
    pose = examined.pose[i]
    parts: list[Part] = [(examined.bodies[i].mesh(pose), _HAND)]
    obj = _placed_object(examined, i)
    if obj is not None and np.linalg.norm(obj.bounds.mean(axis=0) - pose.translation.numpy()) < _AWAY:
        parts.append((obj, _OBJECT))
    way = (pose.translation - examined.translation[i]).double().numpy()
    return render_scene(parts, Camera.framing(parts, from_the_side(way)), (size, size))


def _placed_object(examined: Examined, i: int) -> trimesh.Trimesh | None:
    """The object's mesh in the world; None without a usable mesh."""
    file = examined.meshes[i]
    if file is None:
        return None
    try:
        mesh = load_mesh(file)
    except MeshError:  # it is listed among the broken files
        return None
    vertices = mesh.vertices * float(examined.scale[i]) @ examined.rotation[i].double().numpy().T
    return trimesh.Trimesh(vertices + examined.translation[i].double().numpy(), mesh.faces, process=False)


def _caption(examined: Examined, measures: Measures, expected: Expected, i: int) -> tuple[str, ...]:
    worst = float(measures.excess[i].max())
    limits = f"joints up to {worst:.2f} rad beyond their limits" if worst > BENT else "joints within their limits"
    if not np.isfinite(measures.distance[i]):
        return examined.names[i], "no mesh", limits
    count = touching(measures.tips[i : i + 1], expected, examined.margin)[0]
    tips = f"{count} of {measures.tips.shape[1]} fingertips within {1e3 * (TIP + examined.margin):g} mm"
    touch = f"{1e3 * measures.distance[i]:.1f} mm; {tips}"
    return examined.names[i], touch, limits


def _text(lines: Sequence[str], width: int) -> Picture:
    """Lines of text, truncated at the front if too long, because names differ at their end."""
    image = Image.new("RGB", (width, _LINE * len(lines) + 8), "white")
    font = ImageFont.load_default(11)
    for i, line in enumerate(lines):
        while len(line) > 1 and font.getlength(line) > width - 8:
            line = "…" + line[2:]
        ImageDraw.Draw(image).text((4, 2 + i * _LINE), line, fill=(40, 40, 40), font=font)
    return np.asarray(image)
