"""Grasps of your own object: `python experiments/run.py task=sample ckpt=RUN object=mug.obj n=20`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import trimesh
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from ..datamodules.clouds import object_cloud
from ..geometry.sampling import farthest_point_sampling
from ..hands.grasp_files import GraspSet, save_grasps, write_dexgraspnet
from ..hands.pose import HandPose
from ..metrics.grasps import Grasps
from ..models import GraspGeneration
from ..models.grasp_evaluation import load_asset, rows
from . import grasp_figures, grasp_results, grasp_tables
from .errors import nearest
from .folders import RunError, find_checkpoint
from .load import load_run, read_checkpoint
from .results import console, label_rows

_log = logging.getLogger(__name__)

_MESHES, _CLOUDS = (".obj", ".stl", ".off", ".glb", ".gltf", ".ply"), (".npy", ".xyz", ".ply")
_LOOSE = 1.5
"""An object may be larger or smaller than those of the training by this factor before a warning."""


@dataclass(frozen=True)
class OwnObject:
    """A user's object.

    Attributes:
        name: of the file.
        points: (N, 3), metres, frame of the file.
        mesh: file of the mesh; None for a cloud.
        scale: metres per unit of the file.
    """

    name: str
    points: Tensor
    mesh: Path | None
    scale: float


def sample(cfg: DictConfig) -> float:
    """Draws grasps, refines and filters them as the command says, and writes files, numbers and pictures.

    Args:
        cfg: `ckpt`, `object`, `n`, `object_scale`, `temperature`, `decompose`, `seed`, `refine`, `select`.

    Returns:
        Share of the grasps that the filter keeps; NaN for a cloud, on which nothing can be measured.

    Raises:
        RunError: no run, one of another kind of model, or an object that cannot be read.
    """
    if not cfg.ckpt:
        raise RunError("ckpt: expected the folder of a run of a grasp model, found nothing; set ckpt=RUN")
    task, data = load_run(cfg.ckpt)
    if not isinstance(task, GraspGeneration):
        raise RunError(f"{cfg.ckpt}: expected a run of a model that proposes grasps, found one of {task.method!r}")
    thing = read_object(cfg.object, cfg.object_scale, data.n_object_points)
    warn_of_size(thing, read_checkpoint(find_checkpoint(cfg.ckpt))["dexzoo"]["object_radius_m"])
    task.refine, task.select = instantiate(cfg.refine), instantiate(cfg.select)
    task.n_samples, task.temperature = cfg.n, cfg.temperature
    modes = task.propose(thing.points[None], generator=torch.Generator().manual_seed(cfg.seed))
    poses = {mode: pose[0].to("cpu") for mode, pose in modes.items()}
    folder = Path(cfg.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if thing.mesh is None:
        return _write_cloud(folder, task, thing, list(poses.values())[-1])
    return _write_measured(folder, task, thing, poses, cfg)


def read_object(path: str | Path, scale: float, n: int) -> OwnObject:
    """A mesh, from whose surface points are drawn, or a cloud.

    Args:
        path: the file.
        scale: factor on its coordinates that makes them metres.
        n: points.

    Raises:
        RunError: no such file, an unknown kind, or fewer than 16 points.
        MeshError: a mesh that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        match = nearest(path.name, beside)
        raise RunError(
            f"object: expected a mesh or cloud, found no file {path}" + (f"; did you mean {match}?" if match else "")
        )
    kind = path.suffix.lower()
    if kind not in (*_MESHES, *_CLOUDS):
        raise RunError(f"object: {path}: expected one of {', '.join(sorted({*_MESHES, *_CLOUDS}))}, found {kind!r}")
    if kind in _CLOUDS and (kind != ".ply" or not _has_faces(path)):
        return OwnObject(path.stem, _resampled(_read_cloud(path), n, path) * scale, None, scale)
    return OwnObject(path.stem, object_cloud(path, n) * scale, path, scale)


def warn_of_size(thing: OwnObject, known: tuple[float, float]) -> None:
    """Warns of an object that is far larger or smaller than those the model was trained on; names a likely factor.

    Args:
        thing: the object.
        known: smallest and largest radius in the training, metres.
    """
    radius = float((thing.points - thing.points.mean(0)).norm(dim=1).max())
    low, high = known
    if low / _LOOSE <= radius <= high * _LOOSE:
        return
    factor = next((f for f in (0.001, 0.01, 0.0254, 1000.0, 100.0) if low <= radius * f <= high), None)
    hint = f"; object_scale={thing.scale * factor:g} would fit: is it in other units?" if factor else ""
    _log.warning("object: its radius is %.3g m, the model was trained on %.3g to %.3g m%s", radius, low, high, hint)


