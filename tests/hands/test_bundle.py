"""A hand copied elsewhere is the same hand, wherever its files lay."""

import shutil

import pytest
import trimesh

from dexzoo.hands import load_hand
from dexzoo.hands.bundle import copy_hand

MJCF = """<mujoco><compiler meshdir="parts" angle="radian"/>
  <asset><mesh name="palm" file="palm.stl"/></asset>
  <worldbody><body name="palm"><geom type="mesh" mesh="palm"/><include file="more/finger.xml"/></body></worldbody>
</mujoco>"""
FINGER = """<mujocoinclude><body name="finger" pos="0 0 .04"><joint name="j" axis="0 1 0" range="-1 1" limited="true"/>
  <geom type="capsule" fromto="0 0 0 0 0 .05" size=".008"/></body></mujocoinclude>"""


@pytest.mark.parametrize("absolute", [False, True])
def test_a_urdf_with_meshes_of_its_package(pincer, tmp_path, absolute):
    if absolute:
        urdf = pincer.with_name("pincer.urdf")
        urdf.write_text(urdf.read_text().replace('"meshes/', f'"{pincer.parent}/meshes/'))
        pincer.write_text(pincer.read_text().replace("source: ", f"source: {pincer.parent}/"))
    copied = copy_hand(load_hand(pincer).spec, tmp_path / "run")
    shutil.move(pincer.parent, tmp_path / "gone")
    hand = load_hand(copied)
    assert hand.has_visuals
    assert hand.link_names == ("palm", "left", "left_tip", "pad", "right", "slider")
    drawn = [visual.path for link in hand.spec.tree.links for visual in link.visuals]
    assert all(path.is_relative_to(tmp_path / "run") for path in drawn)


def test_an_mjcf_with_parts(tmp_path):
    home = tmp_path / "home"
    for folder in ("parts", "more"):
        (home / folder).mkdir(parents=True)
    trimesh.creation.box((0.06, 0.03, 0.04)).export(home / "parts/palm.stl")
    (home / "hand.xml").write_text(MJCF)
    (home / "more/finger.xml").write_text(FINGER)
    (home / "hand.yaml").write_text("{name: h, kind: tree, source: hand.xml, fingertips: {}, contact_links: [finger]}")
    (home / "unrelated.bin").write_text("")
    copied = copy_hand(load_hand(home / "hand.yaml").spec, tmp_path / "run")
    shutil.move(home, tmp_path / "gone")
    assert load_hand(copied).joint_names == ("j",)
    names = sorted(path.relative_to(tmp_path / "run/home").as_posix() for path in copied.parent.rglob("*.*"))
    assert names == ["hand.xml", "hand.yaml", "more/finger.xml", "parts/palm.stl"]


def test_a_shipped_hand_needs_no_copy(tmp_path):
    assert copy_hand(load_hand("shadow").spec, tmp_path) is None
    assert not any(tmp_path.iterdir())
