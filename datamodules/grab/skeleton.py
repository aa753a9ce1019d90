"""A subject's hand: exact joints with the MANO model, otherwise a generic skeleton scaled to the subject's template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...files.errors import BadFile, DataError
from ...geometry.meshes import MeshError, load_mesh
from ...hands.errors import HandError
from ...hands.hand import Hand
from ...hands.kinematics import Links
from ...hands.load import load_hand
from ...hands.mano import BallKinematics, ManoHand
from ...hands.mano_model import NAMES, PARENTS
from ...hands.mano_standin import TIPS
from ...hands.pose import HandPose

_VERTICES = 778
GENERIC = "mano_skeleton"


@dataclass(frozen=True)
class Person:
    """The right hand of a subject, or the mirrored left one."""

    rest: NDArray  # (16, 3), metres, float64, joints of the flat hand in MANO's order; rest[0] is J_0
    template: NDArray  # (778, 3), metres, vertices of the flat hand
    faces: NDArray  # (1538, 3), of MANO's mesh
    hand: ManoHand | None = None  # the subject's own, with its skin; None without the MANO model: `rest` is a guess

    @property
    def exact(self) -> bool:
        """Whether the joints come from the MANO model."""
        return self.hand is not None

    def links(self, pose: HandPose) -> Links:
        """Frames of the 16 joints; batch shape (...), world, in the precision of `pose`."""
        kinematics = BallKinematics(np.diff(self.rest[[_above(k) for k in range(16)]], axis=1)[:, 0], PARENTS)
        return kinematics.to(pose.joints.dtype)(pose.rotation, pose.translation, pose.joints)

    def joints(self, pose: HandPose) -> Tensor:
        """(..., 16, 3), metres, world: p_k = p_parent + G_parent (J_k - J_parent), from the rest joints only."""
        return self.links(pose).translation


def mano_hand(name: str) -> ManoHand:
    """Loads a hand by name; raises DataError for one without MANO's joints, and ManoModelNotFound for `mano` without
    the licensed model, naming the alternative.
    """
    hand: Hand = load_hand(name)
    if not isinstance(hand, ManoHand):
        raise DataError(
            f"hand: expected a hand with MANO's joints for data of human hands, found {name!r}; set hand='mano', or "
            f"hand={GENERIC!r}, which needs no licensed model. Retargeting to robot hands is not part of this reader"
        )
    return hand


def is_generic(hand: ManoHand) -> bool:
    """Whether the bone lengths of this hand are invented, not those of a MANO model file."""
    return (hand.spec.content or {}).get("model") == "stand-in"


def person_of(hand: ManoHand, file: Path, left: bool = False) -> Person:
    """The hand of the person whose template, 778 vertices in MANO's order, metres, is in `file`; `hand` is MANO or
    generic.

    A left hand's template is mirrored, x -> -x: MANO's left and right models have the same vertex order. Raises BadFile
    for a different mesh.
    """
    try:
        mesh = load_mesh(file)
    except MeshError as error:
        raise BadFile(file, "the template of a hand, a mesh", str(error)) from error
    return person_from_vertices(hand, mesh.vertices, file, left)


def person_from_vertices(hand: ManoHand, vertices: NDArray, file: Path, left: bool = False) -> Person:
    """Like `person_of`, but from the vertices, (778, 3), metres; `file` is for messages."""
    if vertices.shape != (_VERTICES, 3):
        raise BadFile(file, f"the template of a hand, {_VERTICES} vertices", f"{len(vertices)}")
    own = vertices * [-1, 1, 1] if left else vertices
    if own[TIPS["thumb"], 2] < own[TIPS["pinky"], 2] or own[TIPS["middle"], 0] > own[:, 0].mean():
        side = "left" if left else "right"
        raise BadFile(file, f"a {side} hand in MANO's flat pose", "fingers or thumb pointing the other way")
    if is_generic(hand):
        return Person(generic_joints(hand, own), own, hand.faces)
    personal = hand.with_template(own)
    return Person(rest_joints(personal), own, hand.faces, personal)


def rest_joints(hand: ManoHand) -> NDArray:
    """(16, 3), metres, float64: joints of the flat hand."""
    model = hand.spec.model
    if model is None:
        raise HandError(f"{hand.name}: expected a hand with a model")
    return model.regressor @ model.template


def generic_joints(hand: ManoHand, template: NDArray) -> NDArray:
    """Rest joints (16, 3), metres, for a template (778, 3) without a joint regressor; approximate, to a few
    millimetres.

    The generic skeleton is moved and scaled as a whole to fit the wrist end of the mesh and the distance from there to
    the fingertips; then each finger's joints are placed on the line from its knuckle to its true fingertip.
    """
    model, joints = hand.spec.model, rest_joints(hand)
    assert model is not None
    numbers = [TIPS[finger] for finger in _fingers()]
    tips, own_tips = model.template[numbers], template[numbers]
    wrist, own_wrist = _wrist_end(model.template), _wrist_end(template)
    scale = np.linalg.norm(own_tips - own_wrist, axis=1).sum() / np.linalg.norm(tips - wrist, axis=1).sum()
    placed = own_wrist + scale * (joints - wrist)
    for k, finger in enumerate(_fingers()):
        first = 1 + 3 * k
        bone = tips[k] - joints[first]
        along = (joints[first : first + 3] - joints[first]) @ bone / (bone @ bone)
        placed[first : first + 3] = placed[first] + along[:, None] * (own_tips[k] - placed[first])
        assert NAMES[first] == f"{finger}1"
    return placed


def _fingers() -> list[str]:
    """Fingers in the order of MANO's joints."""
    return [name[:-1] for name in NAMES[1::3]]


def _wrist_end(vertices: NDArray) -> NDArray:
    """Centroid of the 16 vertices farthest from the fingers, where MANO's mesh ends in an open rim of 16."""
    return vertices[np.argsort(vertices[:, 0], kind="stable")[-16:]].mean(axis=0)


def _above(k: int) -> list[int]:
    """Parent and joint; the wrist is its own parent."""
    return [max(PARENTS[k], 0), k]
