"""The grasps that are examined: static ones, and the goal of each motion with the object at that time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from ...hands.hand import Hand
from ...hands.kinematics import Links
from ...hands.load import load_hand
from ...hands.mano import ManoHand
from ...hands.pose import HandPose
from ..grasp_store import GraspStore
from ..types import MotionSample


@dataclass(frozen=True, eq=False)
class Body:
    """A hand with the bone lengths of the recorded person or robot: `hand` gives points, skin and limits, `links` the
    links' transforms at a pose.
    """

    hand: Hand
    links: Callable[[HandPose], Links]

    @staticmethod
    def of(hand: Hand) -> Body:
        """The hand as described in its YAML."""
        return Body(hand, hand.forward_kinematics)

    def mesh(self, pose: HandPose) -> trimesh.Trimesh:
        """The posed hand, frame of the pose, metres; batch shape ()."""
        if not isinstance(self.hand, ManoHand):
            return self.hand.mesh(pose)
        vertices = self.hand.vertices(self.links(pose.to(torch.float64)))
        return trimesh.Trimesh(vertices.numpy(), self.hand.faces, process=False)


@dataclass(frozen=True, eq=False)
class Examined:
    """n grasps with their objects, in the world of their data set."""

    names: tuple[str, ...]  # n names of grasps
    objects: tuple[str, ...]  # n names
    pose: HandPose  # HandPose (n,), metres and radians, float32
    rotation: Tensor  # (n, 3, 3), world_from_object
    translation: Tensor  # (n, 3), metres
    scale: Tensor  # (n,), metres per unit of the mesh
    meshes: tuple[Path | None, ...]  # n files; None if the data set has none
    bodies: tuple[Body, ...]  # n bodies, shared by the grasps of a person
    margin: float = 0.0  # metres, tolerance because a person's skeleton is not known exactly

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: Sequence[int]) -> Examined:
        """The grasps with these indices."""
        rows = torch.as_tensor(index)
        per_grasp = {name: value for name, value in vars(self).items() if name != "margin"}
        taken = {k: tuple(v[i] for i in index) if isinstance(v, tuple) else v[rows] for k, v in per_grasp.items()}
        return replace(self, **taken)


def spread(n: int, count: int) -> list[int]:
    """At most `count` of n indices, evenly spread, including the first and the last."""
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(int)).tolist() if n else []


def examine_grasps(store: GraspStore, count: int) -> Examined:
    """At most `count` static grasps, spread over the store, in the object's frame."""
    rows = spread(len(store), count)
    batch = store.batch(rows)
    n = len(rows)
    return Examined(
        names=batch.names,
        objects=batch.objects,
        pose=batch.pose,
        rotation=torch.eye(3).expand(n, 3, 3),
        translation=torch.zeros(n, 3),
        scale=batch.scale,
        meshes=batch.meshes,
        bodies=(Body.of(load_hand(store.hand)),) * n,
    )


def examine_clips(
    clips: Sequence[MotionSample], count: int, body_of: Callable[[MotionSample], Body], margin: float = 0.0
) -> Examined:
    """The goals of at most `count` clips, spread over all, at least one, with the object at the clip's last frame.

    `body_of` gives the hand of a clip; see `Examined` for `margin`.
    """
    some = [clips[i] for i in spread(len(clips), count)]
    return Examined(
        names=tuple(clip.name for clip in some),
        objects=tuple(clip.object for clip in some),
        pose=HandPose.stack([clip.goal for clip in some]).to(torch.float32),
        rotation=torch.stack([clip.object_rotation[-1] for clip in some]).float(),
        translation=torch.stack([clip.object_translation[-1] for clip in some]).float(),
        scale=torch.ones(len(some)),
        meshes=tuple(clip.mesh for clip in some),
        bodies=tuple(body_of(clip) for clip in some),
        margin=margin,
    )
