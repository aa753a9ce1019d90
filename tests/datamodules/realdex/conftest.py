"""Recordings of known motion in RealDex's raw layout, written from the URDF's numbers and not with our own chain."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

ARM = ("world", "ra_base_link", "ra_upper_arm_link", "ra_wrist_3_link", "ra_flange", "rh_forearm")
_X, _Y, _NY = (1, 0, 0), (0, 1, 0), (0, -1, 0)
URDF: dict[str, tuple[str, str, tuple, tuple, tuple]] = {  # joint: parent, child, xyz, rpy, axis; of the real hand
    "WRJ2": ("rh_forearm", "rh_wrist", (0, -0.010, 0.21301), (0, 0, 0), _Y),
    "WRJ1": ("rh_wrist", "rh_palm", (0, 0, 0.034), (0, 0, 0), _X),
    "LFJ5": ("rh_palm", "rh_lfmetacarpal", (-0.033, 0, 0.02071), (0, 0, 0), (0.573576, 0, 0.819152)),
    "THJ5": ("rh_palm", "rh_thbase", (0.034, -0.00858, 0.029), (0, np.pi / 4, 0), (0, 0, -1)),
    "THJ4": ("rh_thbase", "rh_thproximal", (0, 0, 0), (0, 0, 0), _X),
    "THJ3": ("rh_thproximal", "rh_thhub", (0, 0, 0.038), (0, 0, 0), _X),
    "THJ2": ("rh_thhub", "rh_thmiddle", (0, 0, 0), (0, 0, 0), _NY),
    "THJ1": ("rh_thmiddle", "rh_thdistal", (0, 0, 0.032), (0, 0, -np.pi / 2), _X),
}
for _name, _base, _parent, _axis in (
    ("ff", (0.033, 0, 0.095), "rh_palm", _NY),
    ("mf", (0.011, 0, 0.099), "rh_palm", _NY),
    ("rf", (-0.011, 0, 0.095), "rh_palm", _Y),
    ("lf", (0, 0, 0.06579), "rh_lfmetacarpal", _Y),
):
    _upper = _name.upper()
    URDF[f"{_upper}J4"] = (_parent, f"rh_{_name}knuckle", _base, (0, 0, 0), _axis)
    URDF[f"{_upper}J3"] = (f"rh_{_name}knuckle", f"rh_{_name}proximal", (0, 0, 0), (0, 0, 0), _X)
    URDF[f"{_upper}J2"] = (f"rh_{_name}proximal", f"rh_{_name}middle", (0, 0, 0.045), (0, 0, 0), _X)
    URDF[f"{_upper}J1"] = (f"rh_{_name}middle", f"rh_{_name}distal", (0, 0, 0.025), (0, 0, 0), _X)

QPOS = [f"{f}J{j}" for f, n in (("FF", 4), ("MF", 4), ("RF", 4), ("LF", 5), ("TH", 5)) for j in range(n, 0, -1)]


def matrix(xyz: object, turn: Rotation) -> np.ndarray:
    """4x4 of one pose."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn.as_matrix(), xyz
    return result


@dataclass(frozen=True)
class Truth:
    """What a recording was written from: angles (T, 24) by name, palm poses (T, 4, 4), object poses, frame stamps."""

    folder: Path
    angles: dict[str, np.ndarray]
    palm: np.ndarray
    forearm: np.ndarray
    object: np.ndarray
    stamps: np.ndarray


