"""A generated stand-in for the licensed MANO_RIGHT.pkl.

It has the nine keys and the shapes of the genuine file (778 vertices, 1538 faces, 16 joints, fingertips at the same
vertex numbers), so that everything made for MANO runs without the licence. It is an invented hand of tubes: nothing in
it comes from MANO, and no result obtained with it says anything about human hands.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import manifold3d
import numpy as np
import trimesh
from scipy.optimize import nnls
from scipy.sparse import csc_matrix

from .drawing import primitive_mesh
from .mano_model import NAMES, PARENTS
from .tree import Capsule

TIPS = {"index": 320, "middle": 443, "ring": 554, "pinky": 671, "thumb": 744}
"""Vertex at each fingertip, as in smplx's `vertex_ids`."""
_VERTICES, _FACES, _RIM = 778, 1538, 16

# Flat right hand, metres: fingers towards -x, the palm faces -y, the thumb at +z.
_WRIST = np.array([0.090, 0.0, 0.0])
_FINGERS = {  # first joint, direction, lengths of the three bones, radius
    "index": ([0.002, 0.0, 0.025], [-1, 0, 0.12], [0.034, 0.022, 0.022], 0.0085),
    "middle": ([-0.004, 0.0, 0.001], [-1, 0, 0.02], [0.036, 0.024, 0.022], 0.0085),
    "pinky": ([0.018, -0.002, -0.042], [-0.97, 0, -0.24], [0.024, 0.018, 0.018], 0.0070),
    "ring": ([0.004, 0.0, -0.021], [-1, 0, -0.10], [0.033, 0.022, 0.021], 0.0080),
    "thumb": ([0.062, -0.010, 0.030], [-0.72, -0.25, 0.65], [0.034, 0.030, 0.026], 0.0100),
}


