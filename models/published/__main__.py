"""Command line of the published networks: `python -m dexzoo.models.published FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .checkpoints import CheckpointError, load_official
from .identify import NETWORKS, identify


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and runs it; 0 where every file is a published network and loads, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m dexzoo.models.published",
        description="Says which published network a file of weights is, and loads it strictly.",
        epilog="Known are: " + "; ".join(NETWORKS) + ".",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="written by torch.save; runs no code")
    return max(_show(path) for path in parser.parse_args(arguments).files)


def _show(path: Path) -> int:
    try:
        match = identify(path)
        if match.differences:
            print(match)
            return 1
        print(f"{load_official(path, NETWORKS[match.name](), name=match.name)}\n  network: {match.name}")
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