@pytest.fixture
def write_raw(tmp_path: Path) -> Callable[..., Truth]:
    """Writes a recording with TF files and no `final_data.npy`; all motion is a constant speed of each joint and link,
    with rows at other times than the frames, so that interpolation has to be exact.
    """

    def write(
        name: str = "mug/mug_1_20240101", n_frames: int = 12, n_object: int | None = None, **given: object
    ) -> Truth:
        rng = np.random.default_rng(len(name))
        separator, offset = str(given.get("separator", " ")), int(given.get("offset", 0))  # type: ignore[call-overload]
        folder = tmp_path / name
        (folder / "TF").mkdir(parents=True)
        (folder / "tracking_result").mkdir()
        stamps = 1_699_182_594_123_456_789 + np.arange(n_frames) * 66_666_667
        ends = np.array([stamps[0] - 31_000_000, stamps[-1] + 27_000_000])
        share = (stamps - ends[0]) / (ends[1] - ends[0])
        rows = np.linspace(0, 1, 5 * n_frames + 2)
        row_stamps = ends[0] + np.round(rows * (ends[1] - ends[0])).astype(np.int64)
        row_shares = (row_stamps - ends[0]) / (ends[1] - ends[0])

        def edge(parent: str, child: str, xyz: np.ndarray, turns: Rotation) -> None:
            order = rng.permutation(len(row_stamps))  # files aren't sorted by stamp
            quats = turns.as_quat() * rng.choice([-1, 1], (len(row_stamps), 1))  # q and -q are one rotation
            lines = [
                separator.join([str(row_stamps[i] + offset), *(repr(float(x)) for x in (*xyz[i], *quats[i]))])
                for i in order
            ]
            (folder / "TF" / f"{parent}-{child}.txt").write_text("\n".join(lines) + "\n")

        world = np.tile(np.eye(4), (n_frames, 1, 1))
        for parent, child in pairwise(ARM):
            start, way, axis = rng.normal(size=3), 0.3 * rng.normal(size=3), rng.normal(size=3)
            first = Rotation.random(random_state=int(rng.integers(1000)))

            def at(s: np.ndarray, start=start, way=way, first=first, axis=axis) -> tuple[np.ndarray, Rotation]:
                return start + s[:, None] * way, first * Rotation.from_rotvec(s[:, None] * axis)

            edge(parent, child, *at(row_shares))
            places, turns = at(share)
            world = world @ np.stack([matrix(p, t) for p, t in zip(places, turns, strict=True)])
        forearm, angles = world.copy(), {}
        for joint, (parent, child, xyz, rpy, axis) in URDF.items():
            low, high = np.sort(rng.uniform(0.02, 0.16, 2)) * (-1 if joint in ("WRJ2", "THJ2", "FFJ4") else 1)
            unit = np.array(axis) / np.linalg.norm(axis)
            origin = Rotation.from_euler("xyz", rpy)
            angles[joint] = low + share * (high - low)
            turned = origin * Rotation.from_rotvec((low + row_shares * (high - low))[:, None] * unit)
            edge(parent, child, np.tile(np.array(xyz, float), (len(row_stamps), 1)), turned)
        for joint in ("WRJ2", "WRJ1"):
            xyz, unit = URDF[joint][2], np.array(URDF[joint][4])
            world = world @ np.stack([matrix(xyz, Rotation.from_rotvec(a * unit)) for a in angles[joint]])
        n_object = n_object or n_frames
        turn = Rotation.from_rotvec(rng.normal(size=(n_object, 3)))
        place = rng.normal(size=(n_object, 3))
        np.savetxt(folder / "tracking_result" / "gt_pose.txt", np.hstack([place, turn.as_quat()]), "%.17g")
        objects = np.stack([matrix(p, t) for p, t in zip(place, turn, strict=True)])
        (folder / "rgbimage_timestamp.txt").write_text("".join(f"{s}\n" for s in stamps))
        (folder / "segment.txt").write_text(f"0 {n_frames}\n")
        if given.get("synchronised", True):
            meshes = {str(i): f"{stamp + offset}.ply" for i, stamp in enumerate(stamps.tolist())}
            (folder / "scene_to_mesh.json").write_text(json.dumps(meshes))
        (tmp_path / "models").mkdir(exist_ok=True)
        trimesh.creation.icosphere(subdivisions=2, radius=0.05).export(
            tmp_path / "models" / f"{folder.parent.name}.obj"
        )
        return Truth(folder, angles, world, forearm, objects, stamps)

    return write
