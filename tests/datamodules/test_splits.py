"""Splits: by object with the paper's names, by fold in natural order, never torn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from dexzoo.datamodules.splits import (
    REALDEX_TEST,
    REALDEX_VAL,
    Split,
    assert_disjoint,
    by_fold,
    by_object,
    natural_key,
    object_name,
)
from dexzoo.datamodules.types import MotionSample
from dexzoo.files.errors import DataError, UnknownName

Maker = Callable[..., MotionSample]


def recordings(make_sample: Maker, n: int) -> list[MotionSample]:
    return [replace(make_sample("door", 2), name=f"door/door_{i}/0", recording=f"door_{i}") for i in range(1, n + 1)]


def test_the_paper_holds_out_six_and_six_objects(make_sample: Maker) -> None:
    assert len(set(REALDEX_VAL)) == len(set(REALDEX_TEST)) == 6
    assert not set(REALDEX_VAL) & set(REALDEX_TEST)
    objects = ["goji_jar", "Duck Toy", "midew_remover", "daily_moisture_lotion", "soba", "box"]
    split = by_object([make_sample(name, 2) for name in objects], REALDEX_VAL, REALDEX_TEST)
    assert [s.object for s in split.train] == ["soba"]
    assert [s.object for s in split.val] == ["goji_jar"]
    assert [s.object for s in split.test] == ["Duck Toy", "midew_remover", "daily_moisture_lotion", "box"]


def test_names_of_objects_have_one_spelling() -> None:
    assert object_name(" Midew-remover") == object_name("mildew_remover") == "mildew_remover"


def test_folds_take_every_third_recording_in_natural_order(make_sample: Maker) -> None:
    samples = recordings(make_sample, 15)
    tests = []
    for fold in range(3):
        split = by_fold(samples[::-1], "recording", fold, 3)
        assert (len(split.train), len(split.val), len(split.test)) == (10, 0, 5)
        assert_disjoint(split, "recording")
        tests += sorted((s.recording for s in split.test), key=natural_key)
        assert tests[5 * fold :] == [f"door_{i}" for i in range(fold + 1, 16, 3)]
    assert sorted(tests) == sorted(s.recording for s in samples)


def test_validation_recordings_come_from_the_training_ones(make_sample: Maker) -> None:
    split = by_fold(recordings(make_sample, 15), "recording", 0, 3, n_val=2)
    assert [s.recording for s in split.val] == ["door_14", "door_15"]
    assert (len(split.train), len(split.test)) == (8, 5)


def test_the_hash_is_of_sorted_names_in_their_parts(make_sample: Maker) -> None:
    a, b, c = recordings(make_sample, 3)
    text = '[["door/door_1/0", "door/door_2/0"], [], ["door/door_3/0"]]'
    assert Split([b, a], [], [c]).hash == Split([a, b], [], [c]).hash == hashlib.sha256(text.encode()).hexdigest()
    assert Split([a], [b], [c]).hash != Split([a, b], [], [c]).hash


def test_impossible_splits_say_what_is_possible(make_sample: Maker) -> None:
    samples = recordings(make_sample, 3)
    with pytest.raises(
        UnknownName, match=r"group: expected one of object, recording, found 'objct'; did you mean 'object'"
    ):
        by_fold(samples, "objct", 0, 3)
    with pytest.raises(DataError, match=r"n_folds: expected 2 to 3, the number of recordings found, found 4"):
        by_fold(samples, "recording", 0, 4)
    with pytest.raises(DataError, match=r"fold: expected 0 to 2 \(n_folds=3\), found 3"):
        by_fold(samples, "recording", 3, 3)
    with pytest.raises(DataError, match=r"n_val: expected 0 to 1 of 2 training recordings, found 2"):
        by_fold(samples, "recording", 0, 3, n_val=2)
    with pytest.raises(DataError, match=r"none for test; choose another one"):
        by_object(samples, REALDEX_VAL, REALDEX_TEST)
    with pytest.raises(DataError, match=r"found \['box'\] in val and in test"):
        by_object(samples, ["box"], ["Box"])
    with pytest.raises(DataError, match=r"found recording door_1 in more than one"):
        assert_disjoint(Split(samples[:2], [], samples[:1]), "recording")
