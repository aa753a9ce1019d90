"""The first YAML of a hand, from its URDF alone. Oracles: the YAML that a person wrote, closed forms."""

import numpy as np
import pytest
import yaml

from dexzoo.hands import HandError, check, load_hand
from dexzoo.hands.skeleton import write_skeleton
from tests.hands.conftest import PINCER_URDF
from tests.verbs import status_of

BOX = '<collision><origin xyz="0 0 {}"/><geometry><box size="{}"/></geometry></collision>'
FINGER = BOX.format(".03", ".016 .016 .06")
CLAW = f"""<robot name="claw">
  <link name="c_arm"/><link name="c_palm">{BOX.format(".02", ".08 .03 .04")}</link>
  <link name="c_left">{FINGER}</link><link name="c_right">{FINGER}</link>
  <joint name="c_wrist" type="revolute"><parent link="c_arm"/><child link="c_palm"/><axis xyz="0 0 1"/>
    <limit lower="-1" upper="1"/></joint>
  <joint name="c_0" type="revolute"><parent link="c_palm"/><child link="c_left"/>
    <origin xyz="-.03 0 .05"/><axis xyz="0 1 0"/><limit lower="-.5" upper="1"/></joint>
  <joint name="c_1" type="continuous"><parent link="c_palm"/><child link="c_right"/>
    <origin xyz=".03 0 .05"/><axis xyz="0 -1 0"/></joint>
</robot>"""


@pytest.fixture
def claw(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "picture", lambda hand: np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "claw.urdf").write_text(CLAW)
    return tmp_path / "claw.urdf"


def test_the_guess_is_what_a_person_would_write(claw):
    file, missing = write_skeleton(claw)
    assert missing == ["limits of 1: none in the file, guessed +-90 degrees", "visual meshes: none in the file"]
    content = yaml.safe_load(file.read_text())
    assert (content["root"], content["strip_prefix"]) == ("palm", "c_")
    assert content["contact_links"] == [["left"], ["right"]]
    assert content["palmar"] == {"default": [0, 0, 1], "left": [1, 0, 0], "right": [-1, 0, 0]}
    hand = load_hand(file)
    assert hand.joint_names == ("0", "1")
    assert hand.fingertip_names == ("left", "right")
    for link, offset in hand.spec.fingertips.values():
        assert link in ("left", "right")
        np.testing.assert_allclose(offset, [0, 0, 0.06], atol=1e-3)
    assert 0 < float(hand.rest[0]) < 0.3
    with pytest.raises(HandError, match=r"claw.yaml: expected no such file yet, found one"):
        write_skeleton(claw)


def test_a_fixed_tip_frame_is_the_tip_and_followers_have_no_rest(tmp_path):
    text = PINCER_URDF.replace("package://pincer/", "").replace(
        '<mesh filename="meshes/finger.stl" scale=".001 .001 .001"/>', '<box size=".01 .01 .05"/>'
    )
    (tmp_path / "pincer.urdf").write_text(text)
    content = yaml.safe_load(write_skeleton(tmp_path / "pincer.urdf")[0].read_text())
    assert content["root"] == "palm"
    assert "left_tip_joint" not in content["rest"]
    assert content["contact_links"][0] == ["left", "left_tip", "pad"]


def test_the_command_writes_names_and_says_everything_at_once(claw, monkeypatch, capsys):
    monkeypatch.chdir(claw.parent)
    (claw.parent / "names.yaml").write_text("0: LEFT\n1: RIGHT\nleft: finger_a\n")
    assert status_of("hand", "claw.urdf") == 1
    assert (
        "claw.urdf: expected the YAML of a hand, found a model; `dexzoo hand claw.urdf --init`"
        in capsys.readouterr().err
    )
    assert status_of("hand", "claw.urdf", "--name-map", "names.yaml") == 2
    assert status_of("hand", "claw.urdf", "--init", "--name-map", "names.yaml", "--out", "claw.png") == 0
    printed = capsys.readouterr().out
    for text in ("wrote claw.yaml", "missing limits of RIGHT", "missing visual meshes", "LEFT", "finger_a"):
        assert text in printed
    assert load_hand("claw.yaml").joint_names == ("LEFT", "RIGHT")
    text = (claw.parent / "claw.yaml").read_text()
    (claw.parent / "claw.yaml").write_text(text.replace("LEFT", "RIHGT").replace("'0'", "'2'"))
    with pytest.raises(HandError, match=r"claw.yaml: names: no '2'"):
        load_hand("claw.yaml")


def test_degrees_are_suspected(claw, monkeypatch, capsys):
    monkeypatch.chdir(claw.parent)
    claw.write_text(CLAW.replace('lower="-.5" upper="1"', 'lower="-30" upper="60"'))
    assert status_of("hand", "claw.urdf", "--init") == 1
    assert "joint 0 turns from -30 to 60 rad; did you mean degrees (-0.52 to 1.05 rad)?" in capsys.readouterr().out


def test_hints_are_printed_whole(claw, monkeypatch, capsys):
    """Brackets are markup to rich: `[[left, right]]` came out as `[]`."""
    monkeypatch.chdir(claw.parent)
    claw.write_text(CLAW.replace('xyz="-.03 0 .05"', 'xyz=".02 0 .05"'))
    assert status_of("hand", "claw.urdf", "--init") == 0
    assert "write `overlaps: [[left, right]]`" in capsys.readouterr().out
