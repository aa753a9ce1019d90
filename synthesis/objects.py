"""Fourteen parametric solids of household size: the objects of the demo data.

Each is a closed surface made by revolving, convex hulls and booleans (manifold3d), in metres, z up, resting on z = 0
and centred in x and y. The recipe is deterministic; nothing is downloaded, so no licence applies.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import numpy as np
import trimesh
from manifold3d import CrossSection, Manifold, OpType
from numpy.typing import ArrayLike

from ..files.errors import UnknownName

TEST_OBJECTS = ("jar", "tea_box", "spray")
VAL_OBJECTS = ("bowl", "banana")

_SEGMENTS = 32


def object_names() -> tuple[str, ...]:
    """Names of all demo objects, in a fixed order."""
    return tuple(_RECIPES)


@cache
def object_mesh(name: str) -> trimesh.Trimesh:
    """The watertight mesh of a demo object, metres, resting on z = 0, centred in x and y; raises UnknownName for
    another one.

    The mesh is shared between callers: copy it before modifying it.
    """
    if name not in _RECIPES:
        raise UnknownName("demo object", name, _RECIPES)
    solid = _RECIPES[name]()
    lower, upper = np.split(np.array(solid.bounding_box()), 2)
    solid = solid.translate((-(lower[0] + upper[0]) / 2, -(lower[1] + upper[1]) / 2, -lower[2]))
    surface = solid.to_mesh()
    return trimesh.Trimesh(
        np.asarray(surface.vert_properties, np.float64)[:, :3], np.asarray(surface.tri_verts, np.int64), process=False
    )


# ----------------------------------------------------------------------------------------------------------- helpers


def _revolved(*profile: tuple[float, float]) -> Manifold:
    """Revolves a closed (radius, height) outline around the z axis."""
    return Manifold.revolve(CrossSection([np.array(profile)]), _SEGMENTS)


def _ball(radius: float, centre: ArrayLike, segments: int = 16) -> Manifold:
    return Manifold.sphere(radius, segments).translate(np.asarray(centre, np.float64))


def _tube(centres: np.ndarray, radii: np.ndarray, segments: int = 12) -> Manifold:
    """Union of the hulls of neighbouring balls: a bent, tapered tube along (n, 3) centres."""
    balls = [_ball(r, c, segments) for c, r in zip(centres, radii, strict=True)]
    return Manifold.batch_boolean([Manifold.batch_hull(pair) for pair in itertools.pairwise(balls)], OpType.Add)


def _rounded_box(x: float, y: float, z: float, radius: float) -> Manifold:
    """Box of full size x, y, z whose edges are rounded: the hull of eight balls."""
    half = np.array([x, y, z]) / 2 - radius
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    return Manifold.batch_hull([_ball(radius, half * s, 8) for s in signs])


def _ellipsoid(axes: ArrayLike, centre: ArrayLike, segments: int = 24) -> Manifold:
    return Manifold.sphere(1.0, segments).scale(np.asarray(axes, np.float64)).translate(np.asarray(centre, np.float64))


# ----------------------------------------------------------------------------------------------------------- recipes


def _can() -> Manifold:
    return Manifold.cylinder(0.115, 0.033, 0.033, _SEGMENTS)


def _cereal_box() -> Manifold:
    return _rounded_box(0.15, 0.055, 0.21, 0.003)


def _tea_box() -> Manifold:
    return _rounded_box(0.11, 0.07, 0.075, 0.003)


def _bottle() -> Manifold:
    shoulder = [(0.034, 0.125), (0.030, 0.145), (0.020, 0.163), (0.0135, 0.175)]
    cap = [(0.0135, 0.190), (0.0155, 0.190), (0.0155, 0.210), (0.0, 0.210)]
    return _revolved((0.0, 0.0), (0.032, 0.0), (0.035, 0.004), *shoulder, *cap)


def _jar() -> Manifold:
    body = [(0.039, 0.0), (0.042, 0.005), (0.042, 0.075), (0.036, 0.085)]
    lid = [(0.036, 0.088), (0.039, 0.088), (0.039, 0.105), (0.0, 0.105)]
    return _revolved((0.0, 0.0), *body, *lid)


def _mug() -> Manifold:
    side = [(0.036, 0.0), (0.040, 0.004), (0.041, 0.095), (0.037, 0.095), (0.036, 0.007)]
    cup = _revolved((0.0, 0.0), *side, (0.0, 0.007))
    angle = np.linspace(-1.9, 1.9, 13)
    ring = np.stack([0.036 + 0.034 * np.cos(angle), 0.0 * angle, 0.049 + 0.034 * np.sin(angle)], axis=1)
    inside = Manifold.cylinder(0.12, 0.0365, 0.0365, _SEGMENTS)
    return cup + (_tube(ring, np.full(13, 0.0055)) - inside)


def _wineglass() -> Manifold:
    foot = [(0.034, 0.0), (0.034, 0.003), (0.010, 0.007), (0.005, 0.014), (0.005, 0.075)]
    outside = [(0.016, 0.082), (0.030, 0.097), (0.037, 0.120), (0.036, 0.150), (0.031, 0.175)]
    inside = [(0.0285, 0.175), (0.0335, 0.150), (0.0345, 0.121), (0.028, 0.100), (0.014, 0.087), (0.0, 0.084)]
    return _revolved((0.0, 0.0), *foot, *outside, *inside)


def _bowl() -> Manifold:
    outside = [(0.030, 0.0), (0.032, 0.006), (0.050, 0.016), (0.064, 0.033), (0.070, 0.055)]
    inside = [(0.065, 0.055), (0.0595, 0.036), (0.047, 0.021), (0.030, 0.012), (0.0, 0.010)]
    return _revolved((0.0, 0.0), *outside, *inside)


def _apple() -> Manifold:
    turn = np.linspace(-np.pi / 2, np.pi / 2, 17)
    radius = 0.038 * np.cos(turn) ** 0.85
    height = 0.034 * np.sin(turn) - 0.006 * np.sign(turn) * np.exp(-((radius / 0.012) ** 2)) + 0.034
    outline = [(0.0, height[0]), *zip(radius[1:-1], height[1:-1], strict=True), (0.0, height[-1])]
    stalk = _tube(np.array([[0, 0, 0.058], [0.001, 0, 0.068], [0.004, 0, 0.076]]), np.array([0.002, 0.0016, 0.0020]), 8)
    return _revolved(*outline) + stalk


def _banana() -> Manifold:
    turn = np.linspace(-0.85, 0.85, 11)
    centres = np.stack([0.105 * np.sin(turn), 0.105 * np.cos(turn), np.full(11, 0.0175)], axis=1)
    radii = np.array([0.005, 0.0105, 0.0145, 0.0165, 0.0175, 0.0175, 0.0175, 0.0165, 0.0145, 0.0095, 0.0055])
    return _tube(centres, radii)


def _flashlight() -> Manifold:
    outline = [(0.0165, 0.0), (0.0165, 0.105), (0.026, 0.125), (0.026, 0.155), (0.022, 0.155), (0.018, 0.147)]
    upright = _revolved((0.0, 0.0), *outline, (0.0, 0.147))
    switch = _rounded_box(0.012, 0.008, 0.022, 0.003).translate((0.0, 0.0155, 0.075))
    return (upright + switch).rotate((0.0, 90.0, 0.0))


def _hammer() -> Manifold:
    turn = np.linspace(0.0, 1.0, 5)
    radii = np.array([0.0145, 0.0155, 0.0135, 0.0115, 0.0105])
    handle = _tube(np.stack([0.20 * turn - 0.10, 0 * turn, 0 * turn], axis=1), radii)
    neck = Manifold.cylinder(0.075, 0.011, 0.011, 20, True).rotate((90.0, 0.0, 0.0)).translate((0.105, 0.0, 0.0))
    face = Manifold.cylinder(0.026, 0.0155, 0.0155, 20, True).rotate((90.0, 0.0, 0.0)).translate((0.105, -0.040, 0.0))
    base = Manifold.cube((0.022, 0.004, 0.020), True).translate((0.105, 0.034, 0.0))
    tip = Manifold.cube((0.004, 0.004, 0.024), True).translate((0.088, 0.070, 0.0))
    return handle + neck + face + Manifold.batch_hull([base, tip])


def _spray() -> Manifold:
    side = [(0.033, 0.0), (0.035, 0.004), (0.035, 0.095), (0.026, 0.125), (0.014, 0.140), (0.014, 0.165)]
    body = _revolved((0.0, 0.0), *side, (0.0, 0.165))
    head = _rounded_box(0.075, 0.022, 0.026, 0.004).translate((0.012, 0.0, 0.174))
    nozzle = Manifold.cylinder(0.012, 0.007, 0.006, 16).rotate((0.0, 90.0, 0.0)).translate((0.047, 0.0, 0.176))
    centres = np.array([[0.036, 0, 0.166], [0.034, 0, 0.148], [0.040, 0, 0.128]])
    lever = _tube(centres, np.array([0.0045, 0.004, 0.0045]))
    return body.scale((1.0, 0.8, 1.0)) + head + nozzle + lever


def _duck() -> Manifold:
    body = _ellipsoid((0.052, 0.038, 0.033), (0.0, 0.0, 0.031))
    tail = Manifold.batch_hull([_ball(0.018, (-0.030, 0.0, 0.040)), _ball(0.006, (-0.056, 0.0, 0.060), 12)])
    head = _ball(0.026, (0.030, 0.0, 0.078), 24)
    neck = Manifold.cylinder(0.03, 0.022, 0.020, 24).translate((0.028, 0.0, 0.045))
    tip = _ellipsoid((0.008, 0.012, 0.004), (0.064, 0, 0.072), 12)
    beak = Manifold.batch_hull([_ball(0.009, (0.050, 0.0, 0.074), 12), tip])
    base = Manifold.cube((0.2, 0.2, 0.2), True).translate((0.0, 0.0, -0.1))
    return (body + tail + head + neck + beak) - base


_MAKERS = (_can, _cereal_box, _tea_box, _bottle, _jar, _mug, _wineglass, _bowl, _apple, _banana, _flashlight, _hammer)
_RECIPES: dict[str, Callable[[], Manifold]] = {
    make.__name__.removeprefix("_"): make for make in (*_MAKERS, _spray, _duck)
}
