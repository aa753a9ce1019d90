"""Task for all motion models: loss, metrics, optimiser, rollouts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...datamodules.motion import MotionDataModule
from ...datamodules.types import ClipBatch, MotionSample
from ...geometry.meshes import MeshError
from ...geometry.progress import tracked
from ...grasps.asset import ObjectAsset, load_asset
from ...hands.pose import HandPose
from ...losses import MotionLoss
from ...metrics.evaluate import motion_errors
from ...metrics.object_depth import motion_penetration
from ...metrics.object_distance import ObjectDistance
from ..blocks.latent import Source
from ..task import Row, Task, draw_generator
from .base import MotionModel
from .goal_pull import GoalRefine, check_mode

_log = logging.getLogger(__name__)

_BATCHES = 32  # batches of windows for the statistics

Mode = GoalRefine | Literal["teacher_forced", "most_likely"]
"""Modes of test rollouts."""


class MotionSynthesis(Task):
    """Trains a motion model on windows and evaluates it with rollouts of whole clips to their true goal and length.

    Args:
        network: makes the model for a hand (a partial: `hand -> MotionModel`).
        hand: name or YAML of the hand.
        loss: weights of `MotionLoss`; None for a model without parameters.
        optimizer: makes the optimiser for the parameters.
        scheduler: makes the learning-rate schedule, see `Task`.
        goal_refine: modes evaluated in the test; validation uses the first one.
        given_frames: number of true frames at the start of a clip given to a rollout; excluded from the errors.
        n_draws: number of rollouts per test clip of a stochastic model; errors are their mean, never the best.
        sample_seed: seed of these rollouts.
        clips_per_batch: number of whole clips per training batch; None trains on windows.
        method: name in tables.

    Raises:
        ValueError: an unknown mode, or a model with parameters without `loss` and `optimizer`.
    """

    datamodule_type = MotionDataModule
    row_keys = ("refine", "clip")
    monitor = "val/mpjpe_cm"

    def __init__(
        self,
        network: Callable[..., MotionModel],
        hand: str,
        loss: Mapping[str, float] | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        goal_refine: Sequence[GoalRefine] = ("off",),
        given_frames: int = 1,
        n_draws: int = 1,
        sample_seed: int = 0,
        clips_per_batch: int | None = None,
        method: str = "model",
    ) -> None:
        for mode in goal_refine:
            check_mode(mode)
        super().__init__(network, hand, optimizer, scheduler, method)
        if self.trainable and loss is None:
            raise ValueError(f"model {method!r} has parameters: it needs `loss` and `optimizer`")
        self.loss = MotionLoss(self.hand, loss or {})
        self.goal_refine, self.given_frames = tuple(goal_refine), given_frames
        self.n_draws, self.sample_seed, self.clips_per_batch = n_draws, sample_seed, clips_per_batch
        self.rollouts: dict[str, HandPose] = {}
        self.distance = ObjectDistance()

    def facts(self) -> dict[str, Any]:
        """Frame rate and hash of the split."""
        return {"fps": self.data.fps, "split_hash": self.data.split_hash}

    def fit_statistics(self) -> None:
        """Computes statistics from the training clips and the first windows."""
        self.network.fit_statistics(self.data.train, self.data.first_batches(_BATCHES))

    def setup(self, stage: str) -> None:
        """Sets what the data module trains on, and computes statistics."""
        self.data.clips_per_batch = self.clips_per_batch
        super().setup(stage)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of one batch; every term is logged."""
        total, terms = self.losses(batch)
        self.watch(terms)
        how: dict[str, Any] = {"batch_size": len(batch.clip), "on_step": False, "on_epoch": True, "sync_dist": True}
        self.log("train/loss", total, prog_bar=True, **how)
        self.log_dict({f"train/{k}": v for k, v in terms.items()}, **how)
        return total

    def losses(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch: windows, or whole clips with `clips_per_batch`."""
        return self.loss(self.network(batch), batch.future, batch.past)

    def on_validation_start(self) -> None:
        """Clears the rows of an earlier validation."""
        self._validated: list[Row] = []

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Free rollout to the true goal."""
        _, errors = self.evaluate(batch, self.goal_refine[0])
        columns = {key: errors[key].tolist() for key in ("mpjpe_cm", "mpjpe_palm_cm", "mpjpe_fingers_cm")}
        for i, name in enumerate(batch.names):
            self._validated.append({"clip": name} | {key: column[i] for key, column in columns.items()})

    def on_validation_epoch_end(self) -> None:
        """Logs the means over the clips of all processes."""
        super().on_validation_epoch_end()
        self.log_means("val", self.gather(self._validated))

    def on_test_start(self) -> None:
        """Clears the results of an earlier test."""
        self.results, self.rollouts = [], {}

    def test_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Rollouts in every mode of `goal_refine`, teacher-forced, and the most likely one of a stochastic model."""
        modes: list[Mode] = [*self.goal_refine]
        if self.trainable and self.network.supports_teacher_forcing:
            modes.append("teacher_forced")
        if self.network.is_stochastic:
            modes.append("most_likely")
        for mode in tracked(modes, f"rolling out {len(batch.names)} clips by {self.method}"):
            pose, errors = self.evaluate_draws(batch, mode)
            columns = {key: value.tolist() for key, value in errors.items()}
            for i, name in enumerate(batch.names):
                obj = self.data.test[int(batch.clip[i])].object
                row: dict[str, Any] = {"method": self.method, "refine": mode, "clip": name, "object": obj}
                self.results.append(row | {key: value[i] for key, value in columns.items()})
                if mode == self.goal_refine[0]:
                    self.rollouts[name] = pose[i, : int(batch.length[i])].to("cpu")

    def on_test_epoch_end(self) -> None:
        """Gathers the rows of all ranks and logs the means."""
        self.gather_results()
        for mode in dict.fromkeys(row["refine"] for row in self.results):
            rows = [row for row in self.results if row["refine"] == mode]
            self.log_means("test" if mode == self.goal_refine[0] else f"test_{mode}", rows)

    def evaluate_draws(self, batch: ClipBatch, mode: Mode) -> tuple[HandPose, dict[str, Tensor]]:
        """The first rollout of a batch of test clips, and the mean errors of all `n_draws`; see `evaluate`."""
        if not self.network.is_stochastic or mode == "most_likely":
            return self._evaluate_fully(batch, mode, None)
        generators = self.draw_generators(batch.names)
        draws = [self._evaluate_fully(batch, mode, generators) for _ in range(self.n_draws)]
        return draws[0][0], {key: torch.stack([errors[key] for _, errors in draws]).mean(0) for key in draws[0][1]}

    def draw_generators(self, names: Sequence[str]) -> list[torch.Generator]:
        """Generators of the rollouts of test clips, one per clip."""
        return [draw_generator(self.sample_seed, name) for name in names]

    def penetration(self, batch: ClipBatch, pose: HandPose) -> dict[str, Tensor]:
        """Depth of the hand in the objects of test clips, see `motion_penetration`; NaN without a solid mesh.

        Args:
            batch: the test clips.
            pose: HandPose (B, T) of the clips, including the given frames, which are ignored.
        """
        samples: list[MotionSample] = [self.data.test[i] for i in batch.clip.tolist()]
        frames = [slice(self.given_frames, len(sample.pose.joints)) for sample in samples]
        return motion_penetration(
            self.hand,
            [pose[i, part] for i, part in enumerate(frames)],
            [sample.object_rotation[part] for sample, part in zip(samples, frames, strict=True)],
            [sample.object_translation[part] for sample, part in zip(samples, frames, strict=True)],
            [None if sample.mesh is None else _solid(sample.mesh, sample.object) for sample in samples],
        )

    def _evaluate_fully(self, batch: ClipBatch, mode: Mode, generator: Source) -> tuple[HandPose, dict[str, Tensor]]:
        """`evaluate` with all measurements of a test."""
        pose, errors = self.evaluate(batch, mode, generator, self.distance)
        return pose, errors | self.penetration(batch, pose)

    @torch.no_grad()
    def evaluate(
        self,
        batch: ClipBatch,
        mode: Mode,
        generator: Source = None,
        distance: ObjectDistance | None = None,
    ) -> tuple[HandPose, dict[str, Tensor]]:
        """Rolls out the clips and compares them with the truth.

        Args:
            batch: whole clips.
            mode: a mode of `goal_refine`; "teacher_forced" and "most_likely" do not refine.
            generator: for a stochastic model, one for all clips or one for each; None gives its most likely motion.
            distance: for the minimum distance between hand and object; None omits that column.

        Returns:
            The clips, HandPose (B, T), including the given frames, and the errors of `motion_errors`, (B,) each, over
            the frames after the given ones.
        """
        given = batch.pose[:, : self.given_frames]
        truth = batch.pose[:, self.given_frames :]
        synthesised = self.network.rollout(
            given,
            batch.goal,
            batch.length - self.given_frames,
            batch.object_points,
            batch.fps,
            generator=generator,
            goal_refine="off" if mode in ("teacher_forced", "most_likely") else mode,
            truth=truth if mode == "teacher_forced" else None,
        )
        frame = torch.arange(truth.shape[1], device=batch.length.device)
        mask = frame < (batch.length - self.given_frames)[:, None]
        to_object = None
        if distance is not None:
            # Without a mesh, the cloud is that of the first frame, which is right until the object moves.
            to_object = distance.at(
                batch.object_rotation, batch.object_translation, batch.meshes, clouds=batch.object_points
            )
        errors = motion_errors(self.hand, synthesised, truth, mask, to_object, fps=batch.fps)
        return HandPose.cat([given, synthesised], dim=1), errors


def _solid(mesh: Path, name: str) -> ObjectAsset | None:
    return _solid_of(mesh, name, mesh.stat().st_mtime_ns)


@cache  # one warning per process; the test clips of a data set have few objects
def _solid_of(mesh: Path, name: str, modified: int) -> ObjectAsset | None:
    """The object of a mesh file; None, with a warning, for a mesh that bounds no solid."""
    try:
        return load_asset(mesh, name)
    except MeshError as error:
        _log.warning("%s: penetration is not measured: %s", name, error)
        return None
