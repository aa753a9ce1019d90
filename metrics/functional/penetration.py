"""Penetration depth of hand and object."""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ..depth.hand_in_object import hand_in_object
from ..depth.mean_depth import mean_depth_in_hand, mean_depth_in_object
from ..depth.object_in_hand import object_in_hand
from ..depth.ray_parity import vertex_depth

Direction = Literal["hand_to_object", "object_to_hand", "max"]
Reduce = Literal["max", "mean"]
Engine = Literal["distance", "contact"]
Mode = Literal["exact", "legacy_gtta", "legacy_obman"]

_CHOICES = {"direction": get_args(Direction), "reduce": get_args(Reduce), "engine": get_args(Engine)}
_CHOICES |= {"mode": get_args(Mode)}
_BATCH = 256  # grasps per batch: bounds the memory


def penetration_depth(
    grasps: PosedGrasps,
    direction: Direction = "hand_to_object",
    reduce: Reduce = "max",
    certify: bool = False,
    engine: Engine = "distance",
    mode: Mode = "exact",
) -> Tensor:
    """Depth of the deepest point of the hand's surface in the object (p.dist).

    The hand's surface is that of its collision capsules and boxes, exact and without sampling, each on its own: parts
    inside another link count. The object is its asset's solid. The search is a branch and bound over patches of that
    surface. It returns the depth of a point that it found, so never more than the largest depth; see `certify`.

    Depth is limited by the object's thickness: a finger right through a plate of 4 mm is 2 mm deep, whereas its volume
    keeps growing.

    Args:
        grasps: B grasps.
        direction: "object_to_hand" measures the object's surface in the hand, by its depth in a single primitive
            (UniDexGrasp's `pen`), at most 0.02 mm less than the largest; "max" is the larger of the two.
        reduce: "mean" takes the mean depth of the points inside, out of 2048 on the hand or 20000 on the object.
        certify: guarantee that the result is at most 0.02 mm less than the largest depth. Otherwise this holds if the
            object is convex near its contacts, which takes a third of the time. Never less than without.
        engine: "contact" takes the deepest contact of MuJoCo between the hand and the object's convex pieces instead,
            the shortest translation that separates the two (see `simulation.contact_depth`).
        mode: "legacy_gtta" is the number of GraspTTA's script and later papers: the vertices of the hand's primitives
            that are inside the original mesh of the object by ray parity, in metres. An absolute threshold in its ray
            test loses hits of triangles whose projection is below 0.05 mm^2, so vertices centimetres outside count as
            inside, and the mean over good grasps exceeds 1 cm. "legacy_obman" is the same script in millimetres, as
            originally written, where the threshold is harmless. Neither belongs in a column with "exact".

    Returns:
        (B,), metres, float64, CPU; 0 where nothing is inside, NaN where the pose is not finite.

    Raises:
        ValueError: an unknown value of an option, or one that the mode or engine does not support.
    """
    depth = _depth(direction, reduce, certify, engine, mode)
    found = torch.full((len(grasps),), torch.nan, dtype=torch.float64)
    for index in torch.nonzero(grasps.valid).squeeze(1).split(_BATCH):
        if len(index):  # an empty tensor splits into itself
            found[index] = depth(grasps if len(index) == len(grasps) else grasps[index])
    return found


def _depth(direction: str, reduce: str, certify: bool, engine: str, mode: str) -> Callable[[PosedGrasps], Tensor]:
    """The function of valid grasps selected by the options."""
    given = {"direction": direction, "reduce": reduce, "engine": engine, "mode": mode}
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise ValueError(f"{name}: expected one of {' | '.join(_CHOICES[name])}, found {value!r}")
    if (engine, mode) == ("distance", "exact"):
        return _exact(direction, reduce, certify)
    changed = [name for name, value in given.items() if value != _CHOICES[name][0]]
    if len(changed) > 1 or certify:
        alone = f"{changed[-1]}={given[changed[-1]]!r}"
        others = [*changed[:-1], *(["certify"] if certify else [])]
        raise ValueError(f"{others[0]}: expected its default with {alone}, which has no such option")
    if engine == "contact":
        from .simulation import contact_depth

        return contact_depth
    return partial(vertex_depth, per_metre=1.0 if mode == "legacy_gtta" else 1000.0)


def _exact(direction: str, reduce: str, certify: bool) -> Callable[[PosedGrasps], Tensor]:
    if reduce == "mean" and certify:
        raise ValueError("certify: expected False with reduce='mean', which is a mean over samples")
    there = mean_depth_in_object if reduce == "mean" else partial(hand_in_object, certify=certify)
    back = mean_depth_in_hand if reduce == "mean" else object_in_hand
    if direction == "max":
        return lambda grasps: torch.maximum(there(grasps), back(grasps))
    return there if direction == "hand_to_object" else back
