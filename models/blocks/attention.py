"""Self-attention over the joints of a hand (RealDex, equation 1)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from .encoding import SinusoidalEncoding


class JointAttention(nn.Module):
    """F^J = Attn(Q, K, V), where Q, K and V are projections of the sinusoidal code of the joints' coordinates.

    Args:
        n_joints: key points K of the hand.
        width: channels of the attention.
        heads: attention heads.
        out_features: features of the returned summary.
        attend: False replaces the attention by the value projection alone: the ablation with the same outputs.
    """

    def __init__(
        self, n_joints: int, width: int = 32, heads: int = 2, out_features: int = 64, attend: bool = True
    ) -> None:
        super().__init__()
        self.encoding = SinusoidalEncoding()
        self.heads = heads
        self.attend = attend
        self.project = nn.Linear(self.encoding.n_features, (3 if attend else 1) * width)
        self.summary = nn.Linear(n_joints * width, out_features)

    def forward(self, joints: Tensor) -> Tensor:
        """Turns joint coordinates (B, T, K, 3), metres, into one feature per frame, (B, T, out_features)."""
        projected = self.project(self.encoding(joints))
        if not self.attend:
            return self.summary(projected.flatten(-2))
        query, key, value = rearrange(projected, "b t k (three h c) -> three (b t) h k c", three=3, h=self.heads)
        # Written out: for 30 joints the fused CPU kernel is several times slower than two batched products.
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        attended = weights @ value
        return self.summary(rearrange(attended, "(b t) h k c -> b t (k h c)", t=joints.shape[1]))
