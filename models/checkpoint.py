"""Facts in a checkpoint about its weights, and checks that they fit a run."""

from collections.abc import Mapping
from typing import Any

from ..hands.hand import Hand

KEY = "dexzoo"
"""In a Lightning checkpoint: what follows."""


def facts_in(checkpoint: Mapping[str, Any], hand: Hand) -> dict[str, Any]:
    """Facts in a checkpoint about its weights.

    Raises ValueError: it was not made by dexzoo, or is of another hand or joint order.
    """
    facts = checkpoint.get(KEY)
    if facts is None:
        raise ValueError(f"not a dexzoo checkpoint: expected a key 'dexzoo', found {sorted(checkpoint)}")
    mine, theirs = list(hand.joint_names), facts["joint_names"]
    if facts["hand"] != hand.name or theirs != mine:
        raise ValueError(
            f"the checkpoint is for the hand {facts['hand']!r} with {len(theirs)} joints, this run uses "
            f"{hand.name!r} with {len(mine)}; run with hand={facts['hand']}"
        )
    return facts


def refuse_other_data(checkpoint: Mapping[str, Any], split_hash: str, kind: str) -> None:
    """Checks that a training can be resumed.

    `checkpoint`: what it goes on from; `split_hash`: of its data now; `kind`: of its data module, under whose name
    Lightning keeps how far it was. Raises ValueError: it began with other data, or the checkpoint does not say how far
    it was.
    """
    facts = checkpoint[KEY]
    if facts["split_hash"] != split_hash:
        raise ValueError(
            "the checkpoint was trained on another set or split of the data than this run has; resume with the "
            "data it began with, or start a new training from its weights with init_from=RUN"
        )
    if kind not in checkpoint:
        raise ValueError(
            f"the checkpoint does not say where its data stood: expected a state of {kind}, "
            f"found none (dexzoo {facts['version']}); start a new training from its weights with init_from=RUN"
        )
