"""The refinement does the same wherever hand and object are together, in float32 as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dexzoo.models.grasp.refinement.fields import cloud_fields
from dexzoo.models.grasp.refinement.refiner import Refiner
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh

AWAY = torch.tensor([3.0, -3.2, 2.4])  # 5 m


@pytest.mark.parametrize("hand_distance", ["grid", "primitives"])
def test_refinement_follows_the_object(hand, hand_distance) -> None:
    pose = load_grasps(hand=hand)["can"].pose[:3].to(torch.float32)
    pose = replace(pose, translation=pose.translation + 0.005)
    points = torch.from_numpy(np.asarray(object_mesh("can").sample(256, seed=0))).float().expand(3, -1, -1)
    refiner = Refiner(steps=10, hand_distance=hand_distance)
    here, away = refiner(hand, pose, points), refiner(hand, pose.moved_by(torch.eye(3), AWAY), points + AWAY)
    torch.testing.assert_close(away.pose.translation - AWAY, here.pose.translation, atol=5e-4, rtol=0)
    torch.testing.assert_close(away.pose.rotation, here.pose.rotation, atol=2e-3, rtol=0)
    torch.testing.assert_close(away.start, here.start, rtol=2e-3, atol=1e-4)
    assert (here.pose.translation - pose.translation).norm(dim=-1).min() > 1e-3  # something did happen


def test_fields_of_a_cloud_follow_it() -> None:
    points = torch.from_numpy(np.asarray(object_mesh("can").sample(256, seed=0))).double()[None]
    asked = points + 0.01 * torch.randn(points.shape, dtype=torch.float64)
    here, away = cloud_fields(points)(asked), cloud_fields(points + AWAY.double())(asked + AWAY.double())
    torch.testing.assert_close(away, here, atol=1e-5, rtol=0)
