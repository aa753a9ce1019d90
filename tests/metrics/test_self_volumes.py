"""Volumes that a hand shares with itself. Oracles: closed forms, Monte Carlo, booleans of everything at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml
from manifold3d import Manifold, OpType

from dexzoo.hands import Hand, HandPose, load_hand
from dexzoo.hands.points import primitive_distances
from dexzoo.hands.solids import hand_solids
from dexzoo.metrics.functional.volumes import (
    self_intersection_depth,
    self_intersection_volume,
)
from tests.metrics.small_hands import ball, box, capsule, fixed_hand, pose_at
from tests.metrics.volume_cases import LENS, ROUND, moved, rod_volume, turn


def self_volume(hand: Hand, reduce: str = "union") -> float:
    return float(self_intersection_volume(hand, pose_at(hand, [[0.3, -0.2, 0.1]], turn()[None]), reduce))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shadow() -> Hand:
    return load_hand("shadow")


@pytest.fixture(scope="module")
def fists(shadow: Hand) -> HandPose:
    """Closed hands that run through themselves."""
    generator = torch.Generator().manual_seed(0)
    share = 0.3 + 0.7 * torch.rand(6, 22, generator=generator).double()
    joints = shadow.lower + (shadow.upper - shadow.lower) * share
    return HandPose(torch.randn(6, 3, generator=generator).double(), turn(1).expand(6, 3, 3), joints, "shadow")


# Closed forms


def test_two_balls_share_a_lens(tmp_path: Path) -> None:
    hand = fixed_hand(tmp_path, ball([0, 0, 0], 1), ball([1, 0, 0], 1), apart_at_rest=True)
    assert self_volume(hand) == pytest.approx(LENS, rel=ROUND)
    assert self_intersection_depth(hand, pose_at(hand, [[0, 0, 0]])).tolist() == [1.0]


def test_boxes_share_the_product_of_overlaps(tmp_path: Path) -> None:
    hand = fixed_hand(tmp_path, box([0, 0, 0], [1, 2, 3]), box([1.5, 1, 0.5], [1, 2, 3]), apart_at_rest=True)
    assert self_volume(hand) == pytest.approx(0.5 * 3 * 5.5, rel=1e-9)
    assert float(self_intersection_depth(hand, pose_at(hand, [[0, 0, 0]]))) == pytest.approx(0.5, abs=1e-9)


def test_crossed_rods_share_steinmetz_solid(tmp_path: Path) -> None:
    r = 0.01
    hand = fixed_hand(
        tmp_path, capsule([-0.05, 0, 0], [0.05, 0, 0], r), capsule([0, -0.05, 0], [0, 0.05, 0], r), apart_at_rest=True
    )
    assert self_volume(hand) == pytest.approx(16 / 3 * r**3, rel=ROUND)
    assert float(self_intersection_depth(hand, pose_at(hand, [[0, 0, 0]]))) == pytest.approx(2 * r, abs=1e-9)


def test_coaxial_rods_share_the_rod_between(tmp_path: Path) -> None:
    hand = fixed_hand(
        tmp_path, capsule([0, 0, 0], [0, 0, 0.05], 0.01), capsule([0, 0, 0.03], [0, 0, 0.08], 0.01), apart_at_rest=True
    )
    assert self_volume(hand) == pytest.approx(rod_volume(0.01, 0.02), rel=ROUND)


def test_a_rod_through_a_plate(tmp_path: Path) -> None:
    hand = fixed_hand(tmp_path, capsule([0, 0, -1], [0, 0, 1], 0.1), box([0, 0, 0], [1, 1, 0.05]), apart_at_rest=True)
    assert self_volume(hand) == pytest.approx(np.pi * 0.01 * 0.1, rel=ROUND)


def test_a_place_covered_three_times_counts_once_or_thrice(tmp_path: Path) -> None:
    hand = fixed_hand(tmp_path, *[box([0, 0, 0], [0.1, 0.2, 0.3])] * 3, apart_at_rest=True)
    volume = 8 * 0.1 * 0.2 * 0.3
    assert self_volume(hand) == pytest.approx(volume, rel=1e-9)
    assert self_volume(hand, "sum_pairs") == pytest.approx(3 * volume, rel=1e-9)


def test_what_is_apart_is_exactly_zero(tmp_path: Path) -> None:
    """0.1 % of a radius apart, where tessellations already touch."""
    hand = fixed_hand(
        tmp_path, ball([0, 0, 0], 1), ball([2.001, 0, 0], 1), capsule([0, 3, 0], [0, 4, 0], 1.999), apart_at_rest=True
    )
    assert self_volume(hand) == 0
    assert self_volume(hand, "sum_pairs") == 0
    assert self_intersection_depth(hand, pose_at(hand, [[0, 0, 0]])).tolist() == [0]


def test_neighbours_and_listed_links_do_not_count(tmp_path: Path) -> None:
    """Neighbours overlap by build, also across a link without shapes, and so do the pairs that the YAML lists."""
    out = {"name": "out", "axis": [1, 0, 0], "range": [0, 10], "slide": True}
    links = [
        {"name": "a", **ball([0, 0, 0], 1)},
        {"name": "knuckle", "parent": "a"},
        {"name": "b", "parent": "knuckle", **ball([1, 0, 0], 1)},
        {"name": "c", "parent": "b", **ball([2, 0, 0], 1), "joint": out},
        {"name": "j", "parent": "a", "joint": {"name": "j", "axis": [0, 0, 1], "range": [-1, 1]}},
    ]
    links[3]["capsules"] = [*links[3]["capsules"], *ball([1, 0, 0], 1)["capsules"]]  # c meets a here
    content = {"name": "fixed", "kind": "tree", "links": links, "fingertips": {}, "contact_links": ["a"]}
    content["rest"] = {"out": 10}
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(content))
    assert self_volume(load_hand(tmp_path / "chain.yaml")) == pytest.approx(LENS, rel=ROUND)
    (tmp_path / "listed.yaml").write_text(yaml.safe_dump(content | {"overlaps": [["a", "c"]]}))
    assert self_volume(load_hand(tmp_path / "listed.yaml")) == 0


# Other ways to the same number


def brute_force(hand: Hand, pose: HandPose) -> tuple[list[float], list[float]]:
    """Union and sum over all pairs of all primitives, no distance asked."""
    solids, links = hand_solids(hand), hand.forward_kinematics(pose.map(lambda x: x.double()))
    unions, sums = [], []
    for R, t in zip(links.rotation.numpy(), links.translation.numpy(), strict=True):
        frames = np.concatenate([R, t[..., None]], axis=-1)
        placed = [m.transform(frames[i]) for m, i in zip(solids.manifolds, solids.link, strict=True)]
        shared = [placed[i] ^ placed[j] for i, j in solids.pairs]
        unions.append(Manifold.batch_boolean(shared, OpType.Add).volume())
        sums.append(sum(part.volume() for part in shared))
    return unions, sums


def test_fists_equal_booleans_of_all_pairs(shadow: Hand, fists: HandPose) -> None:
    unions, sums = brute_force(shadow, fists)
    assert min(unions) > 1e-7
    np.testing.assert_allclose(self_intersection_volume(shadow, fists), unions, rtol=2e-3, atol=1e-11)
    np.testing.assert_allclose(self_intersection_volume(shadow, fists, "sum_pairs"), sums, rtol=2e-3, atol=1e-11)
    assert (self_intersection_volume(shadow, fists) <= self_intersection_volume(shadow, fists, "sum_pairs")).all()


def test_fists_equal_monte_carlo(shadow: Hand, fists: HandPose) -> None:
    """Points uniform in a box around the hand, counted where two strangers cover them in closed form."""
    n, allowed = 200_000, torch.zeros(18, 18, dtype=torch.bool)
    allowed[tuple(hand_solids(shadow).pairs.T)] = True
    for b, volume in enumerate(self_intersection_volume(shadow, fists)[:3].tolist()):
        links = shadow.forward_kinematics(fists[b])
        corners = links.translation.amin(0) - 0.02, links.translation.amax(0) + 0.05
        points = corners[0] + (corners[1] - corners[0]) * torch.rand(n, 3, dtype=torch.float64)
        inside = primitive_distances(links, shadow.capsules, shadow.boxes, points) < 0
        inside = inside[inside.sum(1) > 1]
        covered = (inside[:, :, None] & inside[:, None, :] & allowed).any(-1).any(-1)
        share, cell = int(covered.sum()) / n, float((corners[1] - corners[0]).prod())
        assert abs(share * cell - volume) < 3 * cell * np.sqrt(share / n) + 0.005 * volume


@pytest.mark.slow
def test_depth_is_the_deepest_pair(shadow: Hand, fists: HandPose) -> None:
    """By what has to be moved: at 90 % of the depth no direction parts the two, and deeper than any other pair."""
    solids, depth = hand_solids(shadow), self_intersection_depth(shadow, fists)
    gaps = solids.gaps(shadow.forward_kinematics(fists))
    np.testing.assert_allclose(depth, -gaps.min(1))
    i, j = solids.pairs[gaps[0].argmin()]
    links = shadow.forward_kinematics(fists[0])
    frames = torch.cat([links.rotation, links.translation.unsqueeze(-1)], dim=-1).numpy()
    first, second = (solids.manifolds[k].transform(frames[solids.link[k]]) for k in (i, j))
    shared = [
        [
            (first.translate(tuple(f * float(depth[0]) * w)) ^ second).volume()
            for w in trimesh.creation.icosphere(n).vertices
        ]
        for f, n in ((0.9, 2), (1.02, 3))
    ]
    assert min(shared[0]) > 0
    assert min(shared[1]) == pytest.approx(0, abs=2e-11)


def test_self_intersection_does_not_ask_where_the_hand_is(shadow: Hand, fists: HandPose) -> None:
    there = moved(fists, turn(5), torch.tensor([1.0, -2, 3]).double())
    for f in (self_intersection_volume, self_intersection_depth):
        np.testing.assert_allclose(f(shadow, there), f(shadow, fists), rtol=1e-5, atol=1e-13)


@pytest.mark.parametrize("f", [self_intersection_volume, self_intersection_depth])
def test_self_intersection_of_a_batch_is_that_of_each(shadow: Hand, fists: HandPose, f: Callable) -> None:
    whole = f(shadow, fists)
    assert whole.dtype == torch.float64
    assert torch.equal(whole, torch.cat([f(shadow, fists[b : b + 1]) for b in range(6)]))
    broken = fists.map(torch.clone)
    broken.joints[1, 3], broken.translation[4, 0] = torch.nan, torch.inf
    found = f(shadow, broken)
    assert found.isnan().tolist() == [False, True, False, False, True, False]
    assert torch.equal(found[[0, 2, 3, 5]], whole[[0, 2, 3, 5]])
    assert f(shadow, fists[:0]).shape == (0,)
    assert f(shadow, shadow.rest_pose(2)).tolist() == [0, 0]
