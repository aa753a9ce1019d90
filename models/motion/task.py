"""Task for all motion models: loss, metrics, optimiser, rollouts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...datamodules.motion import MotionDataModule
from ...datamodules.types import ClipBatch
from ...geometry.progress import tracked
from ...hands.pose import HandPose
from ...losses import MotionLoss
from ...metrics.object_distance import ObjectDistance
from ..blocks.latent import Source
from ..task import Task, draw_generator, rows_of
from .base import MotionModel
from .evaluation import Mode, clip_errors, clip_penetration, roll_out
from .goal_pull import GoalRefine, check_mode

Model = TypeVar("Model", bound=MotionModel)

_BATCHES = 32  # batches of windows for the statistics


class MotionSynthesis(Task[Model, MotionDataModule]):
    """Trains a motion model on windows and evaluates it by rollouts of whole clips to their true goal and length.

    Args:
        loss: weights of `MotionLoss`; None for a model without parameters.
        goal_refine: the modes evaluated in the test; the first one is what validation uses.
        given_frames: true frames at the start of a clip that a rollout is given; they are excluded from the errors.
        n_draws: rollouts of each test clip by a model that draws; the errors are their mean, never the best.
        sample_seed: of these draws.
        clips_per_batch: whole clips in the training batches of the data that it is for; None trains on windows.
        network, hand, optimizer, scheduler, method: see `Task`.

    Raises ValueError: an unknown mode, or a model with parameters without `loss` and `optimizer`.
    """

    datamodule_type = MotionDataModule
    row_keys = ("refine", "clip")
    monitor = "val/mpjpe_cm"
    supports_rollouts = True

    def __init__(
        self,
        network: Callable[..., Model],
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
        self.distance = ObjectDistance()

    def facts(self) -> dict[str, Any]:
        """Frame rate and hash of the split."""
        return {"fps": self.data.fps, "split_hash": self.data.split_hash}

    def fit_statistics(self) -> None:
        """Computes statistics from the training clips and the first windows."""
        self.network.fit_statistics(self.data.train, self.data.first_batches(_BATCHES))

    def setup(self, stage: str) -> None:
        """Takes statistics. Raises ValueError: data to train on whose batches are not such as the model needs."""
        if stage == "fit" and self.data.clips_per_batch != self.clips_per_batch:
            raise ValueError(
                f"data: expected clips_per_batch={self.clips_per_batch}, as model {self.method!r} is trained, found "
                f"{self.data.clips_per_batch}"
            )
        super().setup(stage)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of one batch; every term is logged."""
        total, terms = self.losses(batch)
        self.watch(terms)
        self.log_loss("train", total, terms, len(batch.clip))
        return total

    def losses(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch: windows, or whole clips with `clips_per_batch`."""
        return self.loss(self.network(batch), batch.future, batch.past)

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Free rollout to the true goal."""
        _, errors = self.evaluate(batch, self.goal_refine[0])
        columns = {key: errors[key] for key in ("mpjpe_cm", "mpjpe_palm_cm", "mpjpe_fingers_cm")}
        self.validated += rows_of([{"clip": name} for name in batch.names], columns)

    def test_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Rollouts in every mode of `goal_refine`, teacher-forced, and the most likely one of a stochastic model."""
        modes: list[Mode] = [*self.goal_refine]
        if self.trainable and self.network.supports_teacher_forcing:
            modes.append("teacher_forced")
        if self.network.is_stochastic:
            modes.append("most_likely")
        for mode in tracked(modes, f"rolling out {len(batch.names)} clips by {self.method}"):
            pose, errors = self.evaluate_draws(batch, mode)
            clips = zip(batch.names, batch.clip.tolist(), strict=True)
            labels = [{"clip": name, "object": self.data.test[clip].object} for name, clip in clips]
            self.results += rows_of([{"method": self.method, "refine": mode} | label for label in labels], errors)
            if mode == self.goal_refine[0]:
                for i, (name, length) in enumerate(zip(batch.names, batch.length.tolist(), strict=True)):
                    self.rollouts[name] = pose[i, :length].to("cpu")

    def test_prefix(self, mode: str) -> str:
        """ "test" alone for the headline mode."""
        return "test" if mode == self.goal_refine[0] else super().test_prefix(mode)

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
        """Depth of the hand in the objects of a batch of test clips, see `clip_penetration`."""
        return clip_penetration(self.hand, [self.data.test[i] for i in batch.clip.tolist()], pose, self.given_frames)

    def _evaluate_fully(self, batch: ClipBatch, mode: Mode, generator: Source) -> tuple[HandPose, dict[str, Tensor]]:
        """`evaluate` with all measurements of a test."""
        pose, errors = self.evaluate(batch, mode, generator, self.distance)
        return pose, errors | self.penetration(batch, pose)

    @torch.no_grad()
    def evaluate(
        self, batch: ClipBatch, mode: Mode, generator: Source = None, distance: ObjectDistance | None = None
    ) -> tuple[HandPose, dict[str, Tensor]]:
        """Synthesises whole clips and compares them with the truth: see `roll_out` and `clip_errors`."""
        pose = roll_out(self.network, batch, self.given_frames, mode, generator)
        return pose, clip_errors(self.hand, batch, pose, self.given_frames, distance)
