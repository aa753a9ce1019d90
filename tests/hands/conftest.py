"""A hand that a user might bring: a pincer as URDF and YAML."""

import pytest
import trimesh

PINCER_URDF = """<?xml version="1.0"?>
<robot name="pincer">
  <link name="p_mount"/>
  <link name="p_palm">
    <visual><geometry><mesh filename="meshes/palm.stl" scale=".001 .001 .001"/></geometry></visual>
    <collision><origin xyz="0 0 .02"/><geometry><box size=".06 .03 .04"/></geometry></collision>
  </link>
  <link name="p_left"><collision><origin xyz="0 0 .025"/>
    <geometry><cylinder radius=".008" length=".05"/></geometry></collision></link>
  <link name="p_left_tip">
    <inertial><origin xyz="0 0 .01"/><mass value=".02"/>
      <inertia ixx="2e-6" iyy="2e-6" izz="1e-6" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0 0 .01"/><geometry><sphere radius=".01"/></geometry></collision></link>
  <link name="p_pad"><collision><geometry><cylinder radius=".01" length=".004"/></geometry></collision></link>
  <link name="p_right"><collision>
    <geometry><mesh filename="package://pincer/meshes/finger.stl" scale=".001 .001 .001"/></geometry></collision></link>
  <link name="p_slider"><collision><geometry><box size=".01 .01 .01"/></geometry></collision></link>
  <joint name="p_wrist" type="revolute"><parent link="p_mount"/><child link="p_palm"/>
    <origin xyz="0 0 .1"/><axis xyz="1 0 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
  <joint name="p_left_joint" type="revolute"><parent link="p_palm"/><child link="p_left"/>
    <origin xyz="-.02 0 .04" rpy=".1 -.2 .3"/><axis xyz="0 3 4"/>
    <limit lower="-.2" upper="1.5" effort="1" velocity="1"/></joint>
  <joint name="p_left_tip_joint" type="revolute"><parent link="p_left"/><child link="p_left_tip"/>
    <origin xyz="0 0 .05"/><axis xyz="1 0 0"/><limit lower="-.2" upper="2" effort="1" velocity="1"/>
    <mimic joint="p_left_joint" multiplier=".5" offset=".1"/></joint>
  <joint name="p_pad_joint" type="fixed"><parent link="p_left_tip"/><child link="p_pad"/>
    <origin xyz="0 -.01 .01" rpy="1.57 0 0"/></joint>
  <joint name="p_right_joint" type="continuous"><parent link="p_palm"/><child link="p_right"/>
    <origin xyz=".02 0 .04"/><axis xyz="0 -1 0"/></joint>
  <joint name="p_slider_joint" type="prismatic"><parent link="p_right"/><child link="p_slider"/>
    <origin xyz="0 0 .05"/><axis xyz="0 0 1"/><limit lower="0" upper=".02" effort="1" velocity="1"/></joint>
</robot>
"""

PINCER_YAML = """
name: pincer
kind: tree
source: pincer.urdf
root: palm
strip_prefix: p_
fingertips:
  left: {link: left_tip, offset: [0, 0, 0.02]}
  right: {link: slider, offset: [0, 0, 0.01]}
palmar: {default: [0, -1, 0], slider: [-1, 0, 0]}
contact_links: [left_tip, [slider]]
limits: {right_joint: [-1.5, 0.5]}
rest: {left_joint: 0.3, slider_joint: 0.01}
"""


@pytest.fixture
def pincer(tmp_path):
    """The YAML's path; the folder is called pincer, so that package://pincer/ is found."""
    folder = tmp_path / "pincer"
    (folder / "meshes").mkdir(parents=True)
    trimesh.creation.box((60, 30, 40)).export(folder / "meshes/palm.stl")
    finger = trimesh.creation.box((10, 12, 50)).apply_translation([0, 0, 25])
    finger.export(folder / "meshes/finger.stl")
    (folder / "pincer.urdf").write_text(PINCER_URDF)
    (folder / "pincer.yaml").write_text(PINCER_YAML)
    return folder / "pincer.yaml"
