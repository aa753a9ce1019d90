"""The `links:` list of a YAML: what it refuses. What it builds is tested with `shadow_e3m5`."""

import pytest
import yaml

from dexzoo.hands import HandSpecError, load_hand

PALM = {"name": "palm", "boxes": [{"centre": [0, 0, 0], "half": [0.02, 0.02, 0.02]}]}
FINGER = {
    "name": "finger",
    "parent": "palm",
    "translation": [0, 0, 0.03],
    "joint": {"name": "j", "axis": [1, 0, 0], "range": [0, 1]},
    "capsules": [{"end": [0, 0, 0.04], "radius": 0.01}],
}


def _write(tmp_path, *links):
    content = {
        "name": "mini",
        "kind": "tree",
        "links": list(links),
        "fingertips": {"F": {"link": "finger", "offset": [0, 0, 0.05]}},
        "contact_links": ["finger"],
    }
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "mini.yaml"


def test_smallest_hand(tmp_path):
    hand = load_hand(_write(tmp_path, PALM, FINGER))
    assert hand.keypoint_names == ("palm", "finger", "F_tip")
    assert hand.keypoints(hand.forward_kinematics(hand.rest_pose()))[2].tolist() == pytest.approx([0, 0, 0.08])


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([], "links: expected a list of links"),
        (
            [PALM, {**FINGER, "parent": "plam"}],
            "expected a parent listed before it; did you mean 'palm'?",
        ),
        ([{**PALM, "parent": "x"}, FINGER], "'palm': expected no parent, because it is the root, found 'x'"),
        ([PALM, {**FINGER, "capsule": []}], "unknown key 'capsule'; did you mean 'capsules'?"),
        ([PALM, {"parent": "palm"}], r"links\[1\]: missing key 'name'"),
        ([PALM, {**FINGER, "joint": {"name": "j", "axis": [1, 0, 0]}}], "joint: missing key 'range'"),
        ([PALM, {**FINGER, "joint": {"name": "j", "axis": [0, 0, 0], "range": [0, 1]}}], "axis: expected a direction"),
        ([PALM, {**FINGER, "translation": "far"}], "translation: expected 3 numbers, found 'far'"),
        ([PALM, FINGER, FINGER], "expected every link name once, found 'finger' twice"),
        ([PALM, {**FINGER, "boxes": ["big"]}], r"boxes\[0\]: expected a mapping with centre, half, found 'big'"),
        (
            [PALM, {k: v for k, v in FINGER.items() if k != "capsules"}],
            "contact_links: 'finger' has no collision shape",
        ),
    ],
)
def test_errors(tmp_path, links, message):
    with pytest.raises(HandSpecError, match=message):
        load_hand(_write(tmp_path, *links))
