"""Work of `task=sample` and `task=refine` on grasps: refine, measure, filter, draw and write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...datamodules.types import GraspBatch
from ...geometry.meshes import MeshError
from ...geometry.neighbours import knn
from ...geometry.progress import tracked
from ...grasps.asset import load_asset
from ...grasps.files import SCALED, GraspSet, save_grasps
from ...grasps.posed import PosedGrasps
from ...hands.hand import Hand
from ...hands.plausible import Distance, Doubts, doubt_grasps
from ...hands.pose import HandPose
from ...metrics.tables import console
from ...models import ContactPredictor, GraspFilter, Refiner
from ...models.grasp.evaluation import NOTHING_FELT, rows
from ...models.grasp.refinement.task import GraspRefinement
from ..commandline.errors import RunError
from ..reports import grasp_figures, grasp_results, grasp_tables
from ..reports.results import Row, label_rows, write_rows
from ..training.progress_bar import WorkProgress
from ..training.run_log import interruptible
from .user_objects import UserObject

_BATCH = 128
"""Grasps that are refined at once."""
_NO_TABLE = (0.0, 0.0, 1.0, 1e3)
"""A plane so far below that no hand reaches it."""

Modes = Mapping[str, Sequence[GraspSet]]
"""Refinement ("off", "dexzoo", ...) to one set of grasps per object; grasp n of a set is the same one in all."""


@dataclass(frozen=True)
class GraspJob:
    """The grasps of a command: those of each object as they were drawn or read, finite numbers only, and their hand."""

    hand: Hand
    objs: Sequence[UserObject]
    sets: Sequence[GraspSet]
    method: str
    """Their source, in tables."""
    format: str
    """Write them in this one of `grasps.files.SCALED` too."""


def with_solids(objs: Sequence[UserObject], scales: Sequence[Tensor]) -> list[UserObject]:
    """The objects, their solids prepared and their repairs said, at the scales (N,) of each, metres per unit of their
    files; one without a solid goes on as a cloud.
    """
    ready = []
    for obj, scale in zip(objs, scales, strict=True):
        said: Sequence[str] = ()
        if obj.mesh is not None:
            try:
                said = load_asset(obj.mesh, obj.name).said(float(scale.max()))
            except MeshError as error:
                obj, said = replace(obj, mesh=None), [f"it is taken for a cloud: {error}"]
        ready.append(obj)
        if said:
            console().print(f"[yellow]note[/]         mesh of {obj.name}: {'; '.join(said)}", soft_wrap=True)
    return ready


def refine_and_write(job: GraspJob, contact: ContactPredictor | None, cfg: DictConfig) -> float:
    """Refines towards the contact predicted, measures, filters, draws and writes grasps by `refine`, `select`,
    `measure`, `trainer`, `run_dir` and `seed` of the config.

    Returns the share of the grasps that the filter keeps, 1 without one; NaN where nothing is measured: with
    `measure=false`, or a cloud. RunError for `refine.fields=mesh` with an object that has none, or a trainer of several
    processes.
    """
    folder = Path(cfg.run_dir)
    refiner, select = instantiate(cfg.refine), instantiate(cfg.select)
    bare = next((obj.name for obj in job.objs if obj.mesh is None), None)
    if refiner is not None and refiner.fields == "mesh" and bare is not None:
        raise RunError(f"refine.fields: expected cloud for object {bare!r}, which has no mesh, found mesh")
    folder.mkdir(parents=True, exist_ok=True)
    _say_doubts(job)
    modes: dict[str, Sequence[GraspSet]] = {"off": job.sets}
    if refiner is not None:
        modes[refiner.preset] = refine_sets(job, refiner, contact, cfg)
    bare = [obj.name for obj in job.objs if obj.mesh is None]
    if cfg.measure and len(bare) < len(job.objs):
        if bare:
            _say_unmeasured(", ".join(bare), "a cloud has no inside")
        felt = {} if refiner is None else {refiner.preset: refiner.fields}
        return _write_measured(folder, job, modes, felt, select, cfg)
    _write_unmeasured(folder, job, modes, "a cloud has no inside" if cfg.measure else "measure=false")
    return float("nan")


def _say_doubts(job: GraspJob) -> None:
    """Says which grasps cannot be meant, before anything is done to them."""
    pairs = zip(job.objs, job.sets, strict=True)
    parts = [doubt_grasps(job.hand, part.pose, _distance(obj, part.scale)) for obj, part in pairs]
    for message in Doubts.join(parts).messages():
        console().print(f"[red]{message}[/]", soft_wrap=True)


def _distance(obj: UserObject, scale: Tensor) -> Distance:
    """To an object whose grasps have these scales (N,): to its surface, or to the nearest point of its cloud."""

    def distance(points: Tensor, rows: Tensor) -> Tensor:
        factor = scale[rows].double()[:, None]
        scaled = points / factor.unsqueeze(-1)
        if obj.mesh is not None:
            return load_asset(obj.mesh, obj.name).distance(scaled) * factor
        return knn(scaled, obj.points.to(scaled).expand(len(scaled), -1, -1), 1)[0].squeeze(-1) * factor

    return distance


def refine_sets(job: GraspJob, refiner: Refiner, contact: ContactPredictor | None, cfg: DictConfig) -> list[GraspSet]:
    """The grasps after refinement; those of different objects share batches.

    Objects are felt by their clouds, as in Table 3, even where the user has meshes: numbers then say what to expect of
    an object that is only seen. With `refine.fields=mesh` they are felt by their meshes.
    """
    quiet = {"logger": False, "enable_checkpointing": False, "callbacks": [WorkProgress()]}
    trainer: L.Trainer = instantiate(cfg.trainer, **quiet)
    if trainer.world_size > 1:
        found = f"found {trainer.world_size}; use devices=1"
        raise RunError(f"trainer: expected one process to refine grasps with, {found}")
    task = GraspRefinement(str(job.hand.spec.file), refiner, contact)
    with interruptible(trainer):
        refined = trainer.predict(task, DataLoader(_Batches(job.sets, job.objs), batch_size=None))
    assert refined is not None
    start, end = (torch.cat([getattr(part, name) for part in refined]).mean() for name in ("start", "end"))
    console().print(f"refined      {sum(map(len, job.sets))} grasps, mean energy {start:.3g} -> {end:.3g}")
    pose = HandPose.cat([part.pose for part in refined]).to("cpu", torch.float64)
    ends = torch.tensor([len(part) for part in job.sets]).cumsum(0).tolist()
    return [part.moved_with(pose[end - len(part) : end]) for part, end in zip(job.sets, ends, strict=True)]


class _Batches(Dataset[GraspBatch]):
    """All grasps in their order, cut into batches; a batch may be of several objects."""

    def __init__(self, sets: Sequence[GraspSet], objs: Sequence[UserObject]) -> None:
        self.sets, self.objs = sets, objs
        pairs = [torch.stack([torch.full((len(s),), k), torch.arange(len(s))], dim=1) for k, s in enumerate(sets)]
        self.batches = torch.cat(pairs).split(_BATCH)
        self.table = any(part.plane is not None for part in sets)
        fewest = min(len(obj.points) for obj in objs)
        self.clouds = [obj.points[:fewest] for obj in objs]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> GraspBatch:
        pairs = self.batches[index]
        owner = pairs[:, 0].tolist()
        some = [(k, self.sets[k][pairs[pairs[:, 0] == k, 1]]) for k in dict.fromkeys(owner)]
        scale = torch.cat([part.scale for _, part in some]).float()
        clouds = torch.cat([self.clouds[k].expand(len(part), -1, -1) for k, part in some])
        return GraspBatch(
            pose=HandPose.cat([part.pose for _, part in some]).to(torch.float32),
            object_points=clouds * scale[:, None, None],
            scale=scale,
            names=tuple(f"{part.object}/{row}" for _, part in some for row in part.rows.tolist()),
            objects=tuple(self.objs[k].name for k in owner),
            meshes=tuple(self.objs[k].mesh for k in owner),
            plane=torch.cat([_tables(part) for _, part in some]).float() if self.table else None,
        )


def _tables(part: GraspSet) -> Tensor:
    """(N, 4); a plane out of reach where a grasp has no table."""
    far = torch.tensor(_NO_TABLE, dtype=torch.float64).repeat(len(part), 1)
    return far if part.plane is None else torch.where(part.plane.isnan().any(1, keepdim=True), far, part.plane)


def measure(
    job: GraspJob, modes: Modes, felt: Mapping[str, str], select: GraspFilter | None
) -> tuple[list[Row], list[Tensor]]:
    """Rows of all modes, and which grasps (n,) of each object the filter keeps in the last mode.

    `candidate` in a row is the grasp's row in its file; `felt` says of each mode what was felt of the objects, and
    `implausible` in a row why it cannot be meant, "" where it can.
    """
    todo = [(mode, k, part) for mode, sets in modes.items() for k, part in enumerate(sets)]
    table: list[Row] = []
    kept = [torch.ones(len(part), dtype=torch.bool) for part in job.sets]
    for mode, k, part in tracked(todo, "measuring"):
        obj = job.objs[k]
        if obj.mesh is None:
            continue
        asset = load_asset(obj.mesh, obj.name)
        for scale in part.scale.unique():
            mine = part.scale == scale
            postures = (None if p is None else p.joints[mine] for p in (part.pregrasp, part.squeeze))
            grasps = PosedGrasps(job.hand, part.pose[mine], asset, scale, part.upwards()[mine], *postures)
            chosen = None if select is None else select(grasps)
            labels = {"method": job.method, "refine": mode, grasp_results.FELT: felt.get(mode, NOTHING_FELT)}
            found = rows(grasps, chosen, labels, mesh=obj.mesh)
            reasons = doubt_grasps(job.hand, grasps.pose, _distance(obj, part.scale[mine])).reasons
            for row, number, reason in zip(found, part.rows[mine].tolist(), reasons, strict=True):
                row |= {"candidate": number, "clip": f"{part.object}/{number}", "implausible": reason}
            table += found
            kept[k][mine] = torch.tensor([row["kept"] for row in found])
    return table, kept


def _write_measured(
    folder: Path, job: GraspJob, modes: Modes, felt: Mapping[str, str], select: GraspFilter | None, cfg: DictConfig
) -> float:
    """Writes rows, a picture, and the grasps that the filter keeps (all where it keeps none); prints the table."""
    found, kept = measure(job, modes, felt, select)
    title = job.objs[0].name if len(job.objs) == 1 else f"{len(job.objs)} objects"
    table, out = label_rows(found, variant=None, seed=cfg.seed, data=title), console()
    lines = [line for line in grasp_results.summarise(table) if select is not None or line["filter"] == "off"]
    for shown in grasp_tables.tables(lines, f"{title}: {sum(map(len, job.sets))} grasps", published=False):
        out.print(shown)
    written = write_rows(folder, table)
    share = float(torch.cat(kept).double().mean())
    if not share:
        out.print("[yellow]note[/]         the filter keeps none of the grasps: all are written", soft_wrap=True)
    final = [*modes.values()][-1]
    _write_files(folder, job, [p[k] for p, k in zip(final, kept, strict=True) if k.any()] if share else final)
    _say("results", written)
    _say("picture", grasp_figures.draw(folder / "grasps.png", table, title, hand=job.hand))
    return share


def _write_unmeasured(folder: Path, job: GraspJob, modes: Modes, why: str) -> None:
    """Writes all grasps, and a picture of the first ones of the first object."""
    _say_unmeasured("", why)
    final = [*modes.values()][-1]
    _write_files(folder, job, final)
    obj, grasps = job.objs[0], final[0]
    points = obj.points * float(grasps.scale[0])
    _say("picture", grasp_figures.draw_on_cloud(folder / "grasps.png", job.hand, grasps.pose, points, obj.name))


def _say_unmeasured(names: str, why: str) -> None:
    whose = f"the grasps of {names}" if names else "the grasps"
    console().print(f"[yellow]note[/]         {why}: {whose} are neither measured nor filtered", soft_wrap=True)


def _write_files(folder: Path, job: GraspJob, sets: Sequence[GraspSet]) -> None:
    save_grasps(folder / "grasps.npz", sets, job.hand)
    _say("grasps", folder / "grasps.npz", f"{sum(map(len, sets))} grasps, dexzoo's format")
    if job.format != "dexzoo":
        path = folder / SCALED[job.format]
        save_grasps(path, sets, job.hand, job.format)
        _say("grasps", path, f"the same in the format {job.format}")


def _say(what: str, path: Path, note: str = "") -> None:
    console().print(f"{what:<12} {path}" + (f"  ({note})" if note else ""), soft_wrap=True)