def _has_faces(path: Path) -> bool:
    loaded: Any = trimesh.load(path, process=False)
    return len(getattr(loaded, "faces", ())) > 0


def _read_cloud(path: Path) -> Tensor:
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".xyz":
            array = np.loadtxt(path, ndmin=2)
        else:
            loaded: Any = trimesh.load(path, process=False)
            array = np.asarray(loaded.vertices)
    except (ValueError, EOFError, OSError) as error:
        raise RunError(f"object: {path}: expected numbers (N, 3), found: {str(error).splitlines()[0]}") from error
    if array.ndim != 2 or array.shape[1] < 3 or not np.issubdtype(array.dtype, np.number):
        raise RunError(f"object: {path}: expected numbers (N, 3), found {array.dtype} of shape {array.shape}")
    points = torch.from_numpy(np.ascontiguousarray(array[:, :3], np.float32))
    if len(points) < 16 or not points.isfinite().all():
        raise RunError(
            f"object: {path}: expected 16 or more finite points, found {int(points.isfinite().all(1).sum())}"
        )
    return points


def _resampled(points: Tensor, n: int, path: Path) -> Tensor:
    if len(points) < n:
        _log.warning("object: %s has %d points, the model was trained on %d", path, len(points), n)
        return points
    return points[farthest_point_sampling(points[None], n)[0]]


def _grasp_set(thing: OwnObject, pose: HandPose) -> GraspSet:
    count = pose.shape[0]
    scale = torch.full((count,), thing.scale, dtype=torch.float64)
    return GraspSet(thing.name, pose.to(torch.float64), scale, torch.arange(count))


def _write_files(folder: Path, task: GraspGeneration, thing: OwnObject, pose: HandPose) -> None:
    """The grasps in dexzoo's and DexGraspNet's formats; the object's frame is that of its file."""
    grasps, out = _grasp_set(thing, pose), console()
    save_grasps(folder / "grasps.npz", [grasps], task.hand)
    write_dexgraspnet(folder / f"{thing.name}.npy", grasps, task.hand)
    out.print(f"grasps       {folder}/grasps.npz, {thing.name}.npy (DexGraspNet's format)", soft_wrap=True)


def _write_cloud(folder: Path, task: GraspGeneration, thing: OwnObject, pose: HandPose) -> float:
    console().print("the object is a cloud: its grasps are neither measured nor filtered, which takes a mesh")
    _write_files(folder, task, thing, pose)
    path = grasp_figures.draw_on_cloud(folder / "grasps.png", task.hand, pose, thing.points, thing.name)
    console().print(f"picture      {path}", soft_wrap=True)
    return float("nan")


def _write_measured(
    folder: Path, task: GraspGeneration, thing: OwnObject, poses: dict[str, HandPose], cfg: DictConfig
) -> float:
    """Measures all candidates, writes those that the filter keeps (all where it keeps none), and draws them."""
    assert thing.mesh is not None
    asset, table, kept = load_asset(thing.mesh, thing.name, cfg.decompose), [], torch.ones(0)
    for mode, pose in poses.items():
        grasps = Grasps(task.hand, pose, asset, torch.tensor(thing.scale))
        chosen = None if task.select is None else task.select(grasps)
        found = rows(grasps, chosen, {"method": task.method, "refine": mode}, task.metrics, task.legacy, thing.mesh)
        table += label_rows(found, variant=None, seed=cfg.seed, hand=cfg.hand, data=thing.name)
        kept = torch.tensor([row["kept"] for row in found])
    out, final = console(), list(poses.values())[-1]
    if not kept.any():
        out.print("the filter keeps none of the grasps; all are written")
        kept = torch.ones_like(kept)
    for shown in grasp_tables.tables(grasp_results.summarise(table), f"{thing.name}, {cfg.n} grasps")[:-1]:
        out.print(shown)
    pq.write_table(pa.Table.from_pylist(table), folder / "results.parquet")
    _write_files(folder, task, thing, final[kept])
    picture = grasp_figures.draw(folder / "grasps.png", table, thing.name, hand=task.hand)
    out.print(f"results      {folder}/results.parquet\npicture      {picture}", soft_wrap=True)
    return float(kept.double().mean())
