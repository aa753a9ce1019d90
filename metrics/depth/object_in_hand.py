"""Depth of an object's surface in a hand's capsules and boxes."""

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.products import compose
from .hand_in_object import TOLERANCE, Frames


def object_in_hand(grasps: PosedGrasps) -> Tensor:
    """Depth of the deepest point of the object's surface in the hand, within any single primitive.

    In a capsule it is the radius minus the least distance of the axis from the surface; in a box it has a closed form
    for every triangle. Gives (B,), metres, float64, at most `TOLERANCE` below the largest depth; 0 where no point is
    inside. The poses must be finite.
    """
    from .object_in_hand_kernel import deepest, wp

    frames, best = Frames.of(grasps), torch.zeros(len(grasps))
    capsules, boxes = (x.to("cpu", torch.float64) for x in (grasps.hand.capsules, grasps.hand.boxes))
    unit = frames.unit[:, None]
    arrays = [
        (frames.place(capsules.link, capsules.start), wp.vec3),
        (frames.place(capsules.link, capsules.end), wp.vec3),
        (capsules.radius * unit, wp.float32),
        (frames.place(boxes.link, boxes.centre), wp.vec3),
        (compose(frames.rotation[:, boxes.link], boxes.rotation), wp.mat33),
        (boxes.half * unit[..., None], wp.vec3),
        (TOLERANCE * frames.unit, wp.float32),
    ]
    inputs = [
        wp.array(x.float().contiguous().numpy(), dtype=kind, ndim=min(x.ndim, 2), device="cpu") for x, kind in arrays
    ]
    solid = grasps.object.distance.search.solid("cpu")
    wp.launch(deepest, len(grasps), [solid, *inputs, wp.from_torch(best)], device="cpu")
    return best.double() / frames.unit
