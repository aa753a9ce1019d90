"""GraspGlow: the density of translation and joints given rotation and cloud (UniDexGrasp, CVPR 2023, section 3.2)."""

import torch
from torch import Tensor, nn

from ...blocks.eval_mode import eval_mode
from ...published.unidexgrasp_glow import UniDexGraspGlow


class GraspGlow(nn.Module):
    """A flow in the hand's orientation: cloud p and palm position t are rotated by the same R^T, metres and radians.

    States are standardised by the first layer, which is initialised by the first training batch. `net` has the layout
    of the published file, which `load_official(path, glow)` reads.

    Args:
        n_joints: number of joints J of the hand.
        n_points: number of cloud points used: the first ones, which are a farthest-point subset.
        steps: number of triples of ActNorm, linear map and coupling.
        width: channels of a coupling's network.
        drop: its dropout.
        blur: standard deviations of noise on translation (metres) and joints (radians) in training. Many grasps have
            joints exactly at a limit, where the density of a flow would grow without bound; the published training has
            no noise.

    Raises ValueError: a number is too small.
    """

    def __init__(
        self,
        n_joints: int,
        *,
        n_points: int = 1024,
        steps: int = 21,
        width: int = 64,
        drop: float = 0.5,
        blur: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        if n_points < 1:
            raise ValueError(f"n_points: expected 1 or more, found {n_points}")
        if len(blur) != 2 or min(blur) < 0:
            raise ValueError(f"blur: expected standard deviations of translation and joints, 0 or more, found {blur}")
        self.n_points, self.blur = n_points, (float(blur[0]), float(blur[1]))
        self.size = 3 + n_joints
        self.net = UniDexGraspGlow(self.size, steps=steps, width=width, drop=drop)

    def negative_log_likelihood(self, points: Tensor, translation: Tensor, joints: Tensor) -> Tensor:
        """Mean of -log p(translation, joints | points). The first call in training sets the ActNorms.

        `points` (B, N, 3), metres, frame with the orientation of the hand; B >= 2 in training (batch norm).
        `translation` (B, 3), metres, same frame. `joints` (B, J), radians. Returns scalar, nats, of a density per
        metre^3 and radian^J.
        """
        state = torch.cat([translation, joints], dim=-1)
        if self.training:
            blur = torch.cat([state.new_full((n,), sd) for n, sd in zip((3, self.size - 3), self.blur, strict=True)])
            state = state + blur * torch.randn_like(state)
        return -self.net.flow.log_density(state, self._see(points)).mean()

    def decode(self, points: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Maps noise to poses, differentiable in the weights; always in eval mode.

        `points` (B, N, 3), metres, frame with the orientation of the hand; `noise` (B, K, 3 + J), from N(0, I) for
        samples of the density. Returns translation (B, K, 3), metres, same frame, and joints (B, K, J), radians, not
        clamped.
        """
        with eval_mode(self):
            feature = self._see(points).repeat_interleave(noise.shape[1], dim=0)
            state = self.net.flow(noise.flatten(0, 1), feature).unflatten(0, noise.shape[:2])
        return state[..., :3], state[..., 3:]

    def _see(self, points: Tensor) -> Tensor:
        return self.net.condition(points[:, : self.n_points])


def likeliest(noise: Tensor) -> Tensor:
    """The noise with the highest log-density of its sample, (..., D), of each set (..., K, D).

    The flow changes volume by the same factor everywhere, so it is the shortest one, and only that must be decoded.
    """
    shortest = noise.square().sum(-1).argmin(-1)
    return noise.take_along_dim(shortest[..., None, None], dim=-2).squeeze(-2)
