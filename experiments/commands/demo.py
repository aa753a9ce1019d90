"""`dexzoo demo`: writes the shipped demo grasps and their meshes as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes them and says how to measure them."""
    given = parser().parse_args(arguments)
    from ..commandline.explain import plain_errors

    plain_errors(_export)(given.out, given.objects)


def _export(out: Path, objects: Sequence[str] | None) -> None:
    from ...datamodules.demo.export import export

    grasps, meshes = export(out, objects)
    print(f"wrote {grasps} and {meshes}; measure the grasps with")
    print(f"  dexzoo evaluate {grasps} --mesh {meshes} --out {out / 'results'}")


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    about = "Writes the shipped demo grasps and the meshes of their objects as files; a second."
    command = argparse.ArgumentParser(prog="dexzoo demo", description=about)
    command.add_argument("--out", type=Path, required=True, help="folder for grasps.npz and meshes/<object>.obj")
    command.add_argument("--objects", nargs="+", help="only these objects")
    return command
