"""Keeps the grasps that touch the object with enough of the hand, hardly penetrate and can resist a push.

RealDex (Liu et al., IJCAI 2024, section 4.2) drops "unstable grasps with insufficient contact" and gives no numbers;
the limits here are ours, each can be changed or switched off, and each reports how many grasps it drops by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.anatomy import Anatomy
from ...hands.hand import Hand
from ...metrics.functional.contact import contact
from ...metrics.grasp import Q1, PenetrationDepth, SelfIntersectionDepth, SimDisplacement

PALM = "palm"
"""Name of the palm among the parts of a hand."""


@dataclass(frozen=True)
class Selection:
    """Which of B grasps a filter keeps, and why not the others.

    Attributes:
        kept: (B,), bool, the grasp meets every criterion that is on.
        drops: (B,), bool, by criterion, True where the grasp fails it, whatever the other criteria say.
    """

    kept: Tensor
    drops: Mapping[str, Tensor]

    def rates(self) -> dict[str, float]:
        """Share of the grasps that are dropped: by the filter ("all") and by each criterion alone; NaN of none."""
        flags = {"all": ~self.kept, **self.drops}
        return {name: float(dropped.double().mean()) for name, dropped in flags.items()}


@dataclass(frozen=True)
class GraspFilter:
    """Criteria of a usable grasp; None switches one off. A pose that is not finite fails all that are on.

    Attributes:
        min_fingers: parts of the hand, of the other fingers and the palm, that have to touch the object beside the
            thumb, which has to as well ("contact").
        contact_threshold: metres, largest distance at which a part touches.
        max_penetration: metres, largest depth of the hand in the object ("penetration").
        min_q1: what Q1 has to exceed ("q1"); 0 asks for force closure.
        max_self_penetration: metres, largest overlap of two links that are no neighbours ("self_penetration").
        max_displacement: metres, largest distance that the object moves in `metrics.SimDisplacement`
            ("displacement").
        thumb: name of the thumb's fingertip in the hand's YAML; None takes the digit that points away from the others.

    Raises:
        ValueError: a setting is negative or no number.
    """

    min_fingers: int | None = 2
    contact_threshold: float = 0.005
    max_penetration: float | None = 0.005
    min_q1: float | None = 0.0
    max_self_penetration: float | None = 0.005
    max_displacement: float | None = None
    thumb: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "thumb" and value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected a number of at least 0, or null for no such limit, found {value}")

    def __call__(self, grasps: PosedGrasps) -> Selection:
        """Measures B grasps of one object against every criterion that is on.

        Contacts, Q1 and the simulation are made once, for `metrics.columns.grasp_errors` of the same grasps too.

        Raises:
            ValueError: `thumb` is no fingertip of the hand, or `min_fingers` more than it has.
        """
        drops: dict[str, Tensor] = {}  # `~(... <= limit)` and not `... > limit`: a missing value fails
        if self.min_fingers is not None:
            drops["contact"] = ~self._enough_contact(grasps, self.min_fingers)
        if self.max_penetration is not None:
            drops["penetration"] = ~(PenetrationDepth().measure(grasps) <= self.max_penetration)
        if self.min_q1 is not None:
            drops["q1"] = ~(Q1().measure(grasps) > self.min_q1)
        if self.max_self_penetration is not None:
            drops["self_penetration"] = ~(SelfIntersectionDepth().measure(grasps) <= self.max_self_penetration)
        if self.max_displacement is not None:
            drops["displacement"] = ~(SimDisplacement().measure(grasps) <= self.max_displacement)
        kept = ~torch.stack([torch.zeros(len(grasps), dtype=torch.bool), *drops.values()]).any(0)
        return Selection(kept, drops)

    def _enough_contact(self, grasps: PosedGrasps, fingers: int) -> Tensor:
        """(B,), bool: the thumb and enough of the other fingers and the palm are near the object."""
        touching = parts_in_contact(grasps, self.contact_threshold)
        thumb = find_thumb(grasps.hand) if self.thumb is None else self.thumb
        if thumb not in touching or thumb == PALM:
            tips = ", ".join(grasps.hand.fingertip_names)
            raise ValueError(f"thumb: expected a fingertip of {grasps.hand.name!r}, one of {tips}, found {thumb!r}")
        others = [touches for name, touches in touching.items() if name != thumb]
        if fingers > len(others):
            raise ValueError(
                f"min_fingers: expected at most {len(others)}, the parts that {grasps.hand.name!r} has beside its "
                f"thumb, found {fingers}"
            )
        return touching[thumb] & (torch.stack(others).sum(0) >= fingers)


def parts_in_contact(grasps: PosedGrasps, threshold: float = 0.005) -> dict[str, Tensor]:
    """Which parts of the hand touch the object: within the threshold of its surface, or inside.

    Args:
        grasps: B grasps.
        threshold: metres.

    Returns:
        (B,), bool, by name: each fingertip's digit, and `PALM` for the palm links.
    """
    found = grasps.once("contact", contact)  # as `metrics.grasp` makes it; the distances know no threshold
    return {
        name: (found.link_distance[:, torch.isin(found.link, torch.tensor(links))] <= threshold).any(1)
        for name, links in parts(grasps.hand).items()
    }


def parts(hand: Hand) -> dict[str, tuple[int, ...]]:
    """Links of each part of a hand: by fingertip the links from it up to the palm, and by `PALM` the palm links.

    A link that two digits share, or the root, belongs to no digit.
    """
    tree, palm = hand.spec.tree, hand.spec.palm_links
    chains: dict[str, list[str]] = {}
    for tip, (name, _) in hand.spec.fingertips.items():
        chains[tip] = []
        link = tree[name]
        while link.parent is not None and link.name not in palm:
            chains[tip].append(link.name)
            link = tree[link.parent]
    counts = [name for chain in chains.values() for name in chain]
    own = {tip: [name for name in chain if counts.count(name) == 1] for tip, chain in chains.items()}
    indices = {name: i for i, name in enumerate(hand.link_names)}
    return {tip: tuple(indices[name] for name in names) for tip, names in {**own, PALM: list(palm)}.items()}


def find_thumb(hand: Hand) -> str:
    """Name of the fingertip of the thumb: the digit of the flat hand that points away from the others."""
    return hand.fingertip_names[Anatomy.of(hand).thumb]
