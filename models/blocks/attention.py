"""Self-attention over the joints of a hand (RealDex, equation 1)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from .encoding import SinusoidalEncoding


class JointAttention(nn.Module):
    """F^J = Attn(Q, K, V), where Q, K and V are projections of the sinusoidal encoding of the joints' coordinates.

    Args:
        n_joints: key points K of the hand.
        width: channels of the attention.
        heads: attention heads.
        out_features: features of the returned summary.
        attend: False replaces the attention with the value projection alone, an ablation with the same outputs.
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
        """Encodes joint coordinates (B, T, K, 3), metres, as one feature per frame, (B, T, out_features)."""
        projected = self.project(self.encoding(joints))
        if not self.attend:
            return self.summary(projected.flatten(-2))
        width = projected.shape[-1] // (3 * self.heads)
        parts = projected.flatten(0, 1).split(width, dim=-1)  # query, key and value, each with its heads
        # Written out: for 30 joints the fused CPU kernel is several times slower than two batched products; and head by
        # # head, since products take such slices directly, whereas heads in the batch would be copied first.
        attended = []
        for head in range(self.heads):
            query, key, value = parts[head :: self.heads]
            attended.append((width**-0.5 * query @ key.mT).softmax(-1) @ value)
        every = rearrange(torch.cat(attended, dim=-1), "(b t) joint c -> b t (joint c)", t=joints.shape[1])
        return self.summary(every)
