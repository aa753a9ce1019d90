"""Errors about hands, postures and conversions."""

from __future__ import annotations

from collections.abc import Iterable

from ..files import names


class HandError(ValueError):
    """Base of the errors of this folder."""


class HandSpecError(HandError):
    """The YAML of a hand, or the model file that it names, is invalid."""


class JointLimitError(HandError):
    """A joint is outside its range."""


class ConversionError(HandError):
    """A pose cannot be expressed on another hand."""


def nearest(name: str, known: Iterable[str]) -> str:
    """End of an error message: the known name that `name` most likely meant, and all available ones."""
    known = [str(k) for k in known]
    match = names.nearest(str(name), known)
    hint = f"did you mean {match!r}? " if match else ""
    return f"{hint}available: {', '.join(known)}"
