"""Suggestions for a mistyped name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_ENOUGH = 0.6  # of 1, similarity from which on two names may have been confused


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar of the known names, ignoring case; None if none is similar.

    A dotted name may also match by its last part: "max_epoch" finds "trainer.max_epochs".
    """

    def similarity(candidate: str) -> float:
        one, other = name.lower(), candidate.lower()
        pairs = [(one, other), (one.rpartition(".")[2], other.rpartition(".")[2])]
        whole, last = (SequenceMatcher(None, *pair).ratio() for pair in pairs)
        return max(whole, 0.95 * last)

    best = max(map(str, known), key=similarity, default=None)
    return best if best is not None and similarity(best) >= _ENOUGH else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name, "; did you mean 'x'?", or nothing."""
    match = nearest(name, known)
    return f"; did you mean {match!r}?" if match else ""
