"""MotionFlow: motions by conditional flow matching (Lipman et al., ICLR 2023) on straight paths, and its task."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...datamodules.types import FUTURE, MotionBatch, MotionState
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...losses.weighted import weighted_sum
from ..blocks.latent import Source, draw_prior
from ..blocks.velocity_field import VelocityField
from .features import offsets_to_pose, pose_to_offsets
from .task import MotionSynthesis
from .window_encoder import WindowEncoder


class MotionFlow(WindowEncoder):
    """Transports Gaussian noise to the offsets of ten frames; it has the same inputs as MotionNet.

    A state x has the standardised offsets of all ten frames. In training it lies on the straight line
    x_t = (1 - t) noise + t x_1 to the true offsets x_1. The network predicts the end of the line, E[x_1 | x_t], instead
    of the velocity: both define the same field, v = (x_1 - x_t) / (1 - t), but the end is smooth in time and need not
    carry the noise of all 10 x (9 + J) numbers through the layers.

    A rollout samples new noise for every chunk, so each chunk is a sample given the previous frames. One noise for a
    whole clip, reused in every chunk, was tried: it is equally smooth, but its errors accumulate. Without a generator
    the noise is zero, its most likely value, which does not necessarily give the most likely motion.

    Args:
        hand: see `MotionModel`.
        width: channels of the flow network.
        blocks: number of its residual blocks.
        steps: Euler steps from noise to offsets; each costs one evaluation of the network.
        **inputs: numbers of points and choice of inputs, see `WindowEncoder`.

    Raises ValueError: `steps` is less than 1.
    """

    is_stochastic = True

    def __init__(self, hand: Hand, *, width: int = 384, blocks: int = 3, steps: int = 4, **inputs: Any) -> None:
        super().__init__(hand, **inputs)
        if steps < 1:
            raise ValueError(f"steps: expected 1 or more, found {steps}")
        self.steps, self.size = steps, FUTURE * self.n_pose
        self.end = VelocityField(self.size, self.n_features, width, blocks)

    def guess(self, batch: MotionBatch) -> tuple[HandPose, Tensor]:
        """Predicts the end of the line from a point on it, for fresh noise and uniform times, in training.

        Returns the predicted end as HandPose (B, 10), world frame, and its squared error, (B, 10 (9 + J)), in units of
        the standardised offsets: the error of the velocity times (1 - t)^2. Raises ValueError: the model needs the
        object, but there is no cloud.
        """
        current = batch.past[:, -1]
        end = self.offsets(pose_to_offsets(batch.future, current)).flatten(1)
        time = torch.rand_like(end[:, :1])
        guess = self.end(torch.randn_like(end).lerp(end, time), time, self.encode(self.features(batch)))
        return self._pose(guess, current), (guess - end).square()

    def forward(self, state: MotionState) -> HandPose:
        """Predicts the frames t+1..t+10 as HandPose (B, 10), world frame, from zero noise. Raises like `guess`."""
        return self.step(state, None)

    def step(self, state: MotionState, generator: Source) -> HandPose:
        """One chunk, HandPose (B, 10), from fresh noise of the generator, or from zero noise without one."""
        feature = self.encode(self.features(state))
        noise = feature.new_zeros(len(feature), self.size)
        if generator is not None:
            noise = draw_prior(len(feature), 1, self.size, generator, temperature=1.0).squeeze(1).to(noise)
        return self._pose(self._carry(noise, feature), state.past[:, -1])

    def _carry(self, x: Tensor, feature: Tensor) -> Tensor:
        """Integrates states (B, D) from time 0 to 1. The last step ends at the network's prediction."""
        for step in range(self.steps):
            time = x.new_full((len(x), 1), step / self.steps)
            x = x.lerp(self.end(x, time, feature), 1 / (self.steps - step))
        return x

    def _pose(self, x: Tensor, current: HandPose) -> HandPose:
        return offsets_to_pose(self.offsets.inverse(x.unflatten(-1, (FUTURE, -1))), current)


class FlowSynthesis(MotionSynthesis[MotionFlow]):
    """Trains `MotionFlow` on lines from noise to windows, by `flow` and by terms of `MotionLoss` on their guessed ends.

    `flow` alone is flow matching. It weighs all numbers of the standardised offsets equally; the other terms measure
    the effect of an error on the hand. They are distances, not squares, so they shift the ends from the mean of the
    possible motions towards their median.

    Args:
        loss: weights of `flow` (squared error of the standardised offsets, mean over them) and of `MotionLoss`.
        **task: see `MotionSynthesis`; `network` makes a `MotionFlow`.

    Raises ValueError: as for `MotionSynthesis`, or `loss` has no positive weight of `flow`.
    """

    def __init__(self, *, loss: Mapping[str, float], **task: Any) -> None:
        flow = loss.get("flow", 0.0)
        if not flow > 0:
            raise ValueError(f"loss.flow: expected a positive weight, found {flow}; it is what trains the flow")
        others = {name: weight for name, weight in loss.items() if name != "flow"}
        super().__init__(loss=others, **task)
        self.weights = {"flow": float(flow)} | self.loss.weights

    def losses(self, batch: MotionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms of a batch of windows, at fresh noise."""
        guess, error = self.network.guess(batch)
        terms = {"flow": error.mean()}
        if self.loss.weights:
            terms |= self.loss(guess, batch.future, batch.past)[1]
        return weighted_sum(terms, self.weights), terms
