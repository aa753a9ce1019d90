"""No number changes where hand and object are moved together by metres, and hardly any where they are turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.grasps import PosedGrasps
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.hands.load import load_hand
from dexzoo.metrics import METRICS, grasp_errors
from dexzoo.metrics.columns import columns
from dexzoo.metrics.functional.q1 import q1
from dexzoo.metrics.functional.simulation import success
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh

NAME = "can"
STILL, AWAY = np.zeros(3), np.array([3.0, -3.2, 2.4])  # 5 m
TURN = Rotation.from_euler("xyz", [0.4, 1.1, -0.3]).as_matrix()
QUARTER = Rotation.from_euler("x", 90, degrees=True).as_matrix()
"""The six directions are those of the object's axes, so they stay the same six only by quarter turns."""

ANYWHERE = tuple(name for name in METRICS if name != "squeeze")
"""DexGraspBench looks at the origin of the mesh's frame: its verdict depends on where that is."""

MOVED = 1e-4  # in the unit of the column
TURNED = {"gap_cm": 0.01, "q1": 0.03, "valid_q1": 0.03, "sim_rotation_deg": 0.01}
"""Tolerances of searches that start from a grid along the object's axes, and of contacts that are iterated."""


def placed(turn: np.ndarray, shift: np.ndarray, count: int = 2) -> PosedGrasps:
    """Grasps that ship, with the object and its convex pieces, all turned and then moved; up turns along."""
    hand, mesh = load_hand("shadow"), object_mesh(NAME)
    shipped = load_grasps(hand=hand)[NAME]
    vertices = np.asarray(mesh.vertices) @ turn.T + shift
    pieces = [np.asarray(piece, np.float64) @ turn.T + shift for piece in shipped.pieces]
    asset = ObjectAsset.from_mesh(trimesh.Trimesh(vertices, mesh.faces, process=False), NAME, pieces)
    rotation, translation = torch.from_numpy(turn), torch.from_numpy(shift)
    pose = shipped.pose[:count].to(torch.float64).moved_by(rotation, translation)
    return PosedGrasps(hand, pose, asset, up=rotation[:, 2])


@pytest.fixture(scope="module")
def still() -> dict[str, torch.Tensor]:
    return grasp_errors(placed(np.eye(3), STILL), ANYWHERE)


@pytest.mark.parametrize("turn", [np.eye(3), QUARTER], ids=["moved", "moved and turned"])
def test_no_metric_depends_on_where_hand_and_object_are(still, turn) -> None:
    away = grasp_errors(placed(turn, AWAY), ANYWHERE)
    assert list(away) == [column.key for column in columns(ANYWHERE)]
    for key, value in away.items():
        atol = MOVED if (turn == np.eye(3)).all() else TURNED.get(key, 1e-3)
        np.testing.assert_allclose(value, still[key], rtol=0, atol=atol, err_msg=key)


def test_any_turn_leaves_all_but_the_six_directions(still) -> None:
    names = [name for name in ANYWHERE if "six" not in name]
    for key, value in grasp_errors(placed(TURN, AWAY), names).items():
        np.testing.assert_allclose(value, still[key], rtol=0, atol=TURNED.get(key, 1e-3), err_msg=key)


def test_a_hand_that_squeezes_holds_the_object_wherever_both_are() -> None:
    here, away = (success(placed(np.eye(3), at, 1), "squeeze", duration=0.1) for at in (STILL, AWAY))
    np.testing.assert_allclose(away.displacement, here.displacement, rtol=0, atol=1e-6)
    np.testing.assert_allclose(away.rotation, here.rotation, rtol=0, atol=1e-5)
    np.testing.assert_allclose(away.initial_depth, here.initial_depth, rtol=0, atol=1e-7)


def test_q1_of_the_literature_does_depend_on_the_origin() -> None:
    grasps, away = placed(np.eye(3), STILL), placed(np.eye(3), 0.2 * AWAY)
    assert (q1(away, torque_about="legacy_origin") < 0.5 * q1(grasps, torque_about="legacy_origin")).all()
