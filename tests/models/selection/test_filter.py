"""The filter on hands of a few balls around a cube of 4 cm, where every distance is known in closed form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh
import yaml

from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import Hand, load_hand
from dexzoo.metrics.functional.q1 import contact_q1
from dexzoo.models.selection.filter import GraspFilter, find_thumb, parts, parts_in_contact
from tests.metrics.small_hands import ball, box, fixed_hand, pose_at

HALF, RADIUS = 0.02, 0.005
FAR = 0.03
OFF = {"min_fingers": None, "max_penetration": None, "min_q1": None, "max_self_penetration": None}


@pytest.fixture(scope="module")
def cube() -> ObjectAsset:
    return ObjectAsset.from_mesh(trimesh.creation.box([2 * HALF] * 3), "cube")


def claw(folder: Path, thumb=FAR, fingers=(FAR, FAR, FAR), palm=FAR) -> Hand:
    """A ball on the cube's -x side, three on the +x side, and a flat palm below it, at given gaps in metres.

    The first finger has a second link that is always far from the cube.
    """
    links = [{"name": "palm", **box([0, 0, -HALF - 0.005 - palm], [0.01, 0.01, 0.005])}]
    links.append({"name": "knuckle", "parent": "palm"})
    links.append({"name": "thumb1", "parent": "palm", **ball([-HALF - RADIUS - thumb, 0, 0], RADIUS)})
    links.append({"name": "f0base", "parent": "knuckle", **ball([0.15, -0.1, 0], RADIUS)})
    for i, gap in enumerate(fingers):
        centre = [HALF + RADIUS + gap, 0.012 * (i - 1), 0]
        links.append({"name": f"f{i}", "parent": "knuckle" if i else "f0base", **ball(centre, RADIUS)})
    links.append({"name": "idle", "parent": "palm", "joint": {"name": "idle", "axis": [0, 0, 1], "range": [-1, 1]}})
    solid = ["thumb1", "f0", "f1", "f2"]
    tips = {name: {"link": name, "offset": [0, 0, 0]} for name in solid}
    content = {"name": "claw", "kind": "tree", "links": links, "fingertips": tips, "contact_links": solid}
    (folder / "claw.yaml").write_text(yaml.safe_dump(content))
    return load_hand(folder / "claw.yaml")


def grasp_of(hand: Hand, cube: ObjectAsset, *translations) -> PosedGrasps:
    return PosedGrasps(hand, pose_at(hand, translations or [[0, 0, 0]]), cube)


def contact_only(**settings) -> GraspFilter:
    return GraspFilter(**{**OFF, "min_fingers": 2, "thumb": "thumb1", **settings})


@pytest.mark.parametrize(
    ("thumb", "fingers", "palm", "settings", "kept"),
    [
        (0.0049, (0.0049, 0.0049, FAR), FAR, {}, True),
        (0.0051, (0.0049, 0.0049, 0.0), FAR, {}, False),  # no thumb
        (0.0049, (0.0049, 0.0051, FAR), FAR, {}, False),  # one finger
        (0.0049, (0.0049, 0.0051, FAR), 0.0049, {}, True),  # the palm counts as a finger
        (0.0049, (0.0049, 0.0051, FAR), 0.0051, {}, False),
        (0.0049, (0.0049, 0.0049, FAR), FAR, {"min_fingers": 3}, False),
        (0.0049, (0.0049, 0.0049, 0.0049), FAR, {"min_fingers": 3}, True),
        (0.0049, (0.0049, 0.0049, FAR), FAR, {"contact_threshold": 0.0048}, False),
        (-0.004, (-0.004, -0.004, FAR), FAR, {}, True),  # inside is in contact
        (0.0049, (FAR, FAR, FAR), FAR, {"min_fingers": 0}, True),  # the thumb alone
    ],
)
def test_contact_needs_the_thumb_and_two_more_parts(tmp_path, cube, thumb, fingers, palm, settings, kept):
    chosen = contact_only(**settings)(grasp_of(claw(tmp_path, thumb, fingers, palm), cube))
    assert chosen.kept.tolist() == [kept]
    assert {name: x.tolist() for name, x in chosen.drops.items()} == {"contact": [not kept]}


@pytest.mark.parametrize(("depth", "kept"), [(0.0049, True), (0.0051, False)])
def test_penetration_is_the_depth_of_the_deepest_ball(tmp_path, cube, depth, kept):
    grasps = grasp_of(claw(tmp_path, thumb=-depth), cube)
    assert GraspFilter(**{**OFF, "max_penetration": 0.005})(grasps).kept.tolist() == [kept]


@pytest.mark.parametrize(("overlap", "kept"), [(0.0049, True), (0.0051, False)])
def test_self_penetration_is_the_overlap_of_two_fingers(tmp_path, cube, overlap, kept):
    fingers = [ball([0.1, y, 0], RADIUS) for y in (0, 2 * RADIUS - overlap)]
    grasps = grasp_of(fixed_hand(tmp_path, *fingers, apart_at_rest=True), cube)
    chosen = GraspFilter(**{**OFF, "max_self_penetration": 0.005})(grasps)
    assert chosen.kept.tolist() == [kept]
    assert list(chosen.drops) == ["self_penetration"]


def test_q1_has_to_exceed_its_limit(tmp_path, cube):
    """Balls on opposite faces close the grasp, those on one face do not; the value is that of their contact points."""
    hand = claw(tmp_path, thumb=1e-4, fingers=(1e-4, 1e-4, 1e-4))
    points = [[-HALF, 0, 0], *([HALF, y, 0] for y in (-0.012, 0, 0.012))]
    value = contact_q1(points, [[-1, 0, 0], *[[1, 0, 0]] * 3])
    assert value > 0.01
    for limit, kept in ((0.0, True), (value - 1e-4, True), (value + 1e-4, False), (None, True)):
        assert GraspFilter(**{**OFF, "min_q1": limit})(grasp_of(hand, cube)).kept.tolist() == [kept]
    one_sided = grasp_of(hand, cube, [0.02, 0, 0])  # the thumb is 2 cm inside, the fingers 2 cm away
    assert GraspFilter(**{**OFF, "min_q1": 0.0})(one_sided).kept.tolist() == [False]


def test_displacement_of_an_object_that_falls_freely(tmp_path, cube):
    """Half of 9.8 m/s^2 times (35/240 s)^2 is 10.4 cm, whatever the steps make of it within 5 %."""
    fallen = 0.5 * 9.8 * (35 / 240) ** 2
    for limit, kept in ((0.95 * fallen, False), (1.05 * fallen, True)):
        chosen = GraspFilter(**{**OFF, "max_displacement": limit})(grasp_of(claw(tmp_path, palm=0.2), cube))
        assert chosen.kept.tolist() == [kept]
        assert list(chosen.drops) == ["displacement"]


def test_criteria_are_judged_apart_and_a_pose_that_is_not_finite_fails_all(tmp_path, cube):
    """Moved by 6 mm along x the thumb is too deep and the fingers too far; moved 1 m away nothing touches."""
    hand = claw(tmp_path, thumb=0.0, fingers=(0.0, 0.0, 0.0))
    grasps = grasp_of(hand, cube, [0, 0, 0], [0.006, 0, 0], [1, 0, 0], [float("nan"), 0, 0])
    chosen = GraspFilter(thumb="thumb1")(grasps)
    assert chosen.kept.tolist() == [True, False, False, False]
    assert {name: fails.tolist() for name, fails in chosen.drops.items()} == {
        "contact": [False, True, True, True],
        "penetration": [False, True, False, True],
        "q1": [False, False, True, True],
        "self_penetration": [False, False, False, True],
    }
    rates = {"all": 0.75, "contact": 0.75, "penetration": 0.5, "q1": 0.5, "self_penetration": 0.25}
    assert chosen.rates() == rates


def test_without_criteria_everything_is_kept(tmp_path, cube):
    chosen = GraspFilter(**OFF)(grasp_of(claw(tmp_path), cube, [0, 0, 0], [float("nan"), 0, 0]))
    assert chosen.kept.tolist() == [True, True]
    assert chosen.rates() == {"all": 0.0}


@pytest.mark.parametrize("name", ["min_fingers", "max_penetration", "min_q1", "contact_threshold", "max_displacement"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_settings_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a number of at least 0, or null .*, found {value}"):
        GraspFilter(**{name: value})


def test_a_hand_without_such_a_thumb_or_so_many_fingers_is_refused(tmp_path, cube):
    grasps = grasp_of(claw(tmp_path), cube)
    with pytest.raises(ValueError, match=r"thumb: expected a fingertip of 'claw', one of f0, f1, .*, found 'TH'"):
        contact_only(thumb="TH")(grasps)
    with pytest.raises(ValueError, match=r"min_fingers: expected at most 4, the parts .* than its thumb, found 5"):
        contact_only(min_fingers=5)(grasps)


@pytest.mark.parametrize(("name", "thumb"), [("shadow", "TH"), ("mano_skeleton", "thumb")])
def test_the_thumb_of_the_hands_that_ship(name, thumb):
    assert find_thumb(load_hand(name)) == thumb


def test_parts_of_the_shadow_hand_are_those_of_its_names():
    hand = load_hand("shadow")
    found = {part: [hand.link_names[i] for i in links] for part, links in parts(hand).items()}
    for digit in ("FF", "MF", "RF", "LF", "TH"):
        expected = {n for n in hand.link_names if n.startswith(digit.lower()) and n != "lfmetacarpal"}
        assert set(found[digit]) == expected
    assert found["palm"] == ["palm", "lfmetacarpal"]


def test_a_link_that_two_digits_share_belongs_to_neither(tmp_path, cube):
    hand = claw(tmp_path, thumb=0.0)
    names = {part: [hand.link_names[i] for i in links] for part, links in parts(hand).items()}
    assert names == {"thumb1": ["thumb1"], "f0": ["f0", "f0base"], "f1": ["f1"], "f2": ["f2"], "palm": ["palm"]}
    touching = parts_in_contact(grasp_of(hand, cube), threshold=0.001)
    assert [part for part, touches in touching.items() if torch.all(touches)] == ["thumb1"]
