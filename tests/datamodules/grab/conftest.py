"""Small sequences in the exact key layout of GRAB, with made-up content that is known in closed form.

`write` and `content` are independent of the demo tree: they follow the format's description alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from dexzoo.hands.mano_standin import standin, write_standin

T = 240
OBJECT = "tools/object_meshes/contact_meshes/mug.ply"
TEMPLATE = "tools/subject_meshes/male/s1_rhand.ply"
LEFT_TEMPLATE = "tools/subject_meshes/male/s1_lhand.ply"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standin(tmp_path_factory.mktemp("model") / "MANO_RIGHT.pkl", pose_blend=2e-4)


@pytest.fixture
def mano(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in where the licensed file would be."""
    monkeypatch.setenv("DEXZOO_MANO", str(model_file))
    return model_file


def save(path: Path, content: dict[str, Any]) -> Path:
    """An npz whose every key is a 0-d object array."""
    boxed = {}
    for key, value in content.items():
        boxed[key] = np.array(None, dtype=object)
        boxed[key][()] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **boxed)
    return path


def content(n_vertices: int, seed: int = 0) -> dict[str, Any]:
    """A sequence of 240 frames: still to frame 20, the wrist 1 mm a frame from there, fingers of the right hand on the
    object from frame 150, the object 1 mm a frame upwards from frame 160 (first 0 at 160)."""
    rng = np.random.default_rng(seed)

    def noise(width: int) -> np.ndarray:
        return rng.normal(size=(T, width)).cumsum(0) * 0.02

    time = np.arange(T)
    body = {"transl": 3, "global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
    body |= {"left_hand_pose": 24, "right_hand_pose": 24, "expression": 10, "fullpose": 165}
    body_params = {key: np.zeros((T, width), np.float32) for key, width in body.items()}
    body_params["body_pose"][:, 51] = 0.01 * np.maximum(time - 40, 0)  # the left elbow, 1.2 rad/s from frame 41
    hands = {}
    for side in ("lhand", "rhand"):
        transl = np.tile([0.3, -0.2, 1.0], (T, 1))
        transl[:, 0] -= 1e-3 * np.maximum(time - 20, 0)
        params = {"transl": transl, "global_orient": noise(3), "hand_pose": noise(24), "fullpose": noise(45)}
        hands[side] = {"params": {key: value.astype(np.float32) for key, value in params.items()}}
    hands["rhand"]["vtemp"], hands["lhand"]["vtemp"] = TEMPLATE, LEFT_TEMPLATE
    lifted = np.tile([0.05, -0.1, 0.884], (T, 1))
    lifted[:, 2] += 1e-3 * np.maximum(time - 160, 0)
    labels = np.zeros((T, n_vertices), np.int64)
    labels[150:, 3], labels[152:, 4] = 41, 22
    return {
        **{"gender": "male", "sbj_id": "s1", "obj_name": "mug", "motion_intent": "lift"},
        **{"framerate": 120.0, "n_frames": T, "n_comps": 24},
        "body": {"params": body_params, "vtemp": "tools/subject_meshes/male/s1.ply"},
        **hands,
        "object": {"params": {"transl": lifted, "global_orient": noise(3)}, "object_mesh": OBJECT},
        "table": {
            "params": {"transl": np.zeros((T, 3)), "global_orient": np.zeros((T, 3))},
            "table_mesh": "tools/object_meshes/contact_meshes/table.ply",
        },
        "contact": {"object": labels, "body": np.zeros((T, 10475), np.int8)},
    }


def object_mesh() -> trimesh.Trimesh:
    """No symmetry, so that a wrong rotation shows."""
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.04)
    mesh.vertices *= [1.0, 0.6, 1.5]
    mesh.vertices[:, 0] += 0.3 * np.maximum(mesh.vertices[:, 2], 0)
    return mesh


def write_tools(root: Path, names: tuple[str, ...] = ("mug",)) -> None:
    """Meshes of objects and templates of subject s1."""
    for name in names:
        path = root / f"tools/object_meshes/contact_meshes/{name}.ply"
        path.parent.mkdir(parents=True, exist_ok=True)
        object_mesh().export(path)
    model = standin()
    vertices = model["v_template"] * 1.05 + [0.003, -0.002, 0.001]  # type: ignore[operator]
    for path, mirror in ((root / TEMPLATE, 1), (root / LEFT_TEMPLATE, -1)):
        path.parent.mkdir(parents=True, exist_ok=True)
        trimesh.Trimesh(vertices * [mirror, 1, 1], model["f"][:, ::mirror], process=False).export(path)  # type: ignore[index]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a space in its name, one subject and one sequence."""
    root = tmp_path / "GRAB data"
    write_tools(root)
    save(root / "grab/s1/mug_lift.npz", content(len(object_mesh().vertices)))
    return root


@pytest.fixture
def write(root: Path) -> Callable[..., Path]:
    """Writes a sequence under `root`; a keyword "block__params__key" replaces a value, `...` drops it."""

    def write(name: str = "s1/mug_lift", **changes: Any) -> Path:
        data: dict[str, Any] = content(len(object_mesh().vertices))
        for where, value in changes.items():
            *blocks, key = where.split("__")
            place = data
            for block in blocks:
                place = place[block]
            if value is ...:
                del place[key]
            else:
                place[key] = value
        return save(root / f"grab/{name}.npz", data)

    return write
