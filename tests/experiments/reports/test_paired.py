"""Intervals for clips that share objects: the plain bootstrap, a loop, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from dexzoo.experiments.reports.intervals import cluster_interval, paired_differences


def test_one_clip_for_each_object_is_the_plain_bootstrap() -> None:
    x = np.random.default_rng(0).gamma(2.0, size=30)
    mean, low, high = cluster_interval(x, [f"{i:02}" for i in range(30)])
    picks = np.random.default_rng(0).integers(30, size=(10_000, 30))
    assert (mean, low, high) == pytest.approx((x.mean(), *np.percentile(x[picks].mean(1), [2.5, 97.5])))
    theirs = bootstrap((x,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * (high - low))


def test_uneven_objects_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    objects = np.repeat(np.arange(6), [1, 2, 3, 4, 10, 20])
    x = objects + rng.normal(size=40)
    means = []
    for _ in range(4000):
        drawn = [x[objects == k] for k in rng.integers(6, size=6)]
        means.append(np.mean(np.concatenate([rng.choice(values, len(values)) for values in drawn])))
    order = rng.permutation(40)  # the order of the clips is of no consequence
    _, low, high = cluster_interval(x[order], [str(k) for k in objects[order]])
    assert (low, high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.12)


def test_it_holds_the_truth_as_often_as_it_says_where_objects_differ() -> None:
    """200 data sets of 20 objects with 4 to 11 clips each, truth 0; clip by clip the interval is too narrow by far."""
    rng, held, plain = np.random.default_rng(2), 0, 0
    for _ in range(200):
        objects = np.repeat(np.arange(20), rng.integers(4, 12, size=20))
        x = rng.normal(size=20)[objects] + rng.normal(size=len(objects))
        _, low, high = cluster_interval(x, [str(k) for k in objects], resamples=400)
        held += low <= 0 <= high
        _, low, high = cluster_interval(x, [str(k) for k in range(len(x))], resamples=400)
        plain += low <= 0 <= high
    assert 0.90 <= held / 200 <= 0.99
    assert plain / 200 < 0.75


def test_missing_values_and_one_object() -> None:
    assert all(map(math.isnan, cluster_interval([], [])))
    assert all(map(math.isnan, cluster_interval([math.nan], ["a"])))
    x = np.array([1.0, math.nan, 3.0, 5.0])
    mean, low, high = cluster_interval(x, ["a"] * 4)
    assert mean == 3
    assert 1 <= low < 3 < high <= 5


def test_large_samples_are_drawn_in_steps_and_give_the_same() -> None:
    """5,000 clips do not fit into one step."""
    rng = np.random.default_rng(3)
    x, objects = rng.normal(size=5000), [f"{i % 50}" for i in range(5000)]
    _, low, high = cluster_interval(x, objects, resamples=1000)
    by_object = x.reshape(100, 50).mean(0)
    assert high - low == pytest.approx(2 * 1.96 * by_object.std() / np.sqrt(50) * np.sqrt(2), rel=0.1)


def test_differences_are_paired_by_seed_fold_and_clip() -> None:
    def row(seed, fold, clip, value):
        return {"seed": seed, "fold": fold, "clip": clip, "object": clip.upper(), "x": value}

    base = [row(0, 0, "a", 1.0), row(1, 0, "a", 2.0), row(0, 1, "b", 3.0), row(0, 1, "c", math.nan)]
    rows = [row(0, 0, "a", 2.0), row(1, 0, "a", 5.0), row(0, 1, "b", 3.5), row(0, 1, "c", 1.0), row(0, 0, "b", 9.0)]
    values, objects = paired_differences(rows, base, "x")
    assert values == pytest.approx([2.0, 0.5])  # (1 + 3) / 2
    assert objects == ["A", "B"]
