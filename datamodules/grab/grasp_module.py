"""Data module of GRAB's grasps: single frames of the sequences, chosen by a published rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...files.errors import check_names
from ..grasp_store import GraspObject, GraspStore
from ..grasps import GraspDataModule, GraspParts
from .grasps import check_rule, grasps_of
from .objects import OBJECT_SPLITS, object_of
from .reader import GrabReader


class GrabGrasps(GraspDataModule):
    """Static grasps of GRAB in the object frame; see `grasps.read_grasps`, and `GrabMotion` about hands.

    Grasps are named "<object>/<number>", the number counting the object's grasps in the order of the sequences.

    Args:
        root: folder with `grab` and `tools`; see `GrabMotion` for `hand`, `side`, `object_points` and `on_bad`.
        split: "grab" or "goal", by object, aliases merged.
        frames: "goal_grasp" (GOAL's GNet) or "grab" (every frame with contact), see `frames`.
        every: keeps each n-th of the selected frames, which are 8 ms apart; 1 keeps all, as in the sources.
        **options: see `GraspDataModule`.

    Raises:
        UnknownName: unknown setting.
        DataError: `every` below 1.
    """

    title = "GRAB"
    dataset = "grab"

    def __init__(
        self,
        root: str | Path | None = None,
        hand: str = "mano",
        *,
        split: str = "grab",
        frames: str = "goal_grasp",
        side: str = "right",
        every: int = 1,
        object_points: str = "mesh",
        on_bad: str = "raise",
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        check_names(split=(split, OBJECT_SPLITS))
        check_rule(frames, every)
        self.reader = GrabReader(root, hand, side, object_points, self.n_object_points, on_bad)
        self.split_by, self.frames, self.every = split, frames, every
        self.look_for_mark(root)

    @property
    def skipped(self) -> list[str]:
        """Messages about the sequences skipped by `on_bad="skip"`."""
        return self.reader.skipped

    def load(self) -> GraspStore:
        """Reads all sequences and selects the frames; raises like `GrabMotion.load`, and DataError if no frame is
        selected.
        """
        grasps = grasps_of(self.reader, self.frames, self.every)
        stems = list(grasps.clouds)  # a shape may have two names, each with its own file
        of_recording = [stems.index(name.split("/")[1].split("_")[0]) for name in grasps.recordings]
        return GraspStore.of(
            pose=grasps.pose,
            object=np.array(of_recording)[grasps.recording],
            objects=[GraspObject(object_of(stem), grasps.clouds[stem][1], grasps.flags) for stem in stems],
            clouds=torch.stack([points for points, _ in grasps.clouds.values()]),
            up=grasps.up,
        )

    def split(self, store: GraspStore) -> GraspParts:
        """Splits by object; see the argument `split`."""
        return GraspParts.by_object(store, **OBJECT_SPLITS[self.split_by])
