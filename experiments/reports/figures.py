"""Pictures of a run: strips and a film of clips, truth beside prediction, and the error over time."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
import trimesh
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import DictConfig

from ...datamodules.types import MotionSample
from ...geometry.ground import Ground
from ...geometry.meshes import load_mesh
from ...geometry.progress import tracked
from ...geometry.render import Camera, from_the_side, points_mesh, render_scene
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...metrics.tool.pictures import Picture, text_strip

Rollouts = Mapping[str, HandPose]
"""Whole clips by name, HandPose (T,), the given frames included."""

_TRUTH, _OBJECT = (0.45, 0.62, 0.45), (0.80, 0.66, 0.45)
_PREDICTIONS = (
    *((0.35, 0.50, 0.85), (0.78, 0.38, 0.36), (0.58, 0.42, 0.74)),
    *((0.30, 0.62, 0.68), (0.72, 0.42, 0.60), (0.55, 0.55, 0.58)),
)
"""Colours of the predictions, in their order; apart from each other and from the object's."""


def draw(
    folder: Path,
    hand: Hand,
    samples: Sequence[MotionSample],
    rollouts: Mapping[str, Rollouts],
    errors: Mapping[str, float],
    title: str,
    settings: DictConfig,
) -> list[Path]:
    """Draws strips of some test clips by the first method, a film of the first of them, and the error of all methods
    over time, into a folder that is made; returns the files.

    Clips are chosen by their errors by that method. The title is that of the data; `settings` is `figures` of the
    config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = {sample.name: sample for sample in samples}
    method, predictions = next(iter(rollouts.items()))
    files = [draw_error_over_time(folder / "error_over_time.png", hand, clips, rollouts, title)]
    for i, percentile in enumerate(tracked(settings.percentiles, "drawing clips")):
        name = clip_at_percentile(errors, percentile)
        scene = ClipScene(hand, clips[name], {method: predictions[name]}, settings.size)
        heading = f"{title}: {name}\nMPJPE {errors[name]:.1f} cm, percentile {percentile:g} of the test clips"
        files.append(folder / f"strip_p{percentile:g}.png")
        imageio.imwrite(files[-1], scene.strip(settings.moments, heading))
        if i == 0:
            files.append(folder / f"film_p{percentile:g}.gif")
            frames = scene.film(settings.film_fps, heading)
            imageio.imwrite(files[-1], frames, duration=1000 / settings.film_fps, loop=0)
    return files


def clip_at_percentile(errors: Mapping[str, float], percentile: float) -> str:
    """The clip whose error is nearest to a percentile of all errors: 50 the median clip, 100 the worst."""
    finite = {name: error for name, error in errors.items() if np.isfinite(error)}
    wanted = np.percentile(list(finite.values()), percentile)
    return min(finite, key=lambda name: abs(finite[name] - wanted))


class ClipScene:
    """One clip before one fixed camera, on a floor under all that moves, in pictures of `size` pixels.

    Predictions are HandPose (T,), world frame, by their names in the picture; `sample` is the truth.
    """

    def __init__(self, hand: Hand, sample: MotionSample, predictions: Mapping[str, HandPose], size: int) -> None:
        self.hand, self.sample, self.size = hand, sample, size
        self.poses = {"truth": sample.pose, **predictions}
        self.colours = dict(zip(self.poses, cycle((_TRUTH, *_PREDICTIONS)), strict=False))
        cloud = sample.object_points.double().numpy()
        self.object = load_mesh(sample.mesh) if sample.mesh else points_mesh(cloud, 0.003)
        last = len(sample.pose.joints) - 1
        moments = [(pose, frame) for pose in self.poses.values() for frame in (0, last // 2, last)]
        content = [mesh for pose, frame in moments for mesh in self._meshes(pose, frame, _TRUTH)]
        way = (sample.pose.translation[-1] - sample.pose.translation[0]).double().numpy()
        self.camera = Camera.framing(content, from_the_side(way, lift=0.5))
        self.ground = Ground.under([mesh for mesh, _ in content])

    def strip(self, moments: int, heading: str) -> Picture:
        """Pictures at even times: the truth above, each prediction below it."""
        frames = np.linspace(0, len(self.sample.pose.joints) - 1, moments).round().astype(int)
        rows = self._rows(frames)
        panel = next(iter(rows.values()))[0].shape[1]
        clock = np.hstack([text_strip(f"{frame / self.sample.fps:.2f} s", panel) for frame in frames])
        parts = [text_strip(heading, moments * panel), clock]
        for name, pictures in rows.items():
            parts += [text_strip(name, moments * panel), np.hstack(pictures)]
        return np.vstack(parts)

    def film(self, fps: float, heading: str) -> list[Picture]:
        """Frames in real time: the truth on the left, predictions beside it; the last one is held for a second."""
        last, step = len(self.sample.pose.joints) - 1, self.sample.fps / fps
        rows = self._rows(sorted({*np.arange(0, last, step).round().astype(int), last}))
        panel = next(iter(rows.values()))[0].shape[1]
        names = np.hstack([text_strip(name, panel) for name in rows])
        top = np.vstack([text_strip(heading, names.shape[1]), names])
        pictures = [np.vstack([top, np.hstack(moment)]) for moment in zip(*rows.values(), strict=True)]
        return pictures + [pictures[-1]] * round(fps)

    def _rows(self, frames: Sequence[int] | NDArray[np.int_]) -> dict[str, list[Picture]]:
        """The frames of the truth and of each prediction, all cut to one size."""
        drawn = [self._render(pose, f, self.colours[name]) for name, pose in self.poses.items() for f in frames]
        cut, n = _without_margins(drawn), len(frames)
        return {name: cut[i * n : (i + 1) * n] for i, name in enumerate(self.poses)}

    def _render(self, pose: HandPose, frame: int, colour: tuple[float, float, float]) -> Picture:
        return render_scene(self._meshes(pose, frame, colour), self.camera, (self.size, self.size), self.ground)

    def _meshes(self, pose: HandPose, frame: int, colour: tuple[float, float, float]) -> list[tuple]:
        world_from_object = np.eye(4)
        world_from_object[:3, :3] = self.sample.object_rotation[frame].numpy()
        world_from_object[:3, 3] = self.sample.object_translation[frame].numpy()
        obj: trimesh.Trimesh = self.object.copy().apply_transform(world_from_object)
        return [(self.hand.mesh(pose[frame]), colour), (obj, _OBJECT)]


def draw_error_over_time(
    path: Path, hand: Hand, clips: Mapping[str, MotionSample], rollouts: Mapping[str, Rollouts], title: str
) -> Path:
    """Plots the mean error of the key points over the share of the clip that has passed, one line per method."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for i, (method, poses) in enumerate(rollouts.items()):
        curve = error_over_time(hand, clips, poses)
        axes.plot(np.linspace(0, 1, len(curve)), curve, label=method, linewidth=2.5 if i == 0 else 1.2)
    n = len(next(iter(rollouts.values())))
    axes.set(xlabel="share of the clip", ylabel="mean error of the key points (cm)", title=f"{title}, {n} test clips")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    return path


@torch.no_grad()
def error_over_time(hand: Hand, clips: Mapping[str, MotionSample], poses: Rollouts, nodes: int = 51) -> NDArray:
    """Mean key point error at even shares of the clips' durations: (nodes,), cm."""
    curves = []
    for name, pose in poses.items():
        points, truth = (hand.keypoints(hand.forward_kinematics(p)) for p in (pose, clips[name].pose.to(torch.float32)))
        error = 100 * (points - truth).norm(dim=-1).mean(-1).numpy()
        curves.append(np.interp(np.linspace(0, 1, nodes), np.linspace(0, 1, len(error)), error))
    return np.mean(curves, axis=0)


def _without_margins(pictures: Sequence[Picture], room: int = 6) -> list[Picture]:
    """The pictures without the borders that are white in all of them, but for `room` pixels."""
    drawn = np.argwhere((np.stack(pictures) < 255).any(axis=(0, 3)))
    (top, left), (bottom, right) = drawn.min(0), drawn.max(0)
    rows, columns = slice(max(top - room, 0), bottom + room), slice(max(left - room, 0), right + room)
    return [picture[rows, columns] for picture in pictures]
