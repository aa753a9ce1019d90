"""Tensors that depend on a hand alone: computed once for each hand on each device, not at every step."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch

from .hand import Hand

_Result = TypeVar("_Result")


def once_per_hand(function: Callable[[Hand], _Result]) -> Callable[[Hand], _Result]:
    """Caches the function's result for a hand, on the device and in the dtype that the hand has at the time.

    The result must not refer to the hand, which would keep both alive, and must not be modified. It is computed outside
    inference mode, because training may need it later.
    """
    known: WeakKeyDictionary[Hand, dict[Any, _Result]] = WeakKeyDictionary()

    @wraps(function)
    def cached(hand: Hand) -> _Result:
        made = known.setdefault(hand, {})
        place = hand.lower.device, hand.lower.dtype
        if place not in made:
            with torch.inference_mode(False), torch.no_grad():
                made[place] = function(hand)
        return made[place]

    return cached
