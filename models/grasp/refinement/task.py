"""Refinement as a task, for grasps of a data set, of another method's file, or of a model."""

from typing import Any

import lightning as L
import torch

from ....datamodules.types import GraspBatch
from ....grasps.asset import load_asset
from ....hands import load_hand
from ...precision import take_over_precision
from ..contact.model import ContactPredictor
from .fields import ObjectFields
from .refiner import Refined, Refiner


class GraspRefinement(L.LightningModule):
    """Refines batches of grasps, for `trainer.predict` and `trainer.test`; nothing is trained.

    Args:
        hand: name or YAML of the hand.
        refiner: does the refinement; also selects whether clouds or meshes give the distance fields.
        contact: predicts the target contact; None only attracts near fingers to the surface.
    """

    def __init__(self, hand: str, refiner: Refiner, contact: ContactPredictor | None = None) -> None:
        super().__init__()
        self.hand = load_hand(hand)
        self.refiner, self.contact = refiner, contact

    def setup(self, stage: str) -> None:
        """Refuses precisions that would round the energy. Raises ValueError like `check_precision`."""
        take_over_precision(self.trainer)

    def forward(self, batch: GraspBatch) -> Refined:
        """Refines the grasps of a batch. Raises ValueError: an object has no mesh, although the refiner uses meshes."""
        meshes = mesh_fields(batch) if self.refiner.fields == "mesh" else None
        return self.refiner(self.hand, batch.pose, batch.object_points, self.contact, batch.plane, meshes)

    def predict_step(self, batch: GraspBatch, batch_idx: int) -> Refined:
        """Refined grasps, with their energies before and after."""
        return self(batch)

    def test_step(self, batch: GraspBatch, batch_idx: int) -> None:
        """Logs the means of energy and terms before and after, and of the steps taken."""
        refined = self(batch)
        how: dict[str, Any] = {"batch_size": len(batch.names), "on_step": False, "on_epoch": True, "sync_dist": True}
        sides = {"before": (refined.start, refined.before), "after": (refined.end, refined.terms)}
        for side, (energy, terms) in sides.items():
            self.log_dict({f"test/{side}/{name}": value.mean() for name, value in terms.items()}, **how)
            self.log(f"test/{side}/energy", energy.mean(), **how)
        self.log("test/steps", refined.steps.float().mean(), **how)


def mesh_fields(batch: GraspBatch) -> ObjectFields:
    """Distance fields of the meshes of a batch.

    Raises ValueError: an object without a mesh.
    """
    missing = [name for name, mesh in zip(batch.objects, batch.meshes, strict=True) if mesh is None]
    if missing:
        raise ValueError(f"object {missing[0]!r}: expected a mesh to refine grasps on, found none; set fields='cloud'")
    named = {str(mesh): name for mesh, name in zip(batch.meshes, batch.objects, strict=True)}
    device = batch.object_points.device
    with torch.inference_mode(False):  # the grids are cached, and later uses may need gradients
        owner = torch.tensor([[*named].index(str(mesh)) for mesh in batch.meshes], device=device)
        grids = [load_asset(mesh, name).grid.on(device) for mesh, name in named.items()]
        return ObjectFields(grids, owner, batch.scale.clone())
