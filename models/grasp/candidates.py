"""Test of proposed grasps: drawn for each object, refined, filtered, and measured like the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ...datamodules.types import GraspBatch
from ...grasps.asset import ObjectAsset, load_asset
from ...grasps.posed import PosedGrasps
from ...hands.hand import Hand
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ..selection.filter import GraspFilter
from ..task import Row, draw_generator
from .base import GraspModel
from .evaluation import GROUND_TRUTH, NOTHING_FELT, rows
from .refinement.fields import ObjectFields
from .refinement.refiner import Refiner


@dataclass(frozen=True)
class CandidateTest:
    """The test of a grasp model on objects one by one.

    Attributes:
        method: the name in tables.
        hand: YAML of the hand.
        refine, select, n_samples, temperature, sample_seed, metrics, legacy: as for `GraspGeneration`.

    Raises ValueError: `n_samples` is less than 1.
    """

    method: str
    hand: Path
    refine: Refiner | None
    select: GraspFilter | None
    n_samples: int
    temperature: float
    sample_seed: int
    metrics: Sequence[str]
    legacy: bool

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples: expected 1 or more candidates of each object, found {self.n_samples}")

    def rows(self, network: GraspModel, batch: GraspBatch) -> list[Row]:
        """Rows of results of the true grasps and of the candidates, for the one object of a batch.

        Raises ValueError: the object has no mesh.
        """
        obj = _Object.of(batch)
        generator = draw_generator(self.sample_seed, batch.names[0])  # of its first true grasp, which no other has
        with torch.inference_mode(False):  # in which Lightning tests, and which forbids refinement its gradients
            points, plane = batch.object_points[:1].clone(), None if batch.plane is None else batch.plane[:1].clone()
            upwards = None if batch.up is None else batch.up[: self.n_samples]
            shown = replace(obj, up=obj.up if upwards is None else upwards)
            table = self._measured(GROUND_TRUTH, "-", batch.pose[: self.n_samples].map(torch.clone), shown)
            meshes = None if self.refine is None or self.refine.fields == "cloud" else obj.fields(points.device)
            for mode, pose in self.propose(network, points, plane, generator, meshes).items():
                table += self._measured(self.method, mode, pose[0], obj)
        return table

    @torch.no_grad()
    def propose(
        self,
        network: GraspModel,
        points: Tensor,
        plane: Tensor | None = None,
        generator: torch.Generator | None = None,
        meshes: ObjectFields | None = None,
    ) -> dict[str, HandPose]:
        """Draws `n_samples` grasps of each object, and refines them.

        `network`: proposes them, and has the contact predictor of the refinement. `points` (B, N, 3), metres, clouds of
        B objects, each in its own frame. `plane` (B, 4), unit normal and offset (metres) of the table, same frame; None
        where there is none. `generator`: the only source of random numbers. `meshes`: distance grids of the B objects'
        meshes, for a refinement with `fields="mesh"` and not otherwise. Returns HandPose (B, n_samples) by mode: "off",
        and the one of the refiner where there is one.
        """
        drawn = network.sample(points, self.n_samples, generator, self.temperature)
        if self.refine is None:
            return {"off": drawn}
        objects, n = drawn.shape
        repeated = points.repeat_interleave(n, dim=0)
        tables = None if plane is None else plane.repeat_interleave(n, dim=0)
        owner = torch.arange(objects, device=points.device).repeat_interleave(n)
        each = None if meshes is None else meshes[owner]
        refined = self.refine(network.hand, drawn.reshape(objects * n), repeated, network.contact, tables, each)
        return {"off": drawn, self.refine.preset: refined.pose.reshape(objects, n)}

    def _measured(self, method: str, mode: str, pose: HandPose, obj: _Object) -> list[Row]:
        """A row for each of the grasps (n,) of an object."""
        grasps = PosedGrasps(self._hand_on_cpu, pose, obj.asset, torch.tensor(obj.scale), obj.up)
        chosen = None if self.select is None else self.select(grasps)
        felt = self.refine.fields if self.refine is not None and mode == self.refine.preset else NOTHING_FELT
        labels = {"method": method, "refine": mode, "refine_fields": felt}
        return rows(grasps, chosen, labels, self.metrics, self.legacy, obj.mesh, obj.scene)

    @cached_property
    def _hand_on_cpu(self) -> Hand:
        """A hand that stays there, where metrics are computed."""
        return load_hand(self.hand)


@dataclass(frozen=True)
class _Object:
    """The object that candidates are measured on; `up` as for `PosedGrasps`, that of the first grasp."""

    mesh: Path
    scale: float
    asset: ObjectAsset
    scene: str
    """The table, where the data have tables."""
    up: Tensor | None

    def fields(self, device: torch.device) -> ObjectFields:
        """Distance field of the mesh, for one object."""
        owner, scale = torch.zeros(1, dtype=torch.long, device=device), torch.tensor([self.scale], device=device)
        return ObjectFields([self.asset.grid.on(device)], owner, scale)

    @staticmethod
    def of(batch: GraspBatch) -> _Object:
        """The one object of a batch."""
        name, mesh = batch.objects[0], batch.meshes[0]
        if mesh is None:
            raise ValueError(f"object {name!r}: expected a mesh to measure grasps on, found none")
        scene = "" if batch.plane is None else batch.names[0]
        up = None if batch.up is None else batch.up[0]
        if up is None and batch.plane is not None:
            up = batch.plane[0, :3]
        return _Object(mesh, float(batch.scale[0]), load_asset(mesh, name), scene, up)
