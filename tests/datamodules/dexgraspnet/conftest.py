"""Small trees in the layouts of DexGraspNet and UniDexGrasp, written key by key from known numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import trimesh

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "data"
JOINTS = (
    *("FFJ3", "FFJ2", "FFJ1", "FFJ0", "MFJ3", "MFJ2", "MFJ1", "MFJ0", "RFJ3", "RFJ2", "RFJ1", "RFJ0"),
    *("LFJ4", "LFJ3", "LFJ2", "LFJ1", "LFJ0", "THJ4", "THJ3", "THJ2", "THJ1", "THJ0"),
)
KEYS = (*(f"robot0:{name}" for name in JOINTS), *("WRJRx", "WRJRy", "WRJRz", "WRJTx", "WRJTy", "WRJTz"))

Grasp = dict[str, object]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test has."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DEXZOO_CACHE", str(folder))
    return folder


@pytest.fixture
def sample() -> Callable[[str], Path]:
    """Real grasps, where they lie beside the checkout."""

    def find(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"no real grasps at {SHARED / name}")
        return SHARED / name

    return find


def grasp(seed: int, scale: float = 0.08, **changes: float) -> Grasp:
    """A grasp with the keys of the release in a shuffled order: they count by name."""
    rng = np.random.default_rng(seed)
    values = {key: float(x) for key, x in zip(KEYS, rng.uniform(-0.3, 0.3, len(KEYS)), strict=True)} | changes
    return {"qpos": {key: values[key] for key in rng.permutation(KEYS).tolist()}, "scale": scale}


def write_npy(path: Path, grasps: Sequence[object]) -> None:
    """An object array of dicts, as released."""
    table = np.empty(len(grasps), dtype=object)
    table[:] = grasps
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, table, allow_pickle=True)


def write_boxes(path: Path) -> None:
    """Two cubes of side 1 that share a face: together a bar of 2 x 1 x 1, with a double inner wall at x = 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines, first = [], 1
    for i, x in enumerate((-0.5, 0.5)):
        cube = trimesh.creation.box((1, 1, 1))
        lines += [f"o convex_{i}", *(f"v {a + x} {b} {c}" for a, b, c in cube.vertices)]
        lines += [f"f {a} {b} {c}" for a, b, c in cube.faces + first]
        first += len(cube.vertices)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """DexGraspNet's layout: three objects with 4, 5 and 6 grasps."""
    root = tmp_path / "data"
    for k, code in enumerate(("core-mug-1", "sem-Car-2", "ddg-gd_box_3")):
        write_npy(root / "dataset" / f"{code}.npy", [grasp(10 * k + i, (0.06, 0.15)[i % 2]) for i in range(4 + k)])
        write_boxes(root / "meshdata" / code / "coacd" / "decomposed.obj")
    return root
