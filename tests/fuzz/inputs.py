"""Valid inputs of every reader, small, each with the way it is read and damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexzoo.datamodules import RealDexMotion
from dexzoo.datamodules.grab import GrabMotion
from dexzoo.grasps.files import GraspSet, load_grasps, save_grasps
from dexzoo.hands import HandPose, load_hand
from dexzoo.hands.mano_model import read_mano
from dexzoo.hands.mano_standin import write_standin

from ..datamodules.grab.conftest import content, object_mesh, write_tools
from ..datamodules.realdex.conftest import QPOS
from .damage import RNG, Seed, boxed, rewrite_npy, rewrite_npz, rewrite_pickle


def pose_tensors(grasps: list[GraspSet]) -> list[torch.Tensor]:
    return [x for g in grasps for x in (g.pose.translation, g.pose.rotation, g.pose.joints, g.scale)]


def known(read: Callable[[], list[torch.Tensor]]) -> Callable[[], list[torch.Tensor]]:
    """In files of grasps a number that is not known is kept, and told by whoever measures the grasp."""
    return lambda: [torch.nan_to_num(value) for value in read()]


def clips(data: GrabMotion | RealDexMotion) -> list[torch.Tensor]:
    parts = ("object_points", "object_rotation", "object_translation")
    return [
        value
        for clip in data.load()
        for value in (clip.pose.to_vector(), clip.goal.to_vector(), *(getattr(clip, part) for part in parts))
    ]


def qpos(rng: RNG) -> dict[str, float]:
    names = [f"robot0:{name}" for name in load_hand("shadow").joint_names]
    names += [f"WRJ{kind}{axis}" for kind in "RT" for axis in "xyz"]
    return dict(zip(names, rng.uniform(-1, 1, len(names)).tolist(), strict=True))


def dexgraspnet(folder: Path, trace: Path) -> Seed:
    path, rng = folder / "core-mug-1.npy", np.random.default_rng(1)
    rows = np.array([{"qpos": qpos(rng), "scale": 0.06} for _ in range(4)], dtype=object)
    np.save(path, rows, allow_pickle=True)
    read = known(lambda: pose_tensors(load_grasps(path, load_hand("shadow"), "dexgraspnet")))
    return Seed(lambda _: path, read, rewrite_npy(trace))


def unidexgrasp(folder: Path, trace: Path) -> Seed:
    path = folder / "sem/Car-66/00007.npz"
    path.parent.mkdir(parents=True)
    plane = np.float32([0, 0, 1, 0.05])
    np.savez(path, qpos=boxed(qpos(np.random.default_rng(1))), scale=np.float32(12.5), plane=plane)
    read = known(lambda: pose_tensors(load_grasps(path, load_hand("shadow"), "unidexgrasp")))
    return Seed(lambda _: path, read, rewrite_npz(trace))


def dexzoo(folder: Path, trace: Path) -> Seed:
    path, hand = folder / "mine.npz", load_hand("shadow")
    pose = HandPose(
        torch.rand(3, 3).double(),
        torch.eye(3).double().repeat(3, 1, 1),
        torch.rand(3, hand.num_joints).double(),
        hand.name,
    )
    save_grasps(path, [GraspSet("can", pose, torch.ones(3).double(), torch.arange(3))], hand)
    return Seed(lambda _: path, known(lambda: pose_tensors(load_grasps(path, hand, "dexzoo"))), rewrite_npz(trace))


def mano(folder: Path, trace: Path) -> Seed:
    path = write_standin(folder / "MANO_RIGHT.pkl")

    def read() -> list[torch.Tensor]:
        return [torch.from_numpy(x) for x in vars(read_mano(path)).values() if isinstance(x, np.ndarray)]

    return Seed(lambda _: path, read, rewrite_pickle(trace))


def grab(folder: Path, trace: Path) -> Seed:
    write_tools(folder)
    path = folder / "grab/s1/mug_lift.npz"
    path.parent.mkdir(parents=True)
    data = content(len(object_mesh().vertices))
    data["contact"] = {key: value.astype(np.int8) for key, value in data["contact"].items()}
    np.savez_compressed(path, **{key: boxed(value) for key, value in data.items()})
    read = lambda: clips(GrabMotion(folder, "mano_skeleton", n_object_points=8))  # noqa: E731
    return Seed(lambda _: path, read, rewrite_npz(trace))


def realdex_final(folder: Path, trace: Path) -> Seed:
    n, rng = 8, np.random.default_rng(1)
    place = folder / "mug/mug_1"
    place.mkdir(parents=True)
    eye = np.tile(np.eye(3), (n, 1, 1))
    data = {"qpos": np.full((n, len(QPOS)), 0.1), "global_transl": rng.random((n, 3)), "global_orient": eye}
    data |= {"object_transl": rng.random((n, 3)), "object_orient": eye.copy()}
    np.save(place / "final_data.npy", boxed(data), allow_pickle=True)
    (place / "rgbimage_timestamp.txt").write_text("".join(f"{10**18 + k * 66_666_667}\n" for k in range(n)))
    (place / "segment.txt").write_text(f"0 {n}\n")
    read = lambda: clips(RealDexMotion(folder, object_points="none", n_object_points=8))  # noqa: E731
    return Seed(lambda _: place / "final_data.npy", lambda: [x for x in read() if x.numel()], rewrite_npy(trace))


def realdex_tf(folder: Path, write: Callable[..., Any]) -> Seed:
    truth = write(f"{folder.name}/mug/mug_1_20240101")
    (folder.parent / "models").rename(folder / "models")
    files = sorted(path for path in truth.folder.rglob("*") if path.is_file())
    files += [path for path in files if path.parent.name != "TF"] * 4 + [folder / "models/mug.obj"] * 3
    read = lambda: clips(RealDexMotion(folder, n_object_points=8))  # noqa: E731
    return Seed(lambda rng: files[int(rng.integers(len(files)))], read)


def realdex_zip(folder: Path, write: Callable[..., Any]) -> Seed:
    write("unpacked/mug/mug_1_20240101")
    (folder.parent / "models").rename(folder / "models")
    path, source = folder / "mug.zip", folder.parent / "unpacked"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.rglob("*.*")):
            archive.write(file, f"storage/bags/{file.relative_to(source)}")
    read = lambda: clips(RealDexMotion(folder, n_object_points=8))  # noqa: E731
    return Seed(lambda _: path, read)
