"""A small tree in GRAB's layout, made from the demo motions: generated objects, the MANO stand-in, no people.

It lets everything made for GRAB run end to end without the download. Nothing in it comes from GRAB or MANO, and no
number obtained on it says anything about people: readers flag it `demo_data`, and the file `DEMO_MARK` marks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from ...geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ...hands.load import load_hand
from ...hands.mano import ManoHand
from ...hands.mano_standin import write_standin
from ...hands.pose import HandPose
from ...hands.products import rotate
from ...synthesis.clips import MOTION_VERSION, ObjectClips, object_clips
from ...synthesis.grasps import GENERATOR_VERSION, load_grasps
from ...synthesis.objects import object_mesh
from ...synthesis.reaches import ReachSettings, minimum_jerk
from ..base import DEMO_MARK, demo_tree_of
from .retarget import to_mano

SHAPES = {
    **{name: name for name in ("apple", "banana", "bowl", "flashlight", "hammer", "mug", "wineglass")},
    "elephant": "duck",
}
"""GRAB's name -> demo shape. Both object splits find objects for each of their parts among them."""
SUBJECTS = {"s1": 1.0, "s9": 1.04, "s10": 0.96}
"""Subject -> hand size; SAGA's split trains on s1 and tests on s9 and s10."""
ACTIONS = ("lift", "pass_1")
CONTACT = 0.005  # metres between hand and object that count as contact

_VERSION = 2
_UPSAMPLED = 4  # 30 to 120 fps
_STILL, _LIFT, _HOLD = 24, 96, 24  # frames at 120 fps
_EDGE = 0.008  # metres, longest edge of an object's mesh, so that contact meets vertices
_SKIN = 1500
_MARK = """demo data in GRAB's layout (MANO stand-in)
Written by dexzoo. Not GRAB: the objects are generated shapes, the hands are a made-up stand-in for MANO, and the
motions are generated and retargeted. No number obtained with it says anything about people. models/MANO_RIGHT.pkl is
the stand-in for the licensed file of that name; to read the tree with it, set DEXZOO_MANO to its path.
"""


@dataclass(frozen=True)
class _Scene:
    """A generated sequence of T frames at 120 fps: the hand, the object, and their motion."""

    hand: HandPose
    rotation: NDArray
    translation: NDArray
    labels: NDArray[np.int8]
    elbow: NDArray
    table: float


def demo_tree() -> Path:
    """The tree in the cache, written on first use, in half a minute."""
    return demo_tree_of("grab", write_grab_tree, _VERSION, MOTION_VERSION, GENERATOR_VERSION)


def write_grab_tree(
    root: Path, subjects: Sequence[str] = tuple(SUBJECTS), objects: Sequence[str] = tuple(SHAPES), seed: int = 0
) -> None:
    """Writes the tree: for each subject and object one sequence of each of `ACTIONS`."""
    (root / "models").mkdir(parents=True, exist_ok=True)
    (root / DEMO_MARK).write_text(_MARK, encoding="utf-8")
    write_standin(root / "models" / "MANO_RIGHT.pkl")
    shadow, grasps = load_hand("shadow"), load_grasps()
    meshes = {name: _write_object(root, name) for name in objects}
    _save_mesh(trimesh.creation.box((1.2, 0.8, 0.02)), root / _mesh_path("table"))
    count = len(SUBJECTS) * len(ACTIONS)
    clips = {name: object_clips(shadow, grasps[SHAPES[name]], count, seed, ReachSettings()) for name in objects}
    for subject in subjects:
        hand = _write_subject(root, subject)
        first = len(ACTIONS) * list(SUBJECTS).index(subject)
        jobs = [(name, first + k, action) for name in objects for k, action in enumerate(ACTIONS)]
        motions = [_clip(clips[name], i) for name, i, _ in jobs]
        fitted = to_mano(shadow, hand, HandPose.cat(motions))  # all at once: hundreds of frames cost as much as one
        ends = np.cumsum([0, *(len(motion.joints) for motion in motions)])
        for (name, i, action), start, end in zip(jobs, ends, ends[1:], strict=False):
            scene = _scene(hand, fitted[start:end], clips[name].rotation[i].numpy(), name, meshes[name], action)
            _write(root / "grab" / subject / f"{name}_{action}.npz", scene, hand, subject, name, action)


