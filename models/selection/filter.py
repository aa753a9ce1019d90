"""Filter of grasps: keeps those that touch the object with enough of the hand, hardly penetrate, and resist pushes.

RealDex (Liu et al., IJCAI 2024, section 4.2) drops "unstable grasps with insufficient contact" without numbers; the
limits here are ours. Each can be changed or switched off, and reports how many grasps it drops.
"""

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
"""Name of the palm as a part of a hand."""


@dataclass(frozen=True)
class Selection:
    """Result of a filter on B grasps, and why grasps were dropped.

    Attributes:
        kept: (B,), bool, whether the grasp meets all active criteria.
        drops: (B,), bool, by criterion, True if the grasp fails it, regardless of the other criteria.
    """

    kept: Tensor
    drops: Mapping[str, Tensor]

    def rates(self) -> dict[str, float]:
        """Share of grasps that are dropped, by the filter ("all") and by each criterion alone; NaN without grasps."""
        flags = {"all": ~self.kept, **self.drops}
        return {name: float(dropped.double().mean()) for name, dropped in flags.items()}


@dataclass(frozen=True)
class GraspFilter:
    """Criteria of a usable grasp; None switches one off. A pose that is not finite fails all active ones.

    Attributes:
        min_fingers: number of other fingers and palm that have to touch the object in addition to the thumb, which also
            has to ("contact").
        contact_threshold: metres, largest distance at which a part counts as touching.
        max_penetration: metres, largest depth of the hand in the object ("penetration").
        min_q1: value that Q1 has to exceed ("q1"); 0 requires force closure.
        max_self_penetration: metres, largest overlap of two links that are not neighbours ("self_penetration").
        max_displacement: metres, largest distance that the object moves in `metrics.SimDisplacement`
            ("displacement").
        thumb: name of the thumb's fingertip in the hand's YAML; None takes the digit that points away from the others.

    Raises ValueError: a setting is negative or not a number.
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
        """Checks B grasps of one object against all active criteria.

        Contacts, Q1 and the simulation are computed once and shared with `metrics.columns.grasp_errors` of the same
        grasps.
        Raises ValueError: `thumb` is not a fingertip of the hand, or `min_fingers` exceeds the number of parts.
        """
        drops: dict[str, Tensor] = {}  # `~(... <= limit)` and not `... > limit`: a missing value fails
        if self.min_fingers is not None:
            drops["contact"] = ~self._enough_contact(grasps, self.min_fingers)
        criteria = (
            ("penetration", PenetrationDepth, torch.le, self.max_penetration),
            ("q1", Q1, torch.gt, self.min_q1),
            ("self_penetration", SelfIntersectionDepth, torch.le, self.max_self_penetration),
            ("displacement", SimDisplacement, torch.le, self.max_displacement),
        )
        for name, metric, passes, limit in criteria:
            if limit is not None:
                drops[name] = ~passes(metric().measure(grasps), limit)
        kept = ~torch.stack([torch.zeros(len(grasps), dtype=torch.bool), *drops.values()]).any(0)
        return Selection(kept, drops)

    def _enough_contact(self, grasps: PosedGrasps, fingers: int) -> Tensor:
        """(B,), bool: whether the thumb and enough of the other fingers and the palm are near the object."""
        touching = parts_in_contact(grasps, self.contact_threshold)
        thumb = find_thumb(grasps.hand) if self.thumb is None else self.thumb
        if thumb not in touching or thumb == PALM:
            tips = ", ".join(grasps.hand.fingertip_names)
            raise ValueError(f"thumb: expected a fingertip of {grasps.hand.name!r}, one of {tips}, found {thumb!r}")
        others = [touches for name, touches in touching.items() if name != thumb]
        if fingers > len(others):
            raise ValueError(
                f"min_fingers: expected at most {len(others)}, the parts of {grasps.hand.name!r} other than its "
                f"thumb, found {fingers}"
            )
        return touching[thumb] & (torch.stack(others).sum(0) >= fingers)


def parts_in_contact(grasps: PosedGrasps, threshold: float = 0.005) -> dict[str, Tensor]:
    """Whether each part of the hand touches the object: within the threshold of its surface, or inside.

    `grasps`: B grasps; `threshold`: metres. Returns (B,), bool, by name: each fingertip's digit, and `PALM` for the
    palm links.
    """
    found = grasps.once("contact", contact)  # shared with `metrics.grasp`; the distances do not depend on the threshold
    return {
        name: (found.link_distance[:, torch.isin(found.link, torch.tensor(links))] <= threshold).any(1)
        for name, links in parts(grasps.hand).items()
    }


def parts(hand: Hand) -> dict[str, tuple[int, ...]]:
    """Links of each part of a hand: for each fingertip the links from it up to the palm, and for `PALM` the palm links.

    Links shared by two digits, and the root, belong to no digit.
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
