"""Train, validation and test parts: by object, or by recording if there is only one object."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Collection, Sequence, Sized
from itertools import combinations

from ..files.errors import DataError, check_names
from .base import Parts
from .types import MotionSample

REALDEX_VAL = ("goji_jar", "small_sprayer", "yogurt", "body_lotion", "bowling_game_box", "chips")
REALDEX_TEST = ("duck_toy", "cosmetics", "sprayer", "box", "daily_moisturizing_lotion", "mildew_remover")
REALDEX_TRAIN = (
    *("air_duster", "bathroom_cleaner", "beer", "big_detergent", "big_eye_toy", "blue_cup", "blue_magnet_toy"),
    *("body_wash", "charmander", "chips_ahoy_cookies", "cling_wrap", "coconut_cream", "coconut_tree_toy", "crisps"),
    *("cylinder", "dinosaur_toy", "door_toy", "drain_cleaner", "dust_cleaning_sprayer", "elephant_watering_can"),
    *("fat_toy", "floor_essential_oil", "glass_cleaner", "guava_blended_juice", "ice_black_tea", "kangaroo_toy"),
    *("laundry_detergent", "laundry_detergent_pods", "lion_toy", "multi_purpose_cleaner", "non_fried_chips"),
    *("oreo_big", "ovaltine_magic_cube", "oyster_sauce", "rinse_shine_aid", "saltine_cracker", "soba", "sprite"),
    *("strawberry_yogurt", "thunder_toy", "toilet_cleaning_sprayer"),
)
"""The other 41 of the 53 released objects; the paper says 40, but not which one it omits."""
_ALIASES = {"daily_moisture_lotion": "daily_moisturizing_lotion", "midew_remover": "mildew_remover"}
"""Misspellings in RealDex's own lists."""

_log = logging.getLogger(__name__)


class Split(Parts[list[MotionSample]]):
    """Three parts of a data set of motions."""

    @property
    def hash(self) -> str:
        """SHA-256 of the sorted names of each part."""
        names = [sorted(sample.name for sample in part) for part in (self.train, self.val, self.test)]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def object_name(name: str) -> str:
    """The canonical spelling of an object's name."""
    plain = re.sub(r"[\s-]+", "_", name.strip().lower())
    return _ALIASES.get(plain, plain)


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts "door_2" before "door_10"."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def by_object(samples: Sequence[MotionSample], val: Collection[str], test: Collection[str]) -> Split:
    """Splits by object: those in `val` and `test`, and all others for training; raises DataError if an object is in
    both lists, or train or test is empty.
    """
    both = {object_name(name) for name in val} & {object_name(name) for name in test}
    if both:
        raise DataError(f"split: expected disjoint objects, found {sorted(both)} in val and in test")
    names = [{object_name(name) for name in part} for part in (val, test)]
    return _dealt(samples, lambda sample: object_name(sample.object), *names)


def realdex_split(samples: Sequence[MotionSample]) -> Split:
    """The split of the RealDex paper, with misspelt names corrected; unknown objects go to train. Raises DataError if
    train or test is empty.
    """
    known = {*REALDEX_VAL, *REALDEX_TEST, *REALDEX_TRAIN}
    unlisted = sorted({object_name(sample.object) for sample in samples} - known)
    if unlisted:
        _log.info("RealDex's release does not list %s: used for training", ", ".join(unlisted))
    return by_object(samples, REALDEX_VAL, REALDEX_TEST)


def by_fold(samples: Sequence[MotionSample], group: str, fold: int, n_folds: int, n_val: int = 0) -> Split:
    """Fold `fold` tests on every `n_folds`-th group in natural order, starting with number `fold`, of 0 to `n_folds` -
    1.

    Neighbouring recordings were made one after the other; assigning them in turn spreads each fold over the session.
    The group that is not divided is an "object" or a "recording", or UnknownName; `n_val` groups at the end of the
    training groups go to val. Raises DataError for a number out of range, more folds than groups, or nothing left to
    train on.
    """
    check_names(group=(group, ("object", "recording")))
    names = sorted({getattr(sample, group) for sample in samples}, key=natural_key)
    if not 2 <= n_folds <= len(names):
        raise DataError(f"n_folds: expected 2 to {len(names)}, the number of {group}s found, found {n_folds}")
    if not 0 <= fold < n_folds:
        raise DataError(f"fold: expected 0 to {n_folds - 1} (n_folds={n_folds}), found {fold}")
    test = names[fold::n_folds]
    rest = [name for name in names if name not in test]
    if not 0 <= n_val < len(rest):
        raise DataError(f"n_val: expected 0 to {len(rest) - 1} of {len(rest)} training {group}s, found {n_val}")
    val = rest[len(rest) - n_val :]
    return _dealt(samples, lambda sample: getattr(sample, group), set(val), set(test))


def _dealt(samples: Sequence[MotionSample], key: Callable[[MotionSample], str], val: set[str], test: set[str]) -> Split:
    parts: dict[str, list[MotionSample]] = {"train": [], "val": [], "test": []}
    for sample in samples:
        name = key(sample)
        parts["test" if name in test else "val" if name in val else "train"].append(sample)
    check_not_empty("clips", train=parts["train"], test=parts["test"])
    return Split(**parts)


def assert_disjoint(split: Split, group: str) -> None:
    """Raises DataError, naming them, if objects (or recordings, as `group` says) are in more than one part."""
    check_disjoint(group, *({getattr(s, group) for s in part} for part in (split.train, split.val, split.test)))


def check_disjoint(what: str, *parts: set[str]) -> None:
    """Raises DataError, naming them, if names of the kind `what` are in more than one part."""
    torn = set().union(*(one & other for one, other in combinations(parts, 2)))
    if torn:
        raise DataError(f"split: expected disjoint parts, found {what} {', '.join(sorted(torn))} in more than one")


def check_not_empty(what: str, **parts: Sized) -> None:
    """Raises DataError, naming it, for an empty part; `what` is in them."""
    for name, part in parts.items():
        if not len(part):
            raise DataError(f"split: expected {what} in every part, found none for {name}; choose another one")