def write_sequence(path: Path, content: dict[str, Any]) -> None:
    """Writes an npz like GRAB's: every key a 0-d object array."""
    boxed = {}
    for key, value in content.items():
        boxed[key] = np.empty((), dtype=object)
        boxed[key][()] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **boxed)


# ------------------------------------------------------------------------------------------------- objects, subjects


def _mesh_path(name: str) -> str:
    return f"tools/object_meshes/contact_meshes/{name}.ply"


def _hand_path(subject: str, side: str) -> str:
    return f"tools/subject_meshes/male/{subject}_{side}hand.ply"


def _mesh_frame(name: str) -> tuple[NDArray, NDArray]:
    """Pose of the demo shape, which stands on z = 0, in the frame of the written mesh: x = Q v + c.

    GRAB's meshes are centred and arbitrarily rotated.
    """
    turn = torch.tensor([0.3, -0.5, 0.2]) * (1 + list(SHAPES).index(name))
    height = object_mesh(SHAPES[name]).extents[2]
    return rotvec_to_rotmat(turn.double()).numpy(), np.array([0.0, 0.0, height / 2])


def _write_object(root: Path, name: str) -> NDArray:
    """Writes the mesh with short edges; returns its vertices (V, 3) as stored in the file."""
    shape, (turn, centre) = object_mesh(SHAPES[name]), _mesh_frame(name)
    vertices, faces, *_ = trimesh.remesh.subdivide_to_size(shape.vertices, shape.faces, _EDGE)
    mesh = trimesh.Trimesh((vertices - centre) @ turn, faces, process=False)
    mesh.merge_vertices()
    _save_mesh(mesh, root / _mesh_path(name))
    return mesh.vertices


def _write_subject(root: Path, subject: str) -> ManoHand:
    hand = load_hand("mano_skeleton")
    assert isinstance(hand, ManoHand)
    betas = np.zeros((1, 10))
    betas[0, 0] = (SUBJECTS[subject] - 1) / 0.03  # the stand-in's first shape is size, 3 % a unit
    own = hand.with_shape(betas)
    vertices = own.spec.model.template  # type: ignore[union-attr]
    for side, mirror in (("r", 1), ("l", -1)):
        path = root / _hand_path(subject, side)
        _save_mesh(trimesh.Trimesh(vertices * [mirror, 1, 1], hand.faces[:, ::mirror], process=False), path)
        np.save(path.with_name(f"{path.stem}_betas.npy"), betas)
    return own


