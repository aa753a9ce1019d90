"""The parametric objects: closed, at rest, of the volume that geometry says, and dealt into disjoint parts."""

import math

import numpy as np
import pytest
import trimesh

from dexzoo.files.errors import DataError
from dexzoo.geometry.solids import HULL_RATIO, convex_pieces
from dexzoo.synthesis.objects import TEST_OBJECTS, VAL_OBJECTS, object_mesh, object_names


@pytest.mark.parametrize("name", object_names())
def test_object_is_one_closed_body_at_rest_on_the_table(name):
    mesh = object_mesh(name)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
    lower, upper = mesh.bounds
    assert lower[2] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose((lower + upper)[:2], 0, atol=1e-6)
    assert 0.03 < mesh.extents.max() < 0.3
    assert np.sort(mesh.extents)[0] < 0.10, "a hand can't span it"
    assert 40 <= len(mesh.vertices) <= 1100


def test_can_has_the_volume_of_its_prism():
    area = 32 / 2 * 0.033**2 * math.sin(2 * math.pi / 32)
    assert object_mesh("can").volume == pytest.approx(area * 0.115, rel=1e-6)


@pytest.mark.parametrize(("name", "size"), [("tea_box", (0.11, 0.07, 0.075)), ("cereal_box", (0.15, 0.055, 0.21))])
def test_box_has_the_volume_of_a_rounded_box(name, size):
    """Steiner's formula for a box grown by a ball of radius r; the balls here are coarse, hence 1 %."""
    r = 0.003
    a, b, c = (s - 2 * r for s in size)
    volume = a * b * c + 2 * r * (a * b + b * c + c * a) + math.pi * r**2 * (a + b + c) + 4 / 3 * math.pi * r**3
    mesh = object_mesh(name)
    assert mesh.volume == pytest.approx(volume, rel=0.01)
    np.testing.assert_allclose(mesh.extents, size, atol=1e-6)


@pytest.mark.parametrize("name", ["bowl", "wineglass", "mug"])
def test_hollow_objects_hold_water(name):
    """The hull of a vessel is far larger than its wall."""
    mesh = object_mesh(name)
    assert mesh.convex_hull.volume > 3 * mesh.volume


def test_recipe_is_deterministic():
    first = object_mesh("duck").copy()
    object_mesh.cache_clear()
    np.testing.assert_array_equal(first.vertices, object_mesh("duck").vertices)


def test_parts_are_disjoint_and_cover_all():
    assert (set(TEST_OBJECTS), set(VAL_OBJECTS)) == ({"jar", "tea_box", "spray"}, {"bowl", "banana"})
    assert {*TEST_OBJECTS, *VAL_OBJECTS} < {*object_names()}
    assert len(object_names()) == 14


def test_unknown_object_names_the_nearest():
    with pytest.raises(DataError, match=r"found 'wine_glass'; did you mean 'wineglass'\?"):
        object_mesh("wine_glass")


def test_a_convex_object_collides_as_its_hull():
    mesh = object_mesh("can")
    (corners,) = convex_pieces(mesh)
    assert trimesh.convex.convex_hull(corners).volume == pytest.approx(mesh.volume, rel=1e-5)


def test_hull_ratio_separates_vessels_from_solids():
    ratio = {name: object_mesh(name).convex_hull.volume / object_mesh(name).volume for name in object_names()}
    assert ratio["can"] < HULL_RATIO < ratio["mug"]
