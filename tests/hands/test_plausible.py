"""Wrong units are named with numbers; what is right, or a little off, is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.hands import load_hand
from dexzoo.hands.plausible import UNITS, Doubts, doubt_grasps, doubt_hand, doubt_size, judge
from dexzoo.synthesis.grasps import load_grasps
from tests.verbs import status_of

CLAW = """<robot name="claw">
  <link name="palm"><collision><origin xyz="0 0 .02"/><geometry>{palm}</geometry></collision></link>
  <link name="left"><collision><origin xyz="0 0 .03"/><geometry><cylinder radius=".008" length=".06"/></geometry>
  </collision></link>
  <joint name="left_joint" type="revolute"><parent link="palm"/><child link="left"/><origin xyz="-.03 0 .05"/>
  <axis xyz="0 1 0"/><limit lower="{lower}" upper="{upper}" effort="1" velocity="1"/></joint></robot>
"""
YAML = """name: claw
kind: tree
source: claw.urdf
fingertips: {left: {link: left, offset: [0, 0, 0.06]}}
palmar: {default: [0, 0, 1], left: [1, 0, 0]}
contact_links: [left]
"""
BALL = 0.05
"""metres, radius of an object about the origin."""


def to_ball(points: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return points.norm(dim=-1) - BALL


def claw(folder: Path, mesh: float = 0.0, lower: float = -0.5, upper: float = 1.0) -> Path:
    """A hand with a box for a palm, or a mesh of its size in metres times a factor, and its limits."""
    palm = '<box size=".08 .03 .04"/>'
    if mesh:
        trimesh.creation.box(mesh * np.array([0.08, 0.03, 0.04])).export(folder / "palm.obj")
        palm = '<mesh filename="palm.obj"/>'
    (folder / "claw.urdf").write_text(CLAW.format(palm=palm, lower=lower, upper=upper))
    (folder / "hand.yaml").write_text(YAML)
    return folder / "hand.yaml"


# ---------------------------------------------------------------------------------------------------------------- hands


@pytest.mark.parametrize("name", ["shadow", "shadow_e3m5", "mano_skeleton"])
def test_shipped_hands_raise_no_doubt(name: str) -> None:
    assert doubt_hand(load_hand(name)) == []


@pytest.mark.slow
def test_a_palm_in_millimetres_is_named_by_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand = claw(tmp_path, mesh=1000)
    assert status_of("hand", str(hand), "--out", str(tmp_path / "hand.png")) == 1
    said = capsys.readouterr().out
    assert "implausible: link palm is 80 m long, expected 1 m at most; did you mean millimetres (8 cm)?" in said
    assert "implausible: 1, see above" in said
    assert (tmp_path / "hand.png").is_file()
    (tmp_path / "metres").mkdir()
    assert status_of("hand", str(claw(tmp_path / "metres", mesh=1)), "--out", str(tmp_path / "hand.png")) == 0
    assert "implausible" not in capsys.readouterr().out


def test_limits_in_degrees_are_named_by_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("hand", str(claw(tmp_path, lower=-30, upper=60)), "--out", str(tmp_path / "hand.png")) == 1
    said = capsys.readouterr().out
    assert "joint left_joint turns from -30 to 60 rad; did you mean degrees (-0.52 to 1.05 rad)?" in said
    assert doubt_hand(load_hand(claw(tmp_path, lower=-6.28, upper=6.28))) == []
    (doubt,) = doubt_hand(load_hand(claw(tmp_path, lower=-0.0087, upper=0.0175)))  # rad in an MJCF that has degrees
    assert "no joint turns beyond 0.018 rad; did you mean radians (1.00 rad)?" in doubt


# -------------------------------------------------------------------------------------------------------------- objects


@pytest.mark.parametrize("side", [0.001, 0.02, 0.3, 1.0])
def test_objects_from_a_millimetre_to_a_metre_raise_no_doubt(side: float) -> None:
    assert doubt_size(side) == ""


@pytest.mark.parametrize(
    ("side", "scale", "message"),
    [
        (120.0, 1.0, "the longest side is 120 m, expected 1 mm to 1 m; did you mean a scale of 0.001 (12 cm)?"),
        (2.0, 1.0, "the longest side is 2 m, expected 1 mm to 1 m; did you mean a scale of 0.01 (2 cm)?"),
        (0.00012, 0.001, "the longest side is 0.12 mm, expected 1 mm to 1 m; did you mean a scale of 1 (12 cm)?"),
        (1e9, 1.0, "the longest side is 1e+09 m, expected 1 mm to 1 m"),
    ],
)
def test_other_objects_are_named_with_the_scale_that_would_fit(side: float, scale: float, message: str) -> None:
    assert doubt_size(side, scale) == f"implausible: {message}"


# --------------------------------------------------------------------------------------------------------------- grasps


@pytest.fixture
def shadow():
    hand = load_hand("shadow")
    return hand, load_grasps(hand=hand)["apple"].pose[:6].to(torch.float64)


def test_grasps_that_ship_raise_no_doubt(shadow) -> None:
    doubts = doubt_grasps(*shadow, to_ball)
    assert doubts.count == 0
    assert doubts.messages() == []
    assert (doubts.distance < 0.05).all()


@pytest.mark.parametrize("unit", UNITS)
def test_translations_in_another_unit_are_named_and_counted(shadow, unit: str) -> None:
    hand, pose = shadow
    wrong = pose.translation / UNITS[unit]
    wrong[2] = pose.translation[2]
    doubts = doubt_grasps(hand, replace(pose, translation=wrong), to_ball)
    assert [bool(reason) for reason in doubts.reasons] == [True, True, False, True, True, True]
    assert doubts.reasons[0] == f"hand far from the object ({unit}?)"
    (message,) = doubts.messages()
    assert message.startswith("implausible: 5 of 6 grasps: the hand is ")
    assert message.endswith(f"; did you mean translations in {unit}? If so, 5 of them are within 5 cm")


def test_a_hand_that_no_unit_brings_near_is_far_all_the_same(shadow) -> None:
    """The object is metres away from where the grasps have it."""
    (message,) = doubt_grasps(*shadow, lambda points, rows: to_ball(points - 3.0, rows)).messages()
    assert message.startswith("implausible: 6 of 6 grasps: the hand is 4.")
    assert message.endswith("m from the object, never within 5 cm")


def test_joints_in_degrees_are_named_and_counted(shadow) -> None:
    hand, pose = shadow
    doubts = doubt_grasps(hand, replace(pose, joints=pose.joints.rad2deg()), to_ball)
    assert doubts.reasons == ("joints beyond their limits (degrees?)",) * 6
    (message,) = doubts.messages()
    assert message.startswith("implausible: 6 of 6 grasps: joints ")
    assert "did you mean joints in degrees? If so, 6 of them" in message


def test_joints_a_little_beyond_their_limits_raise_no_doubt(shadow) -> None:
    """DexGraspNet's own grasps leave them by up to 0.58 rad."""
    hand, pose = shadow
    for beyond, count in ((0.58, 0), (0.7, 6)):
        joints = pose.joints.clone()
        joints[:, 3] = hand.upper[3] + beyond
        assert doubt_grasps(hand, replace(pose, joints=joints), to_ball).count == count


def test_what_is_not_known_is_not_judged(shadow) -> None:
    hand, pose = shadow
    joints = pose.joints.clone()
    joints[0] = torch.nan
    doubts = doubt_grasps(hand, replace(pose, joints=joints), None)
    assert doubts.count == 0
    assert np.isnan(doubts.distance).all()
    assert np.isnan(doubts.excess).tolist() == [True] + [False] * 5


def test_doubts_of_several_sets_are_counted_together() -> None:
    parts = [judge(np.array([gap]), {"millimetres": np.array([0.0])}, np.zeros(1), np.zeros(1)) for gap in (0.0, 90.0)]
    joined = Doubts.join(parts)
    assert joined.count == 1
    assert joined.messages()[0].startswith("implausible: 1 of 2 grasps: the hand is 90 m from the object")
    assert Doubts.join([]).messages() == []
