"""The input of grasp metrics: what it refuses, and that it keeps every grasp."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh

from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import Hand, HandPose, load_hand


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def hand() -> Hand:
    return load_hand("shadow")


@pytest.fixture
def ball() -> ObjectAsset:
    return ObjectAsset.from_mesh(trimesh.creation.icosphere(subdivisions=1))


def test_links_are_in_double_precision_and_nan_stays_with_its_grasp(hand: Hand, ball: ObjectAsset) -> None:
    pose = hand.rest_pose(3).map(torch.clone)
    pose.joints[1, 4] = torch.nan
    grasps = PosedGrasps(hand, pose, ball, torch.tensor([0.1, 0.2, torch.nan]))
    assert grasps.valid.tolist() == [True, False, False]
    assert grasps.links.translation.dtype == torch.float64
    assert grasps.links.translation[[0, 2]].isfinite().all()
    assert grasps.links.translation[1].isnan().any()


def test_one_scale_serves_all_and_indexing_keeps_pairs(hand: Hand, ball: ObjectAsset) -> None:
    assert PosedGrasps(hand, hand.rest_pose(2), ball, torch.tensor(0.5)).scales.tolist() == [0.5, 0.5]
    assert PosedGrasps(hand, hand.rest_pose(2), ball).scales.tolist() == [1, 1]
    some = PosedGrasps(hand, hand.rest_pose(3), ball, torch.tensor([1.0, 2, 3]))[torch.tensor([2, 0])]
    assert (len(some), some.scales.tolist()) == (2, [3, 1])
    ups = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    picked = PosedGrasps(hand, hand.rest_pose(3), ball, up=ups)[torch.tensor([2, 0])]
    assert picked.ups.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_once_computes_once_per_batch(hand: Hand, ball: ObjectAsset) -> None:
    grasps, calls = PosedGrasps(hand, hand.rest_pose(2), ball), []
    for _ in range(2):
        assert grasps.once("n", lambda g: calls.append(1) or len(g)) == 2
    assert len(calls) == 1
    grasps[:1].once("n", lambda g: calls.append(1) or len(g))
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("pose", "scale", "message"),
    [
        (lambda hand: hand.rest_pose(), None, r"expected batch shape \(B,\) and 22 joints, found \(\) and 22"),
        (lambda hand: HandPose(torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3), torch.zeros(2, 5), "shadow"), None,
         r"22 joints, found \(2,\) and 5"),
        (lambda hand: HandPose(torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3), torch.zeros(2, 22), "mano"), None,
         r"expected a pose of 'shadow', found one of 'mano'; see Hand.convert"),
        (lambda hand: hand.rest_pose(2), torch.tensor([1.0, -2.0]), r"scale: expected 2 positive .* found \[-2.0"),
        (lambda hand: hand.rest_pose(2), torch.tensor([0.0, 1.0]), r"scale: expected 2 positive .* found \[0.0"),
        (lambda hand: hand.rest_pose(2), torch.ones(3), r"scale: expected 2 positive numbers, found shape \(3,\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(hand: Hand, ball: ObjectAsset, pose, scale, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PosedGrasps(hand, pose(hand), ball, scale)
