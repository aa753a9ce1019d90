"""GRAB's objects, subjects and contact labels: canonical names, and the published splits."""

from __future__ import annotations

from collections.abc import Iterable

from ...files.errors import DataError

OBJECTS = (
    *("airplane", "alarmclock", "apple", "banana", "binoculars", "bowl", "camera", "cubelarge", "cubemedium"),
    *("cubesmall", "cup", "cylinderlarge", "cylindermedium", "cylindersmall", "doorknob", "duck", "elephant"),
    *("eyeglasses", "flashlight", "flute", "fryingpan", "gamecontroller", "hammer", "hand", "headphones", "knife"),
    *("lightbulb", "mouse", "mug", "phone", "piggybank", "pyramidlarge", "pyramidmedium", "pyramidsmall", "scissors"),
    *("spherelarge", "spheremedium", "spheresmall", "stamp", "stanfordbunny", "stapler", "teapot", "toothbrush"),
    *("toothpaste", "toruslarge", "torusmedium", "torussmall", "train", "watch", "waterbottle", "wineglass"),
)
"""The 51 objects, by file name."""
ALIASES = {
    "coffeemug": "mug",
    "cubemiddle": "cubemedium",
    "rubberduck": "duck",
    "wristwatch": "watch",
    "doorknob": "stamp",
}
"""Duplicate names of one shape (meshes of equal extents). Splits that ignore them test on training objects."""
SUBJECTS = tuple(f"s{number}" for number in range(1, 11))

OBJECT_SPLITS = {
    "grab": {
        "val": ("apple", "toothbrush", "elephant", "hand"),
        "test": ("mug", "wineglass", "camera", "binoculars", "fryingpan", "toothpaste"),
    },
    "goal": {
        "val": ("fryingpan", "toothbrush", "elephant", "hand"),
        "test": ("mug", "camera", "binoculars", "apple", "toothpaste"),
    },
}
"""Held-out objects: `grab` is the split of GRAB and GrabNet, `goal` that of both networks of GOAL."""
SUBJECT_SPLITS = {"saga_subjects": {"val": (), "test": ("s9", "s10")}}
"""Held-out subjects of SAGA's second stage, which has no validation part."""
PARTS = ("train", "val", "test")
SPLITS = (*OBJECT_SPLITS, *SUBJECT_SPLITS)


def object_of(sequence: str) -> str:
    """The object of a sequence: its name before the first "_", aliases merged; raises DataError if it is not one of
    GRAB's.
    """
    name = sequence.split("_")[0].lower()
    if name not in OBJECTS and name not in ALIASES:
        expected = "a name that begins with one of GRAB's objects"
        raise DataError(f"sequence {sequence!r}: expected {expected}, found {name!r}")
    return ALIASES.get(name, name)


def part_of(name: str, split: str) -> str:
    """The part, "train", "val" or "test", of an object (or for `saga_subjects` a subject)."""
    held_out = (OBJECT_SPLITS | SUBJECT_SPLITS)[split]
    return next((part for part, names in held_out.items() if ALIASES.get(name, name) in names), "train")


LEFT_FINGERS = tuple(range(26, 41))
RIGHT_FINGERS = tuple(range(41, 56))
RIGHT_FINGERS_NO_THUMB = tuple(range(41, 53))
"""GOAL lists the thumb, 53 to 55, among the right fingers but does not use it."""
RIGHT_HAND = (22, *RIGHT_FINGERS)
"""Contact labels: 0 = none, 1 to 25 the body in SMPL-X's joint order (21 left hand, 22 right hand), then 15 fingers
bones of each hand in MANO's order."""
NUM_LABELS = 56


def bits(labels: Iterable[int]) -> int:
    """A set of labels as a bit mask: bit k for label k."""
    return sum(1 << label for label in set(labels))