def write_standin(path: str | Path, pose_blend: float = 0.0) -> Path:
    """Writes the stand-in; the file is always the same.

    Args:
        path: file to write.
        pose_blend: size in metres of invented pose-dependent corrections, which the genuine model has too; 0 omits
            them.

    Returns:
        `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(standin(pose_blend), file, protocol=2)
    return path


def standin(pose_blend: float = 0.0) -> dict[str, object]:
    """The nine keys that smplx needs, and `stand_in`, which marks the model as a stand-in."""
    rng = np.random.default_rng(0)
    joints, tips = _skeleton()
    vertices, faces = _mesh(joints, tips)
    relative = vertices - _WRIST
    waves = rng.normal(size=(3, 3, 10)) / 0.1
    shapes = 1e-3 * np.sin(np.einsum("vc,cds->vds", relative, waves))
    shapes[:, :, 0] = 0.03 * relative  # the first coefficient is size
    mean = np.zeros((15, 3))
    mean[:12, 2], mean[12:, 1] = 0.25, -0.1  # bending is a rotation about +z
    return {
        "v_template": vertices,
        "f": faces.astype(np.uint32),
        "weights": _weights(vertices, joints, tips),
        "J_regressor": _regressor(vertices, joints),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(16)], dtype=np.uint32),
        "shapedirs": shapes,
        "posedirs": pose_blend * rng.normal(size=(_VERTICES, 3, 135)),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0].T,
        "hands_mean": mean.ravel(),
        "stand_in": True,
    }


def _skeleton() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    joints, tips = [_WRIST], {}
    for name, (base, direction, lengths, _) in _FINGERS.items():
        unit = np.array(direction) / np.linalg.norm(direction)
        along = np.concatenate([[0], np.cumsum(lengths)])
        joints += [base + a * unit for a in along[:3]]
        tips[name] = base + along[3] * unit
    return np.array(joints), tips


def _mesh(joints: np.ndarray, tips: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """One connected surface, open at the wrist along a rim of 16 edges, with exactly MANO's numbers of vertices and
    faces.

    A surface of disc topology with V vertices and b edges on its rim has 2 V - 2 - b faces: 1538 for V = 778, b = 16.
    """
    solid = _palm()
    for k, (name, (_, _, _, radius)) in enumerate(_FINGERS.items()):
        base, tip = joints[3 * k + 1], tips[name]
        inside = base + 0.25 * (_WRIST - base)
        cap = tip - radius * (tip - base) / np.linalg.norm(tip - base)
        tube = primitive_mesh(Capsule(inside, cap, radius), sections=10)
        solid += manifold3d.Manifold(manifold3d.Mesh64(tube.vertices, tube.faces.astype(np.uint64)))
    mesh = solid.to_mesh64()
    vertices, faces = np.array(mesh.vert_properties)[:, :3], np.array(mesh.tri_verts).astype(np.int64)
    cap = np.isclose(vertices[faces][:, :, 0], vertices[:, 0].max()).all(1)
    vertices, faces = _split_longest_edges(vertices, faces[~cap], _VERTICES)
    if (len(vertices), len(faces)) != (_VERTICES, _FACES):
        found = f"{len(vertices)} and {len(faces)}"
        raise RuntimeError(
            f"expected {_VERTICES} vertices and {_FACES} faces, made {found}: a different version of manifold3d?"
        )
    order = np.arange(_VERTICES)
    for name, target in TIPS.items():
        here = np.linalg.norm(vertices[order] - tips[name], axis=1).argmin()
        order[[here, target]] = order[[target, here]]
    return vertices[order], np.argsort(order)[faces]


def _palm() -> manifold3d.Manifold:
    """A flattened tube from the wrist to the knuckles, closed at both ends."""
    turn = 2 * np.pi * np.arange(_RIM) / _RIM
    wrist = np.stack([0.100 + 0 * turn, 0.016 * np.cos(turn), 0.026 * np.sin(turn)], axis=1)
    knuckles = np.stack([0.006 + 0 * turn, 0.011 * np.cos(turn), 0.042 * np.sin(turn) - 0.008], axis=1)
    hull = trimesh.convex.convex_hull(np.concatenate([wrist, knuckles]))
    return manifold3d.Manifold(manifold3d.Mesh64(hull.vertices, hull.faces.astype(np.uint64)))


def _split_longest_edges(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits inner edges in the middle, the longest first, until there are `count` vertices."""
    while len(vertices) < count:
        ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1)  # (F, 3, 2) directed edges
        length = np.linalg.norm(vertices[ends[..., 0]] - vertices[ends[..., 1]], axis=-1)
        for k in np.argsort(-length, axis=None, kind="stable"):
            a, b = ends.reshape(-1, 2)[k]
            twin = np.flatnonzero((ends.reshape(-1, 2) == (b, a)).all(1))
            if len(twin):  # not on the rim
                break
        middle = len(vertices)
        vertices = np.concatenate([vertices, (vertices[[a]] + vertices[[b]]) / 2])
        halves = []
        for edge in (k, twin[0]):
            face, start = divmod(int(edge), 3)
            first, second, third = np.roll(faces[face], -start)
            faces[face] = first, middle, third
            halves.append([middle, second, third])
        faces = np.concatenate([faces, halves])
    return vertices, faces


def _weights(vertices: np.ndarray, joints: np.ndarray, tips: dict[str, np.ndarray]) -> np.ndarray:
    """(778, 16): nearly all of it on the nearest bone, blended where two are equally near."""
    distance = np.full((len(vertices), 16), np.inf)
    for k in range(1, 16):
        end = joints[k + 1] if k % 3 else tips[NAMES[k][:-1]]
        distance[:, k] = _to_segment(vertices, joints[k], end)
        if PARENTS[k] == 0:
            distance[:, 0] = np.minimum(distance[:, 0], _to_segment(vertices, joints[0], joints[k]))
    weights = (distance + 1e-3) ** -8
    weights /= weights.sum(1, keepdims=True)
    weights[weights < 0.02] = 0
    return weights / weights.sum(1, keepdims=True)


def _to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    axis = end - start
    along = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    return np.linalg.norm(points - start - along[:, None] * axis, axis=1)


def _regressor(vertices: np.ndarray, joints: np.ndarray) -> csc_matrix:
    """(16, 778): each joint as a weighted mean of the ring of vertices around it."""
    rows = np.zeros((16, len(vertices)))
    for k, joint in enumerate(joints):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=1), kind="stable")[:60]
        system = np.concatenate([vertices[near].T, np.ones((1, 60))])
        rows[k, near] = nnls(system, np.append(joint, 1.0))[0]
    return csc_matrix(rows)
