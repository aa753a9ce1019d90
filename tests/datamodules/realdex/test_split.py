"""The paper's split: every released object in exactly one part, misspelt names mended."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from dexzoo.datamodules.splits import REALDEX_TEST, REALDEX_TRAIN, REALDEX_VAL, object_name, realdex_split

RELEASED = """air_duster bathroom_cleaner beer big_detergent big_eye_toy blue_cup blue_magnet_toy body_lotion body_wash
bowling_game_box box charmander chips_ahoy_cookies chips cling_wrap coconut_cream coconut_tree_toy cosmetics crisps
cylinder daily_moisturizing_lotion dinosaur_toy door_toy drain_cleaner duck_toy dust_cleaning_sprayer
elephant_watering_can fat_toy floor_essential_oil glass_cleaner goji_jar guava_blended_juice ice_black_tea kangaroo_toy
laundry_detergent_pods laundry_detergent lion_toy mildew_remover multi_purpose_cleaner non_fried_chips oreo_big
ovaltine_magic_cube oyster_sauce rinse_shine_aid saltine_cracker small_sprayer soba sprayer sprite strawberry_yogurt
thunder_toy toilet_cleaning_sprayer yogurt""".split()
"""The 53 zips of the release, in its order."""


def test_every_released_object_is_in_exactly_one_part(make_sample: Callable, caplog: pytest.LogCaptureFixture) -> None:
    assert len(RELEASED) == len(set(RELEASED)) == 53
    parts = [*REALDEX_TRAIN, *REALDEX_VAL, *REALDEX_TEST]
    assert sorted(parts) == sorted(RELEASED)
    with caplog.at_level(logging.INFO):
        split = realdex_split([make_sample(name, 2) for name in RELEASED])
    assert not caplog.records
    assert (len(split.train), len(split.val), len(split.test)) == (41, 6, 6)
    names = [{sample.object for sample in part} for part in (split.train, split.val, split.test)]
    assert names[1] == {"goji_jar", "small_sprayer", "yogurt", "body_lotion", "bowling_game_box", "chips"}
    assert names[2] == {"duck_toy", "cosmetics", "sprayer", "box", "daily_moisturizing_lotion", "mildew_remover"}
    assert not names[0] & (names[1] | names[2])


def test_names_as_realdex_misspells_them_are_in_the_test_part(make_sample: Callable) -> None:
    split = realdex_split([make_sample(name, 2) for name in ("soba", "daily_moisture_lotion", "midew_remover")])
    assert [object_name(sample.object) for sample in split.test] == ["daily_moisturizing_lotion", "mildew_remover"]


def test_unlisted_objects_are_trained_on_and_named_in_one_line(
    make_sample: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        split = realdex_split([make_sample(name, 2) for name in ("mug", "box", "mug", "teapot")])
    assert [sample.object for sample in split.train] == ["mug", "mug", "teapot"]
    assert [record.getMessage() for record in caplog.records] == [
        "RealDex's release does not list mug, teapot: used for training"
    ]
