"""Self-intersection of a hand: volume and depth of overlaps between links that are not neighbours."""

from typing import Literal, get_args

import numpy as np
import torch
from manifold3d import Manifold, OpType
from numpy.typing import NDArray
from torch import Tensor

from ...hands.hand import Hand
from ...hands.kinematics import Links
from ...hands.pose import HandPose
from ...hands.solids import hand_solids

Reduce = Literal["union", "sum_pairs"]


def self_intersection_volume(hand: Hand, pose: HandPose, reduce: Reduce = "union") -> Tensor:
    """Volume of the region covered by at least two links that are not neighbours.

    Neighbours (skipping links without a shape) overlap by design, and so may the pairs listed as `overlaps` in the
    hand's YAML; all others are apart at rest in every shipped hand, so no baseline is subtracted. Overlapping pairs are
    found in closed form; only those are intersected, as solids of exactly their primitives' volumes.

    Args:
        hand: its collision shapes are measured.
        pose: HandPose (B,).
        reduce: "union" counts every point once; "sum_pairs" once for every pair that covers it.

    Returns:
        (B,) float64, m^3, exactly 0 where no pair overlaps, NaN for a pose that is not finite.

    Raises:
        HandError: the pose is of another hand, or the hand has no collision shapes.
    """
    if reduce not in get_args(Reduce):
        raise ValueError(f"reduce: expected 'union' or 'sum_pairs', found {reduce!r}")
    links, gaps = _gaps(hand, pose)
    solids = hand_solids(hand)
    volumes = np.where(np.isfinite(gaps).all(1), 0.0, np.nan)
    for b in np.flatnonzero((gaps < 0).any(1) & np.isfinite(volumes)):
        pairs = solids.pairs[gaps[b] < 0]
        frames = torch.cat([links.rotation[int(b)], links.translation[int(b)].unsqueeze(-1)], dim=-1).numpy()
        placed = {int(i): solids.manifolds[i].transform(frames[solids.link[i]]) for i in np.unique(pairs)}
        shared = [placed[int(i)] ^ placed[int(j)] for i, j in pairs]
        volumes[b] = union_volume(shared) if reduce == "union" else sum(part.volume() for part in shared)
    return torch.from_numpy(volumes)


def self_intersection_depth(hand: Hand, pose: HandPose) -> Tensor:
    """Deepest overlap of two links that are not neighbours, metres: the least translation that separates their two
    primitives. Arguments, result and errors are those of `self_intersection_volume`.
    """
    _, gaps = _gaps(hand, pose)
    depth = np.max(-gaps, axis=1, initial=0.0)
    return torch.from_numpy(np.where(np.isfinite(gaps).all(1), depth, np.nan))


def union_volume(parts: list[Manifold]) -> float:
    """Volume of the union of solids, some of which may be empty."""
    solid = [part for part in parts if not part.is_empty()]
    if len(solid) < 2:
        return solid[0].volume() if solid else 0.0
    return Manifold.batch_boolean(solid, OpType.Add).volume()


def _gaps(hand: Hand, pose: HandPose) -> tuple[Links, NDArray[np.float64]]:
    """The links, and (B, P) gaps of pairs of primitives, NaN in rows of poses that are not finite."""
    if len(pose.shape) != 1:
        raise ValueError(f"pose: expected batch shape (B,), found {tuple(pose.shape)}")
    pose = pose.map(lambda x: x.detach().double().cpu())
    links, solids = hand.forward_kinematics(pose), hand_solids(hand)
    valid = torch.cat([pose.translation, pose.rotation.flatten(1), pose.joints], dim=1).isfinite().all(1)
    gaps = np.full((len(valid), len(solids.pairs)), np.nan)
    gaps[valid.numpy()] = solids.gaps(links[valid])
    return links, gaps
