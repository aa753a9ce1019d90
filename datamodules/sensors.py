"""Virtual depth cameras around an object, their depth noise, and the table that they also see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from ..files.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cameras:
    """Cameras at random positions for each observation, uniform on a part of the sphere around the object.

    An elevation of (0, 90) is the upper hemisphere, (-90, 90) the sphere.
    """

    count: int = 1  # number of cameras
    distance: Sequence[float] = (0.4, 0.8)  # (low, high), metres, from the middle of the object's bounding box
    elevation: Sequence[float] = (0.0, 90.0)  # (low, high), degrees above the horizontal

    def __post_init__(self) -> None:
        if self.count < 1:
            raise DataError(f"count: expected at least one camera, found {self.count}")
        if len(self.distance) != 2 or not 0 < self.distance[0] <= self.distance[1]:
            raise DataError(f"distance: expected [low, high] with 0 < low <= high, found {list(self.distance)}")
        if len(self.elevation) != 2 or not -90 <= self.elevation[0] <= self.elevation[1] <= 90:
            raise DataError(f"elevation: expected [low, high] from -90 to 90 degrees, found {list(self.elevation)}")

    def draw(self, centre: Array, up: Array, generator: torch.Generator) -> Array:
        """Positions (count, 3) around `centre` (3,), metres, for the unit vector `up` (3,) in the same frame."""
        u = torch.rand(3, self.count, generator=generator, dtype=torch.float64).numpy()
        low, high = np.sin(np.radians(self.elevation))
        height, turn = low + (high - low) * u[0], 2 * np.pi * u[1]  # equal heights are equal areas (Archimedes)
        ring = np.sqrt(1 - height**2)
        direction = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1) @ frame_of(up)
        near, far = self.distance
        return centre + (near + (far - near) * u[2])[:, None] * direction


@dataclass(frozen=True)
class FixedCameras:
    """Cameras at fixed positions."""

    places: Sequence[Sequence[float]]  # (k, 3), metres, frame of the observed points (of the object for grasps)

    def __post_init__(self) -> None:
        shape = np.shape(self.places)
        if len(shape) != 2 or shape[1] != 3 or not shape[0]:
            raise DataError(f"places: expected at least one (x, y, z), found {self.places}")

    def draw(self, centre: Array, up: Array, generator: torch.Generator) -> Array:
        """The positions (k, 3), independent of the arguments."""
        return np.asarray(self.places, np.float64)


@dataclass(frozen=True)
class DepthNoise:
    """Errors of a depth camera that looks at the object's centre; points move along their rays.

    The default grows like that of a structured-light sensor: Khoshelham and Elberink, "Accuracy and Resolution of
    Kinect Depth Data", Sensors 2012: 1.4 mm at 1 m, 5.7 mm at 2 m.
    """

    base: float = 0.0  # standard deviation of depth at any distance, metres
    growth: float = 1.425e-3  # added to it per square metre of depth, 1/metres: std = base + growth * depth^2
    step: float = 0.0  # depth is rounded to multiples of this, metres; 0 for no rounding
    dropout: float = 0.0  # share of points that are lost

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise DataError(f"{name}: expected a number >= 0, found {value}")
        if self.dropout >= 1:
            raise DataError(f"dropout: expected a share below 1, found {self.dropout}")

    def measure(self, points: Tensor, eyes: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Moves points (N, 3), float64, metres, seen from `eyes` (N, 3) by cameras that look at `target` (3,), to their
        measured positions (N, 3).
        """
        axis = torch.nn.functional.normalize(target - eyes, dim=-1)
        depth = ((points - eyes) * axis).sum(-1, keepdim=True)
        std = self.base + self.growth * depth * depth
        measured = depth + std * torch.randn(depth.shape, generator=generator, dtype=depth.dtype)
        if self.step:
            measured = (measured / self.step).round() * self.step
        return eyes + (points - eyes) * (measured / depth)

    def kept(self, n: int, generator: torch.Generator) -> Tensor:
        """(n,), bool, whether each of n points is not lost."""
        return torch.rand(n, generator=generator) >= self.dropout


@dataclass(frozen=True)
class Table:
    """The table under the object, which UniDexGrasp adds to its clouds.

    UniDexGrasp cuts out a disc whose radius is the *squared* extent of the object, so points lie under it; here the
    outline of the object, seen from above, is cut out.
    """

    radius: float = 0.2  # metres, of the disc around the object; at least 1.25 times the object's own
    share: float = 0.25  # share of table points in an observation

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise DataError(f"radius: expected a length > 0, found {self.radius}")
        if not 0 < self.share < 1:
            raise DataError(f"share: expected a share between 0 and 1, found {self.share}")

    def draw(self, points: Array, plane: Array, n: int, generator: torch.Generator) -> Array:
        """n points (n, 3) on the table outside the outline of the object's points (N, 3), metres, uniform by area.

        `plane` (4,) is the unit normal (up) and offset b of the table top: normal @ x + b = 0.
        """
        axes = frame_of(plane[:3])
        flat = points @ axes[:2].T
        centre = flat.mean(axis=0)
        reach = max(self.radius, 1.25 * float(np.linalg.norm(flat - centre, axis=1).max()))
        # more than a third of these remain
        u = torch.rand(2, 8 * n + 64, generator=generator, dtype=torch.float64).numpy()
        ring, turn = reach * np.sqrt(u[0]), 2 * np.pi * u[1]
        places = centre + np.stack([ring * np.cos(turn), ring * np.sin(turn)], axis=1)
        places = places[~_inside_hull(places, flat)][:n]
        return places @ axes[:2] - plane[3] * axes[2]


def frame_of(up: Array) -> Array:
    """(3, 3), rows are a right-handed frame whose third axis is the unit vector `up`; the identity for +z."""
    first = np.array([1.0, 0.0, 0.0]) if abs(up[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    across = np.cross(up, first)
    across /= np.linalg.norm(across)
    return np.stack([np.cross(across, up), across, up])


def _inside_hull(places: Array, flat: Array) -> NDArray:
    try:
        sides = ConvexHull(flat).equations
    except (QhullError, ValueError):  # fewer than 3 points, or all on a line, cover nothing
        return np.zeros(len(places), bool)
    return np.all(places @ sides[:, :2].T + sides[:, 2] <= 0, axis=1)
