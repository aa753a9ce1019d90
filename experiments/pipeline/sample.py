"""Grasps of your own objects: `dexzoo sample ckpt=RUN object=mug.obj n=20`."""

from dataclasses import replace
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor

from ...grasps.files import GraspSet
from ...hands.load import load_hand
from ...models import Task
from ..commandline.errors import RunError
from ..training.load import Run
from .user_grasps import GraspJob, refine_and_write, with_solids
from .user_objects import UserObject, metres_per_unit, object_files, read_object, warn_of_size


def sample(cfg: DictConfig) -> float:
    """Draws grasps, refines and filters them as the command says, and writes files, numbers and pictures; see
    `refine_and_write`, whose result it returns. RunError for no run, one of another model than `model`, or an object
    that cannot be used.
    """
    if not cfg.ckpt:
        raise RunError("ckpt: expected the folder of a run of a grasp model, found nothing; set ckpt=RUN")
    if not cfg.object:
        raise RunError("object: expected the file of a mesh or cloud, or a folder, found nothing; set object=mug.obj")
    given = any(text.startswith("hand=") for text in HydraConfig.get().overrides.task)
    run = Run(cfg.ckpt, cfg.hand if given else None)
    task = run.task
    _check_model(task, cfg)
    files = object_files(cfg.object)
    objs = [read_object(path, run.data.n_object_points, name) for name, path in files.items()]
    ones = torch.ones(cfg.n, dtype=torch.float64)
    scales = [metres_per_unit(obj, cfg.object_scale, ones) * ones for obj in objs]
    for obj, scale in zip(objs, scales, strict=True):
        warn_of_size(obj, float(scale[0]), run.checkpoint["dexzoo"]["object_radius_m"])
    objs = with_solids(objs, scales)
    drawn = [_draw(task, obj, scale, cfg) for obj, scale in zip(objs, scales, strict=True)]
    job = GraspJob(load_hand(task.hand.spec.file), objs, drawn, task.method, "dexgraspnet")
    return refine_and_write(job, task.contact_predictor, cfg)


def _check_model(task: Task[Any, Any], cfg: DictConfig) -> None:
    """Refuses a model named on the command line that is not that of the run: another run was meant."""
    if not task.supports_sampling:
        raise RunError(f"ckpt: {cfg.ckpt}: expected a run of a model that draws grasps, found one of {task.method!r}")
    given = HydraConfig.get().overrides.task
    named = next((text for text in given if text.startswith("model=")), None)
    network = task.config["model"]["network"]["_target_"]
    if named and cfg.model.get("network", {}).get("_target_") != network:
        advice = "leave model= out, or set its own"
        raise RunError(f"{named}: expected the model of the run {cfg.ckpt}, {network}; {advice}")
    if changed := next((text for text in given if text.lstrip("+~").startswith("model.")), None):
        raise RunError(f"{changed}: expected no settings of the model, because those of the run {cfg.ckpt} count")


@torch.no_grad()
def _draw(task: Task[Any, Any], obj: UserObject, scale: Tensor, cfg: DictConfig) -> GraspSet:
    points = obj.points * float(scale[0])
    pose = task.network.sample(points[None], cfg.n, torch.Generator().manual_seed(cfg.seed), cfg.temperature)[0]
    grasps = GraspSet(obj.name, pose.to(torch.float64), scale, torch.arange(cfg.n))
    return replace(grasps, up=grasps.upwards(cfg.up))
