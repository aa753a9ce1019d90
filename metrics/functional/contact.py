"""Contact between hand and object: contact points of each link, and the part of the hand that touches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from .nearest import NearestPoints, nearest_points


@dataclass(frozen=True)
class GraspContacts(NearestPoints):
    """One contact per link, at its deepest or nearest point; the fields of `NearestPoints` and one more."""

    mask: Tensor
    """(B, L'), bool, whether the link is within the threshold of the object, or inside."""


@dataclass(frozen=True)
class Contact:
    """Contact of a hand with an object; NaN or False for a pose that is not finite.

    Attributes:
        distance: (B,), metres, least distance of the hand's surface to the object's, negative where they overlap.
        in_contact: (B,), bool, whether the distance is within the threshold; the contact ratio is its mean.
        link_fraction: (B,), fraction of the links with a shape that are within the threshold.
        link: (L',), int64, index of those links in the hand.
        link_distance: (B, L'), metres, like `distance` for each.
    """

    distance: Tensor
    in_contact: Tensor
    link_fraction: Tensor
    link: Tensor
    link_distance: Tensor


def grasp_contacts(grasps: PosedGrasps, threshold: float = 0.01) -> GraspContacts:
    """The contact of each link: its point nearest to the object or deepest in it, and the corresponding point on the
    object. `threshold`, metres, at least 0, is the largest distance of a link that counts as contact.
    """
    if not 0 <= threshold < float("inf"):
        raise ValueError(f"threshold: expected metres, at least 0, found {threshold}")
    found = nearest_points(grasps)
    return GraspContacts(**vars(found), mask=found.distance <= threshold)


def contact(grasps: PosedGrasps, threshold: float = 0.005) -> Contact:
    """Whether, and with how many links, a hand touches an object.

    Contact as defined by GraspTTA, within 5 mm or inside (Jiang et al., "Hand-Object Contact Consistency Reasoning for
    Human Grasps Generation", ICCV 2021), but for the surface of the hand instead of the vertices of its mesh. The
    threshold is in metres, at least 0.
    """
    found = grasp_contacts(grasps, threshold)
    distance = found.distance.amin(1)
    fraction = torch.where(grasps.valid, found.mask.double().mean(1), torch.nan)
    return Contact(distance, distance <= threshold, fraction, found.link, found.distance)
