"""Small clips, and small trees in RealDex's layout written from known palm poses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.datamodules.types import MotionSample
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.pose import HandPose

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "realdex_layout"


@pytest.fixture(autouse=True)
def _own_cache(session_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXZOO_CACHE", str(session_folder / "cache"))


@pytest.fixture
def real_root() -> Path:
    """Real recordings, where they lie beside the checkout."""
    if not REAL.is_dir():
        pytest.skip(f"no real recordings at {REAL}")
    return REAL


@pytest.fixture
def make_sample() -> Callable[..., MotionSample]:
    """Random walks of a hand with 3 joints beside an object of 7 points that moves as well."""

    def make(name: str, n_frames: int, seed: int = 0, n_points: int = 7, fps: float = 30.0) -> MotionSample:
        generator = torch.Generator().manual_seed(seed + 1000 * n_frames)

        def walk(width: int) -> torch.Tensor:
            return torch.randn(n_frames, width, generator=generator).mul(0.05).cumsum(0)

        pose = HandPose(walk(3), rotvec_to_rotmat(walk(3)), walk(3), "three_joints")
        return MotionSample(
            name=f"{name}/{seed}",
            object=name,
            recording=f"{name}_{seed}",
            pose=pose,
            goal=pose[-1],
            fps=fps,
            object_points=torch.randn(n_points, 3, generator=generator),
            object_rotation=rotvec_to_rotmat(walk(3)),
            object_translation=walk(3),
        )

    return make


@pytest.fixture
def write_recording(tmp_path: Path) -> Callable[..., Path]:
    """Writes one recording and its mesh under `tmp_path`; keywords replace what the files hold, None leaves one out."""

    def write(name: str = "mug/mug_1_20240101", n_frames: int = 12, **parts: object) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(len(name) + n_frames)
        data = {
            "qpos": rng.uniform(0.0, 0.15, (n_frames, 22)),
            "global_transl": rng.normal(size=(n_frames, 3)),
            "global_orient": rotvec_to_rotmat(torch.from_numpy(rng.normal(size=(n_frames, 3)))).numpy(),
            "object_transl": rng.normal(size=(n_frames, 3)),
            "object_orient": rotvec_to_rotmat(torch.from_numpy(rng.normal(size=(n_frames, 3)))).numpy(),
        }
        data |= {key: parts.pop(key) for key in list(parts) if key in data}
        np.save(folder / "final_data.npy", data, allow_pickle=True)  # type: ignore[arg-type]
        stamps = 1_699_182_594_000_000_000 + np.arange(n_frames) * 66_666_667
        files = {"rgbimage_timestamp": "\n".join(map(str, stamps)), "segment": f"0 {n_frames}\n"} | parts
        for file, text in files.items():
            if text is not None:
                (folder / f"{file}.txt").write_text(str(text))
        models = tmp_path / "models"
        models.mkdir(exist_ok=True)
        trimesh.creation.icosphere(subdivisions=2, radius=0.05).export(models / f"{folder.parent.name}.obj")
        return folder

    return write


@pytest.fixture
def ball_file(tmp_path: Path) -> Path:
    """A ball of 1 unit; scale 0.05 makes its radius 5 cm."""
    path = tmp_path / "ball.obj"
    trimesh.creation.icosphere(5, 1.0).export(path)
    return path
