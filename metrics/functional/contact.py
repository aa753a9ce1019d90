"""Contact between hand and object: where each link touches, and how much of the hand does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from .nearest import NearestPoints, nearest_points


@dataclass(frozen=True)
class GraspContacts(NearestPoints):
    """One contact per link, at the link's deepest or nearest point; fields as `NearestPoints` and one more.

    Attributes:
        mask: (B, L'), bool, the link is within the threshold of the object, or inside.
    """

    mask: Tensor


@dataclass(frozen=True)
class Contact:
    """How a hand touches an object; NaN, and False, for a pose that is not finite.

    Attributes:
        distance: (B,), metres, least distance of the hand's surface to the object's, negative where they overlap.
        in_contact: (B,), bool, the distance is within the threshold; the contact ratio is its mean.
        link_fraction: (B,), fraction of the links that have a shape that are within the threshold.
        link: (L',), int64, index of those links in the hand.
        link_distance: (B, L'), metres, as `distance` for each.
    """

    distance: Tensor
    in_contact: Tensor
    link_fraction: Tensor
    link: Tensor
    link_distance: Tensor


def grasp_contacts(grasps: PosedGrasps, threshold: float = 0.01) -> GraspContacts:
    """The contact of each link: its point nearest to the object or deepest in it, and the object's there.

    Args:
        grasps: B grasps.
        threshold: of the distance, metres, for a link to count as a contact.

    Raises:
        ValueError: the threshold is not a number of at least 0.
    """
    _check_threshold(threshold)
    found = nearest_points(grasps)
    return GraspContacts(**vars(found), mask=found.distance <= threshold)


def contact(grasps: PosedGrasps, threshold: float = 0.005) -> Contact:
    """Whether, and with how many links, a hand touches an object.

    In contact as GraspTTA has it, within 5 mm or inside (Jiang et al., "Hand-Object Contact Consistency Reasoning for
    Human Grasps Generation", ICCV 2021), with the surface of the hand in place of the vertices of its mesh.

    Args:
        grasps: B grasps.
        threshold: metres.

    Raises:
        ValueError: the threshold is not a number of at least 0.
    """
    found = grasp_contacts(grasps, threshold)
    distance = found.distance.amin(1)
    fraction = torch.where(grasps.valid, found.mask.double().mean(1), torch.nan)
    return Contact(distance, distance <= threshold, fraction, found.link, found.distance)


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold < float("inf"):
        raise ValueError(f"threshold: expected metres, at least 0, found {threshold}")
