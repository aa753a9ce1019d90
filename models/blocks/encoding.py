"""Sinusoidal encoding of coordinates."""

import torch
from torch import Tensor, nn


class SinusoidalEncoding(nn.Module):
    """gamma(x) = (sin(2 pi x / l), cos(2 pi x / l)) for wavelengths l in a geometric series.

    Args:
        n_frequencies: wavelengths F.
        longest: longest wavelength, metres; the default spans a reach.
        shortest: shortest wavelength, metres; the default resolves a finger's width.
    """

    wavelengths: Tensor

    def __init__(self, n_frequencies: int = 6, longest: float = 2.0, shortest: float = 0.04) -> None:
        super().__init__()
        wavelengths = torch.logspace(0, 1, n_frequencies, base=shortest / longest) * longest
        self.register_buffer("wavelengths", wavelengths, persistent=False)
        self.n_features = 3 * 2 * n_frequencies

    def forward(self, points: Tensor) -> Tensor:
        """Encodes (..., 3), metres, as (..., 6 F)."""
        phase = 2 * torch.pi * points.unsqueeze(-1) / self.wavelengths
        return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(-2)
