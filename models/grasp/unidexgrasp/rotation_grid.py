"""Rotations in equal volumes of SO(3): a grid (Yershova et al. 2010, IJRR 29(7)) and uniform random ones."""

import math

import torch
from torch import Tensor

from ....geometry.rotations import quat_to_rotmat

VOLUME = math.pi**2
"""Volume of SO(3) in the unit of rotation densities: half the surface of the unit sphere in 4-D."""


def rotation_grid(level: int) -> Tensor:
    """The product of HEALPix on the sphere and equidistant angles on the circle: 72 * 8^level cells of equal volume.

    Rotation by the angle about z, then the least rotation that takes z to the centre of the pixel. Each of 12 * 4^level
    pixels has 6 * 2^level angles, so that steps are equally wide on circle and sphere: 60 degrees at level 0, halved at
    each further level.
    `level`: 0 or more. Returns (72 * 8^level, 3, 3) rotation matrices, float64; the angle varies fastest.
    Raises ValueError: `level` is negative.
    """
    if level < 0:
        raise ValueError(f"level: expected 0 or more, found {level}; the grid has 72 * 8^level rotations")
    n_angles = 6 * 2**level
    spin = 2 * math.pi / n_angles * (torch.arange(n_angles, dtype=torch.float64) + 0.5)
    z, azimuth = healpix_centres(2**level).unsqueeze(-1).unbind(1)
    cosine, sine = ((1 + z) / 2).sqrt(), ((1 - z) / 2).sqrt()  # of half the angle to the z axis
    # Hopf coordinates, equation 4 of the paper.
    parts = (
        cosine * (spin / 2).cos(),
        sine * -(azimuth - spin / 2).sin(),
        sine * (azimuth - spin / 2).cos(),
        cosine * (spin / 2).sin(),
    )
    return quat_to_rotmat(torch.stack(parts, dim=-1).flatten(0, 1))


def healpix_centres(n_side: int) -> Tensor:
    """Centres of the 12 * n_side^2 pixels of equal area (Gorski et al. 2005, ApJ 622, equations 4 to 9).

    `n_side`: pixels along the edge of one of the twelve base pixels, 1 or more. Returns (12 * n_side^2, 2) float64: z
    in (-1, 1) and azimuth (rad, [0, 2 pi)), ring by ring from the north.
    """
    ring = torch.arange(1, 4 * n_side, dtype=torch.float64)
    to_pole = torch.minimum(ring, 4 * n_side - ring)
    in_cap = to_pole < n_side
    cap = (2 * n_side - ring).sign() * (1 - to_pole.square() / (3 * n_side**2))
    z = torch.where(in_cap, cap, 4 / 3 - 2 * ring / (3 * n_side))
    size = 4 * to_pole.clamp_max(n_side)
    # Every ring is shifted by half a pixel, except in the belt, where only every other one is.
    shift = torch.where(in_cap | ((ring - n_side) % 2 == 0), 0.5, 0.0)
    count = size.long()
    first = (count.cumsum(0) - count).repeat_interleave(count)
    place = torch.arange(int(count.sum()), dtype=torch.float64) - first
    azimuth = 2 * math.pi * (place + shift.repeat_interleave(count)) / size.repeat_interleave(count)
    return torch.stack([z.repeat_interleave(count), azimuth], dim=-1)


def random_rotations(n: int, generator: torch.Generator | None = None, device: torch.device | None = None) -> Tensor:
    """Uniform (Haar) random rotations, (n, 3, 3) float32, from unit quaternions uniform on the sphere in 4-D.

    `n`: number of rotations. `generator`: source of random numbers, on `device`; PyTorch's global one by default.
    `device`: device of the result.
    """
    return quat_to_rotmat(torch.randn(n, 4, generator=generator, device=device))
