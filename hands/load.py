"""Makes a hand, of any kind, from its YAML."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from .hand import Hand
from .mano import ManoHand, read_mano_spec
from .mano_model import ENVIRONMENT
from .spec import find_spec_file, read_spec, read_yaml


def load_hand(name: str | Path) -> Hand:
    """A hand by name (`shadow`, `shadow_e3m5`, `mano`, `mano_skeleton`) or from the path of a YAML file.

    The files are read once per process; every call returns a Hand of its own, so moving one to a device or dtype
    leaves the others alone.

    Raises:
        HandSpecError: no such hand, or something in its YAML or model file is wrong.
    """
    file = find_spec_file(name)
    return _read_once(file, file.stat().st_mtime_ns, os.environ.get(ENVIRONMENT))()


@lru_cache(maxsize=32)
def _read_once(file: Path, modified: int, environment: str | None) -> Callable[[], Hand]:
    """Makes hands of what the file says; `modified` and `environment` only tell one reading from another."""
    content = read_yaml(file)
    if content["kind"] == "mano":
        return partial(ManoHand, read_mano_spec(content, file))
    return partial(Hand, read_spec(content, file))
