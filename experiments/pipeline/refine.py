"""Refines grasps of any method: `dexzoo refine grasps=FILE mesh=FILE`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from ...grasps.files import SCALED, GraspSet, guess_format, load_grasps
from ...hands.load import load_hand
from ...metrics.tables import console
from ...metrics.tool.meshes import find_meshes
from ...metrics.tool.plan import EvaluationError
from ...models import ContactPredictor
from ..commandline.errors import RunError
from ..training.load import Run
from .user_grasps import GraspJob, refine_and_write, with_solids
from .user_objects import metres_per_unit, read_object

_POINTS = 1024
"""Of each object's cloud, where no contact predictor says otherwise."""


def refine_file(cfg: DictConfig) -> float:
    """Refines the grasps of a file or folder, and writes them with their numbers before and after; see
    `refine_and_write`, whose result it returns. RunError for no grasps, no mesh of an object, or a predictor of another
    hand; GraspFileError for a file that holds no grasps of the hand.
    """
    for key, what in (("grasps", "a file or folder of grasps"), ("mesh", "the object's mesh, or a folder of meshes")):
        if not cfg[key]:
            raise RunError(f"{key}: expected {what}, found nothing; set {key}=PATH")
    if cfg.refine is None:
        raise RunError("refine: expected a refiner, found none; set refine=dexzoo")
    hand = load_hand(cfg.hand)
    sets = [replace(part, up=part.upwards(cfg.up)) for part in _finite(load_grasps(cfg.grasps, hand))]
    contact, n = (None, _POINTS) if cfg.contact_from is None else _predictor(cfg.contact_from, hand.name)
    names = [part.object for part in sets]
    try:
        meshes = find_meshes(cfg.mesh, names)
    except EvaluationError as error:
        raise RunError(f"mesh: {str(error).removeprefix('--mesh ')}") from error
    objs = [read_object(meshes[name], n, name) for name in names]
    units = [metres_per_unit(obj, cfg.object_scale, part.scale) for obj, part in zip(objs, sets, strict=True)]
    sets = [replace(part, scale=part.scale * unit) for part, unit in zip(sets, units, strict=True)]
    objs = with_solids(objs, [part.scale for part in sets])
    path = Path(cfg.grasps)
    form = guess_format(path)
    job = GraspJob(hand, objs, sets, path.stem, form if form in SCALED else "dexzoo")
    return refine_and_write(job, contact, cfg)


def _finite(sets: Sequence[GraspSet]) -> list[GraspSet]:
    """The grasps whose numbers are all known; says how many are not, RunError where none is."""
    good = [part[part.finite] for part in sets]
    missing = sum(map(len, sets)) - sum(map(len, good))
    if not any(map(len, good)):
        raise RunError(f"grasps: expected grasps of finite numbers, found {missing} that hold others")
    if missing:
        console().print(f"[yellow]note[/]         {missing} grasps hold numbers that are not finite: they are left out")
    return [part for part in good if len(part)]


def _predictor(path: str, hand: str) -> tuple[ContactPredictor, int]:
    """The contact predictor of a run, and the number of points that it was trained on."""
    run = Run(path)
    task = run.task
    if task.contact_predictor is None:
        raise RunError(f"contact_from: {path}: expected a run of model=contact_map, found one of {task.method!r}")
    if task.hand.name != hand:
        raise RunError(f"contact_from: {path}: expected a run with hand {hand!r}, found one with {task.hand.name!r}")
    task.contact_predictor.freeze()
    return task.contact_predictor, run.data.n_object_points
