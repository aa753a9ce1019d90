"""Pictures of meshes by ray casting with embreex: no display, no OpenGL, the same on every machine.

A scene stands on white under a dome of fixed lamps, brightest over the camera's left shoulder; every lamp casts
shadows, which together come out soft and without noise. A `Ground` adds a floor, and a sun
that casts a sharp shadow on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

from .ground import Ground
from .meshes import check_mesh
from .normals import corner_normals

Colour = tuple[float, float, float]
Part = tuple[trimesh.Trimesh, Colour]
Array = NDArray[np.float32]

_SUBPIXELS = np.array([(-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375)])  # rotated grid
_LAMPS = 40  # divided among the sub-pixels, ten each
_GAMMA = 2.2
_FLOOR, _SHADE = 0.75, 0.7
"""Linear colour of the middle of a floor, and the share of its light that comes from the sun."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        eye: (3,), metres, world frame.
        target: (3,), metres, world frame; appears in the middle of the picture.
        up: (3,), world frame; points up in the picture.
        fov_deg: degrees, across the shorter side of the picture.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    fov_deg: float = 40.0

    def __post_init__(self) -> None:
        """Raises ValueError if eye and target coincide or the angle is out of range."""
        if np.allclose(self.eye, self.target, atol=1e-12):
            raise ValueError(f"eye: expected a position away from the target, found both at {self.target}")
        if not 0 < self.fov_deg < 180:
            raise ValueError(f"fov_deg: expected an angle between 0 and 180 degrees, found {self.fov_deg}")

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3): rows are right, up and backward (from target to eye) of the camera, in the world frame."""
        return _axes(np.subtract(self.eye, self.target), self.up)

    @staticmethod
    def framing(
        meshes: Sequence[Part],
        direction: ArrayLike = (1.0, -1.0, 0.7),
        fov_deg: float = 40.0,
        up: tuple[float, float, float] = (0.0, 0.0, 1.0),
    ) -> Camera:
        """The nearest camera that sees all of the meshes, with a small margin around them.

        Args:
            meshes: of a scene, as for `render_scene`.
            direction: (3,), from the scene towards the camera, world frame, any length.
            fov_deg: degrees, across the shorter side of the picture.
            up: (3,), world frame.

        Raises:
            ValueError: there is no mesh, or the direction is zero.
        """
        if not len(meshes):
            raise ValueError("meshes: expected at least one (mesh, colour), found none")
        right, top, back = axes = _axes(np.asarray(direction, np.float64), up)
        points = np.concatenate([np.asarray(mesh.vertices) for mesh, _ in meshes]) @ axes.T
        slope = np.tan(np.radians(fov_deg) / 2) / 1.06  # a margin of 6 %
        # A point (x, z) is in view of an eye at (x0, z0) where |x - x0| <= slope (z0 - z); likewise for y.
        high = (points[:, :2] + slope * points[:, 2:]).max(0)
        low = (points[:, :2] - slope * points[:, 2:]).min(0)
        x, y = (high + low) / 2
        z = ((high - low) / (2 * slope)).max()
        eye, target = x * right + y * top + z * back, x * right + y * top + points[:, 2].mean() * back
        return Camera((*eye.tolist(),), (*target.tolist(),), up, fov_deg)

    def rays(self, rows: ArrayLike, columns: ArrayLike, size: tuple[int, int]) -> Array:
        """Unit directions (N, 3), world frame, through places (N,) of a picture of size (height, width).

        Places are in pixels from the picture's upper left corner: the centre of the first pixel is at (0.5, 0.5).
        """
        scale = self._per_pixel(size)
        right, up, back = self.axes
        x, y = (np.asarray(columns) - size[1] / 2) * scale, (size[0] / 2 - np.asarray(rows)) * scale
        direction = x[:, None] * right + y[:, None] * up - back
        return _unit(direction).astype(np.float32)

    def pixels(self, points: NDArray[np.float64], size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (N,) and columns (N,) of the pixels in the smallest rectangle that holds points (P, 3), world frame."""
        x, y, z = ((points - self.eye) @ self.axes.T).T
        if z.max() >= 0:  # something is level with the eye or behind it: anything may be in view
            rows, columns = np.indices(size)
            return rows.ravel(), columns.ravel()
        along = np.stack([y, -x]) / z / self._per_pixel(size) + np.array([[size[0] / 2], [size[1] / 2]])
        low = np.floor(along.min(1) - 1).clip(0, size).astype(int)
        high = np.ceil(along.max(1) + 1).clip(0, size).astype(int)
        rows, columns = np.indices(high - low)
        return rows.ravel() + low[0], columns.ravel() + low[1]

    def _per_pixel(self, size: tuple[int, int]) -> float:
        return 2 * np.tan(np.radians(self.fov_deg) / 2) / min(size)


