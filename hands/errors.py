"""What can be wrong with a hand, a posture, or a request to one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HandError(ValueError):
    """Base of the errors of this folder."""


class HandSpecError(HandError):
    """The YAML of a hand, or the model file it names, does not say what it has to."""


class JointLimitError(HandError):
    """A joint is outside its range."""


class ConversionError(HandError):
    """A pose cannot be expressed on another hand."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Ends an error message: the known name that `name` most likely meant, and all that exist."""
    known = [str(k) for k in known]
    lowered = {k.lower(): k for k in reversed(known)}
    close = get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.5)
    hint = f"did you mean {lowered[close[0]]!r}? " if close else ""
    return f"{hint}there are: {', '.join(known)}"
