"""`dexzoo sample`: `dexzoo run task=sample`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import run


def main(arguments: Sequence[str] | None = None) -> None:
    """`run.main` with the task chosen."""
    run.main(["task=sample", *(sys.argv[1:] if arguments is None else arguments)])