def render_scene(
    meshes: Sequence[Part],
    camera: Camera | None = None,
    size: tuple[int, int] = (512, 512),
    ground: Ground | None = None,
) -> NDArray[np.uint8]:
    """Draws meshes on white, or on a floor.

    Args:
        meshes: (mesh, colour), mesh in metres in the world frame, colour as red, green, blue from 0 to 1.
        camera: by default the one that `Camera.framing` gives.
        size: (height, width), pixels.
        ground: the floor; it is seen from above only, and hides what is below it.

    Returns:
        (height, width, 3) picture.

    Raises:
        MeshError: a mesh has no faces or vertices that are not finite.
        ValueError: there is no mesh, a colour is out of range, or the size is not positive.
    """
    _check(meshes, size)
    camera = camera or Camera.framing(meshes)
    scene = _Scene(meshes)
    lamps, power = _lamps(camera.axes)
    if ground is None:
        rows, columns = camera.pixels(np.concatenate([np.asarray(mesh.vertices) for mesh, _ in meshes]), size)
    else:
        rows, columns = (axis.ravel() for axis in np.indices(size))
    light = np.zeros((len(rows), 3), np.float32)
    for i, (down, across) in enumerate(_SUBPIXELS):
        mine = slice(i, None, len(_SUBPIXELS))
        rays = camera.rays(rows + 0.5 + down, columns + 0.5 + across, size)
        light += scene.trace(np.asarray(camera.eye), rays, lamps[mine], power[mine], ground)
    picture = np.full((*size, 3), 255, np.uint8)
    picture[rows, columns] = np.rint(255 * (light / len(_SUBPIXELS)).clip(0, 1) ** (1 / _GAMMA))
    return picture


def frame_mesh(R: ArrayLike, t: ArrayLike, length: float = 0.05) -> list[Part]:
    """Draws a frame: x red, y green, z blue.

    Args:
        R: (3, 3), world_from_frame.
        t: (3,), metres, origin of the frame in the world.
        length: of the axes, metres.

    Returns:
        Three cylinders to add to the meshes of a scene.
    """
    R, t = np.asarray(R, np.float64), np.asarray(t, np.float64)
    tips = t + length * R.T
    rods = [trimesh.creation.cylinder(radius=length / 25, segment=np.stack([t, tip]), sections=16) for tip in tips]
    return list(zip(rods, ((0.85, 0.2, 0.2), (0.2, 0.65, 0.25), (0.2, 0.35, 0.85)), strict=True))


