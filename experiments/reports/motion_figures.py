"""Pictures of Table 4: a median and a worst clip by all methods, a film of them, and their errors over time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
from hydra.utils import instantiate

from ...datamodules.types import MotionSample
from ...geometry.progress import tracked
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...models import MotionSynthesis
from ..commandline.errors import RunError
from ..commandline.explain import composed
from ..commandline.settings import Table4
from ..training.load import load_run, read_config
from .figures import ClipScene, clip_at_percentile, draw_error_over_time
from .motion_tables import COLUMNS
from .results import Row, method_label

PERCENTILES = {"median": 50, "worst": 100}
"""Clips that are drawn, by the error of the first method."""
MOMENTS, FILM_FPS = 7, 12

Clips = dict[str, HandPose]
Parts = Mapping[str, Sequence[Path]]
"""By method, folders with its weights: runs, or the folds of runs."""


def draw(folder: Path, parts: Parts, rows: Sequence[Row], title: str, settings: Table4) -> list[Path]:
    """Rolls out the models of the first seed on their test clips and draws error_over_time.png, sheet_median.png,
    sheet_worst.png and film_median.gif into a folder, which is made.

    `rows` are those of `report.gather`; the first method's errors in the metric `settings.key` choose the clips. The
    baselines `settings.beside` are drawn where the runs have them. Raises RunError for runs that have no test clip in
    common, or none with weights.
    """
    if not parts:
        raise RunError("runs: expected checkpoints to draw pictures with, found none; size=0 draws none")
    tested = {method_label(row) for row in rows}
    hand, samples, rollouts = roll_out_all(parts, [name for name in settings.beside if name in tested])
    errors = {name: errors_of(rows, name, settings.key, _seed(parts.get(name, ()))) for name in rollouts}
    common = set.intersection(*(set(clips) for clips in [*rollouts.values(), *errors.values()]))
    if not common:
        raise RunError("runs: expected test clips that all methods have, found none; size=0 draws no pictures")
    rollouts = {method: {name: clips[name] for name in clips if name in common} for method, clips in rollouts.items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = [draw_error_over_time(folder / "error_over_time.png", hand, samples, rollouts, title)]
    first = next(iter(rollouts))
    for word, percentile in tracked(PERCENTILES.items(), "drawing clips"):
        name = clip_at_percentile({clip: errors[first][clip] for clip in common}, percentile)
        by = f"by {COLUMNS[settings.key].title()}; the numbers are this clip's"
        heading = f"{title}: {name}\n{word} clip of {first} {by}"
        poses = {f"{method}  {errors[method][name]:.2f}": clips[name] for method, clips in rollouts.items()}
        scene = ClipScene(hand, samples[name], poses, settings.size)
        files.append(folder / f"sheet_{word}.png")
        imageio.imwrite(files[-1], scene.strip(MOMENTS, heading))
        if word == "median":
            files.append(folder / f"film_{word}.gif")
            imageio.imwrite(files[-1], scene.film(FILM_FPS, heading), duration=1000 / FILM_FPS, loop=0)
    return files


def roll_out_all(parts: Parts, beside: Iterable[str]) -> tuple[Hand, dict[str, MotionSample], dict[str, Clips]]:
    """The hand, the test clips by name, and their rollouts by every method; the models are those of the first seed, and
    baselines, choices of conf/model, are fitted to the training clips of the first method.
    """
    samples: dict[str, MotionSample] = {}
    rollouts: dict[str, Clips] = {method: {} for method in (*parts, *beside)}
    task: Any = None
    for method, folders in parts.items():
        for part in (folder for folder in folders if _seed([folder]) == _seed(folders)):
            task, data = load_run(part)
            data.setup()
            rollouts[method] |= roll_out(task, data)
            if method == next(iter(parts)):
                samples |= {sample.name: sample for sample in data.test}
                for name in beside:
                    rollouts[name] |= roll_out(_baseline(name, task, data), data)
    return task.hand, samples, rollouts


def roll_out(task: MotionSynthesis, data: Any) -> Clips:
    """Rollouts of the test clips in the first mode of a task's test, given frames included: HandPose (T,) by clip."""
    clips: Clips = {}
    for batch in tracked(data.test_dataloader(), f"rolling out {task.method}"):
        generators = task.draw_generators(batch.names) if task.network.is_stochastic else None
        pose, _ = task.evaluate(batch, task.goal_refine[0], generators)
        clips |= {name: pose[i, : int(batch.length[i])] for i, name in enumerate(batch.names)}
    return clips


def errors_of(rows: Iterable[Row], method: str, key: str, seed: int | None) -> dict[str, float]:
    """The metric of a method by clip, in the first mode of its test; of one seed, or of the first that has rows."""
    mine = [row for row in rows if method_label(row) == method]
    seed = mine[0]["seed"] if seed is None else seed
    return {row["clip"]: row[key] for row in mine if row["seed"] == seed and row["refine"] == mine[0]["refine"]}


def _seed(folders: Collection[Path]) -> int | None:
    """Seed of the first of some folders."""
    return next((read_config(folder).get("seed") for folder in folders), None)


def _baseline(name: str, task: MotionSynthesis, data: Any) -> MotionSynthesis:
    """A baseline fitted to the training clips of a task."""
    baseline = instantiate(composed([f"model={name}"]).model, hand=task.config["hand"], given_frames=task.given_frames)
    baseline.network.fit_statistics(data.train, ())
    return baseline.eval()
