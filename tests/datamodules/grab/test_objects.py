"""Names, aliases and splits, as the format's description lists them."""

from __future__ import annotations

import pytest

from dexzoo.datamodules.grab.objects import (
    ALIASES,
    OBJECT_SPLITS,
    OBJECTS,
    SPLITS,
    SUBJECTS,
    bits,
    object_of,
    part_of,
)
from dexzoo.files.errors import DataError

LISTED = """airplane alarmclock apple banana binoculars bowl camera cubelarge cubemedium cubesmall cup
cylinderlarge cylindermedium cylindersmall doorknob duck elephant eyeglasses flashlight flute fryingpan gamecontroller
hammer hand headphones knife lightbulb mouse mug phone piggybank pyramidlarge pyramidmedium pyramidsmall scissors
spherelarge spheremedium spheresmall stamp stanfordbunny stapler teapot toothbrush toothpaste toruslarge torusmedium
torussmall train watch waterbottle wineglass"""


def test_there_are_51_objects_and_10_subjects() -> None:
    assert sorted(LISTED.split()) == list(OBJECTS)
    assert len(OBJECTS) == len(set(OBJECTS)) == 51
    assert len(SUBJECTS) == 10


@pytest.mark.parametrize(
    ("split", "test", "val"),
    [
        ("grab", "mug wineglass camera binoculars fryingpan toothpaste", "apple toothbrush elephant hand"),
        ("goal", "mug camera binoculars apple toothpaste", "fryingpan toothbrush elephant hand"),
    ],
)
def test_every_object_is_in_exactly_one_part(split: str, test: str, val: str) -> None:
    lists = {part: [name for name in OBJECTS if part_of(name, split) == part] for part in ("train", "val", "test")}
    assert set(lists["test"]) == set(test.split())
    assert set(lists["val"]) == set(val.split())
    assert sum(map(len, lists.values())) == 51
    held_out = OBJECT_SPLITS[split]
    assert not set(held_out["val"]) & set(held_out["test"])
    assert ("wineglass" in lists["train"]) == (split == "goal")


@pytest.mark.parametrize("split", SPLITS)
def test_an_alias_is_in_the_part_of_its_shape(split: str) -> None:
    for alias, name in ALIASES.items():
        assert part_of(alias, split) == part_of(name, split)
        assert object_of(f"{alias}_lift") == object_of(f"{name}_lift") == name


def test_subjects_of_saga() -> None:
    assert [name for name in SUBJECTS if part_of(name, "saga_subjects") == "test"] == ["s9", "s10"]
    assert not [name for name in SUBJECTS if part_of(name, "saga_subjects") == "val"]


def test_names_of_sequences() -> None:
    assert object_of("mug_drink_1") == "mug"
    assert object_of("cubelarge_lift_Retake") == "cubelarge"
    assert object_of("Mug_lift") == "mug"
    with pytest.raises(DataError, match=r"'coffee_mug_lift': expected .* GRAB's objects, found 'coffee'"):
        object_of("coffee_mug_lift")


def test_bits() -> None:
    assert bits((0, 3, 55, 3)) == 1 + 8 + 2**55