def points_mesh(points: ArrayLike, radius: float = 0.002) -> trimesh.Trimesh:
    """Draws points (N, 3), metres, world frame, as one mesh of small spheres.

    Raises:
        ValueError: `points` has another shape, or is empty.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise ValueError(f"points: expected shape (N, 3) with N >= 1, found {points.shape}")
    ball = trimesh.creation.icosphere(subdivisions=1, radius=radius)
    vertices = points[:, None] + ball.vertices
    faces = len(ball.vertices) * np.arange(len(points))[:, None, None] + ball.faces
    return trimesh.Trimesh(vertices.reshape(-1, 3), faces.reshape(-1, 3), process=False)


class _Scene:
    """The triangles of all meshes, with what is needed to shade a point on one of them."""

    def __init__(self, meshes: Sequence[Part]) -> None:
        from embreex.mesh_construction import TriangleMesh  # imported only when a picture is drawn
        from embreex.rtcore_scene import EmbreeScene

        triangles = np.concatenate([np.asarray(mesh.triangles) for mesh, _ in meshes])
        self.normals = np.concatenate([corner_normals(mesh) for mesh, _ in meshes]).astype(np.float32)
        self.colours = np.repeat([colour for _, colour in meshes], [len(m.faces) for m, _ in meshes], axis=0)
        self.colours = (self.colours**_GAMMA).astype(np.float32)
        # embree is float32: centred and scaled, its precision does not depend on where the scene lies.
        self.centre = (triangles.min((0, 1)) + triangles.max((0, 1))) / 2
        self.scale = np.abs(triangles - self.centre).max()
        self.embree = EmbreeScene()
        scaled = ((triangles - self.centre) / self.scale).astype(np.float32)
        self._mesh = TriangleMesh(self.embree, scaled)

    def trace(
        self, eye: NDArray[np.float64], rays: Array, lamps: Array, power: Array, ground: Ground | None = None
    ) -> Array:
        """Linear colours (N, 3) of the rays (N, 3) from the eye, lit by lamps (L, 3), unit, of power (L,)."""
        light = np.ones((len(rays), 3), np.float32)
        origin = ((eye - self.centre) / self.scale).astype(np.float32)
        hits = self.embree.run(np.broadcast_to(origin, rays.shape).copy(), rays, output=1)
        live = np.flatnonzero(hits["primID"] >= 0)
        if ground is not None:
            seen = np.where(hits["primID"] >= 0, hits["tfar"], np.inf)
            on_floor, at = self._on_floor(origin, rays, seen, ground)
            light[on_floor] = self._floor(at, lamps, power, ground)[:, None]
            live = np.setdiff1d(live, on_floor, assume_unique=True)
        face = hits["primID"][live]
        if not len(live):
            return light
        u, v = hits["u"][live, None], hits["v"][live, None]
        a, b, c = self.normals[face].swapaxes(0, 1)
        normal, flat = _unit((1 - u - v) * a + u * b + v * c), _unit(hits["Ng"][live])
        flat *= -np.sign((flat * rays[live]).sum(-1, keepdims=True))  # towards the eye: open meshes have two sides
        normal *= np.where((normal * flat).sum(-1, keepdims=True) < 0, -1, 1).astype(np.float32)
        at = origin + hits["tfar"][live, None] * rays[live] + 1e-4 * flat
        light[live] = self.colours[face] * self._irradiance(at, normal, lamps, power)[:, None]
        return light

    def _on_floor(self, origin: Array, rays: Array, seen: Array, ground: Ground) -> tuple[NDArray[np.int64], Array]:
        """Which rays meet the floor before they meet a mesh at `seen` (N,), and where (M, 3), scaled."""
        above = origin[2] - (ground.height - self.centre[2]) / self.scale
        down = np.minimum(rays[:, 2], -1e-6)
        on = np.flatnonzero((rays[:, 2] < 0) & (above > 0) & (-above / down < seen - 1e-4))
        return on, (origin - (above / down[on])[:, None] * rays[on] + (0, 0, 1e-4)).astype(np.float32)

    def _floor(self, at: Array, lamps: Array, power: Array, ground: Ground) -> Array:
        """Linear grey (M,) of places (M, 3) on the floor: the shares of sun and lamps that reach them."""
        sky, all_sky = np.zeros(len(at), np.float32), 1e-6
        for lamp, strength in zip(lamps, power * lamps[:, 2], strict=True):
            if strength > 0:
                sky += strength * self._reached(at, lamp)
                all_sky += strength
        sun = self._reached(at, _unit(np.array(ground.sun, np.float32)))
        middle = (np.array([*ground.centre]) - self.centre[:2]) / self.scale
        distance = np.linalg.norm(at[:, :2] - middle, axis=-1) * self.scale / ground.radius
        floor = 1 - (1 - _FLOOR) * (2 - 2 * distance).clip(0, 1)
        return floor * (_SHADE * sun + (1 - _SHADE) * sky / all_sky)

    def _reached(self, at: Array, lamp: Array) -> NDArray[np.bool_]:
        """(N,), whether nothing stands between places (N, 3) and a lamp in direction (3,), unit."""
        return self.embree.run(at, np.broadcast_to(lamp, at.shape).copy(), query="OCCLUDED") < 0

    def _irradiance(self, at: Array, normal: Array, lamps: Array, power: Array) -> Array:
        total = np.full(len(at), 0.12, np.float32)  # light that the white surroundings reflect, everywhere
        for lamp, strength in zip(lamps, power, strict=True):
            cosine = normal @ lamp
            facing = np.flatnonzero(cosine > 0)
            total[facing] += strength * cosine[facing] * self._reached(at[facing], lamp)
        return total


def _lamps(axes: NDArray[np.float64]) -> tuple[Array, Array]:
    """Directions (L, 3), world frame, spread evenly over the part of the sphere above and behind the camera, and
    powers.

    Each sub-pixel's share lights a white surface that faces the brightest place to about 1.1, a little overexposed.
    """
    index = np.arange(_LAMPS) + 0.5
    height = 1 - 1.35 * index / _LAMPS  # Fibonacci spiral, from the pole to a little below the horizon
    turn = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - height**2)
    spiral = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=-1)
    pole = np.array([-0.35, 0.75, 0.55])
    key = np.array([-0.45, 0.6, 0.66])
    local = spiral @ _axes(pole, (0.0, 0.0, 1.0))
    power = 0.3 + (local @ key).clip(min=0) ** 2
    shares = 1.1 * len(_SUBPIXELS) / (power * (local @ key).clip(min=0)).sum()
    return (local @ axes).astype(np.float32), (power * shares).astype(np.float32)


def from_the_side(way: ArrayLike, lift: float = 0.4) -> NDArray[np.float64]:
    """Direction from a scene to a camera that looks across a way (3,), so that neither end of it hides the other.

    `lift` is the height that the camera looks down from, for a distance of 1 on the level.
    """
    side = np.cross(np.asarray(way, float), [0.0, 0.0, 1.0])
    length = np.linalg.norm(side)
    if length <= 1e-3 * np.linalg.norm(way):  # straight up or down, or no way at all
        side, length = np.array([1.0, 0.0, 0.0]), 1.0
    return side / length + np.array([0.0, 0.0, lift])


def _axes(back: NDArray[np.float64], up: tuple[float, float, float]) -> NDArray[np.float64]:
    length = np.linalg.norm(back)
    if not length > 0:
        raise ValueError(f"direction: expected a nonzero vector, found {back}")
    back = back / length
    right = np.cross(up, back)
    if np.linalg.norm(right) < 1e-6:  # straight from above or below: any horizontal direction will do for up
        right = np.cross((0.0, 1.0, 0.0) if abs(back[1]) < 0.9 else (1.0, 0.0, 0.0), back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])


def _unit(vectors: NDArray) -> NDArray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(min=1e-30)


def _check(meshes: Sequence[Part], size: tuple[int, int]) -> None:
    if not len(meshes):
        raise ValueError("meshes: expected at least one (mesh, colour), found none")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size: expected (height, width) in pixels, found {size}")
    for i, (mesh, colour) in enumerate(meshes):
        check_mesh(mesh, f"meshes[{i}]")
        if len(colour) != 3 or min(colour) < 0 or max(colour) > 1:
            raise ValueError(f"meshes[{i}]: expected a colour of red, green, blue from 0 to 1, found {tuple(colour)}")