def _save_mesh(mesh: trimesh.Trimesh, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh.export(path)


# ------------------------------------------------------------------------------------------------------------ motion


def _clip(clips: ObjectClips, i: int) -> HandPose:
    end = int(clips.length[: i + 1].sum())
    return clips.pose[end - int(clips.length[i]) : end]


def _scene(hand: ManoHand, motion: HandPose, rotation: NDArray, name: str, vertices: NDArray, action: str) -> _Scene:
    """Hold still, reach, lift (and hand over), hold; the object follows the hand from the grasp on."""
    turn, centre = _mesh_frame(name)
    reach = _upsampled(motion)
    progress = minimum_jerk(torch.arange(1, _LIFT + 1) / _LIFT)[:, None]
    moved = progress * torch.tensor([0.0, -0.25 if action.startswith("pass") else 0.0, 0.13])
    moved = torch.cat([moved, moved[-1:].expand(_HOLD, 3)])
    place = torch.tensor([0.1, 0.3, 0.75])
    goal = HandPose.stack([reach[-1]] * len(moved)).moved_by(torch.eye(3), moved)
    still = HandPose.stack([reach[0]] * _STILL)
    whole = HandPose.cat([still, reach, goal]).moved_by(torch.eye(3), place)
    before = _STILL + len(reach.joints)
    offset = torch.cat([torch.zeros(before, 3), moved]).numpy()
    labels = _labels(hand, reach, rotation @ turn, rotation @ centre, vertices)
    elbow = np.zeros((len(offset), 3))
    elbow[_STILL:before, 2] = -1.3 * minimum_jerk(torch.linspace(0, 1, before - _STILL)).numpy()
    elbow[before:] = elbow[before - 1]
    return _Scene(
        hand=whole,
        rotation=rotation @ turn,
        translation=offset + rotation @ centre + place.numpy(),
        labels=np.concatenate([np.repeat(labels[:1], _STILL, 0), labels, np.repeat(labels[-1:], len(moved), 0)]),
        elbow=elbow,
        table=float(place[2]),
    )


def _upsampled(motion: HandPose) -> HandPose:
    time = torch.arange(_UPSAMPLED * (len(motion.joints) - 1) + 1) / _UPSAMPLED
    before = time.long().clamp(max=len(motion.joints) - 2)
    return motion[before].interpolate(motion[before + 1], time - before)


def _labels(
    hand: ManoHand, reach: HandPose, rotation: NDArray, translation: NDArray, vertices: NDArray
) -> NDArray[np.int8]:
    """(T, V): the body part whose skin is nearest to each vertex if it is within `CONTACT`, otherwise 0."""
    points = hand.surface(_SKIN)
    part = np.where(points.link == 0, 22, 40 + points.link).astype(np.int8)
    skin: Tensor = hand.place(hand.forward_kinematics(reach), points)
    skin_in_object = rotate(torch.from_numpy(rotation.T).float(), skin - torch.from_numpy(translation).float()).numpy()
    labels = np.zeros((len(skin), len(vertices)), np.int8)
    low, high = vertices.min(0) - CONTACT, vertices.max(0) + CONTACT
    for row, here in zip(labels, skin_in_object, strict=True):
        near = ((here > low) & (here < high)).all(axis=1)
        if near.any():
            distance, nearest = cKDTree(here[near]).query(vertices, distance_upper_bound=CONTACT)
            touched = np.isfinite(distance)
            row[touched] = part[near][nearest[touched]]
    return labels


# -------------------------------------------------------------------------------------------------------------- files


def _write(path: Path, scene: _Scene, hand: ManoHand, subject: str, name: str, action: str) -> None:
    n = len(scene.translation)
    pose = scene.hand.joints.numpy()
    right = {
        "transl": (scene.hand.translation - hand.rest_wrist).numpy(),
        "global_orient": rotmat_to_rotvec(scene.hand.rotation).numpy(),
        "hand_pose": pose @ hand.components[:24].numpy().T,
        "fullpose": pose,
    }
    left = {key: np.zeros_like(value) for key, value in right.items()}
    left["transl"] = left["transl"] + np.array([0.4, -0.1, 0.8], np.float32)
    stored = -rotmat_to_rotvec(torch.from_numpy(scene.rotation)).numpy()  # GRAB poses objects with row vectors
    obj = {"transl": scene.translation, "global_orient": np.tile(stored, (n, 1))}
    table = {"transl": np.tile([0.0, 0.3, scene.table - 0.01], (n, 1)), "global_orient": np.zeros((n, 3))}
    content = {
        **{"gender": "male", "sbj_id": subject, "obj_name": name, "motion_intent": action.split("_")[0]},
        **{"framerate": 120.0, "n_frames": n, "n_comps": 24},
        "body": {"params": _body(n, scene.elbow), "vtemp": f"tools/subject_meshes/male/{subject}.ply"},
        "lhand": {"params": left, "vtemp": _hand_path(subject, "l")},
        "rhand": {"params": right, "vtemp": _hand_path(subject, "r")},
        "object": {"params": obj, "object_mesh": _mesh_path(name)},
        "table": {"params": table, "table_mesh": _mesh_path("table")},
        "contact": {"object": scene.labels, "body": np.zeros((n, 10475), np.int8)},
    }
    write_sequence(path, content)


def _body(n: int, elbow: NDArray) -> dict[str, NDArray]:
    """Parameters of a body that only bends its left elbow, which GOAL's frame rule looks at."""
    widths = {"transl": 3, "global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
    widths |= {"left_hand_pose": 24, "right_hand_pose": 24, "expression": 10, "fullpose": 165}
    params = {key: np.zeros((n, width), np.float32) for key, width in widths.items()}
    params["body_pose"][:, 51:54] = elbow
    params["fullpose"][:, 54:57] = elbow
    return params
