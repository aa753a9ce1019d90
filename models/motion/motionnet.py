"""MotionNet: autoregressive reach-to-grasp motion of a dexterous hand (RealDex, IJCAI-24, section 4.3)."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...datamodules.types import FUTURE, MotionBatch, MotionSample, MotionState
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ..blocks.gating import BlendedLinear, Gate
from ..blocks.standardise import Standardise
from .features import MotionFeatures, offsets_to_pose
from .window_encoder import WindowEncoder


class MotionNet(WindowEncoder):
    """M_in = (F^J_{t-4:t}, phi_{t-4:t}, P^h_t, its velocity, F^h_tgt, d^h_t) -> offsets of phi_{t+1:t+10} from t.

    Equations 1 to 3 of the paper; `WindowEncoder` encodes the inputs. A gate on velocity, displacement and distance to
    the goal blends the weights of `num_experts` experts: the paper mentions a gating mechanism without details; this
    one follows the Neural State Machine that it cites.

    Args:
        hand: see `MotionModel`.
        hidden: width of the trunk.
        num_experts: number of experts K; 1 is the ablation without a gate.
        dropout: probability in the trunk.
        **inputs: numbers of points and choice of inputs, see `WindowEncoder`.

    Raises ValueError: `num_experts` is less than 1.
    """

    def __init__(
        self, hand: Hand, *, hidden: int = 384, num_experts: int = 4, dropout: float = 0.1, **inputs: Any
    ) -> None:
        if num_experts < 1:
            raise ValueError(f"num_experts: expected 1 or more, found {num_experts}")
        super().__init__(hand, **inputs)
        n_gate = 2 * len(self.surface) + 1
        self.gate_input = Standardise(n_gate)
        self.gate = Gate(n_gate, num_experts) if num_experts > 1 else None
        self.entry = nn.Sequential(nn.Linear(self.n_features, hidden), nn.ELU(), nn.Dropout(dropout))
        self.trunk = nn.ModuleList(BlendedLinear(hidden, hidden, num_experts) for _ in range(2))
        self.exit = BlendedLinear(hidden, FUTURE * self.n_pose, num_experts)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: MotionState) -> HandPose:
        """Predicts the frames t+1..t+10 of each window as HandPose (B, 10), world frame.

        Raises ValueError: the model needs the object, but there is no cloud.
        """
        features = self.features(state)
        hidden = self.entry(self.encode(features))
        blend = self.blend(features)
        for layer in self.trunk:
            hidden = hidden + self.dropout(nn.functional.elu(layer(hidden, blend)))
        offsets = self.exit(hidden, blend).unflatten(-1, (FUTURE, -1))
        return offsets_to_pose(self.offsets.inverse(offsets), state.past[:, -1])

    def blend(self, features: MotionFeatures) -> Tensor:
        """Blending weights (B, K) of the experts: the gate's estimate of the phase of the motion."""
        if self.gate is None:
            return torch.ones(len(features.history), 1, device=features.history.device, dtype=features.history.dtype)
        return self.gate(self.gate_input(self._gate_vector(features)))

    def _gate_vector(self, features: MotionFeatures) -> Tensor:
        """Speeds, displacement norms and the distance to the goal."""
        norms = [features.velocity.norm(dim=-1), features.displacement.norm(dim=-1), features.goal_distance]
        return torch.cat(norms, dim=-1)

    @torch.no_grad()
    def fit_statistics(self, clips: Sequence[MotionSample], windows: Iterable[MotionBatch]) -> None:
        """Computes the standardisation of inputs, outputs and gate inputs from training windows."""
        windows = list(windows)
        super().fit_statistics(clips, windows)
        gate = torch.cat([self._gate_vector(self.features(batch)) for batch in windows])
        self.gate_input.fit(gate, floor=0.02)
