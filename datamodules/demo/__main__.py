"""Command line of the demo data: `python -m dexzoo.datamodules.demo generate|export --out DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...geometry.progress import shown
from ..errors import DataError
from .export import export
from .generate import generate


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and runs it."""
    parser = argparse.ArgumentParser(prog="python -m dexzoo.datamodules.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("generate", help="find and test grasps of the demo objects; a few minutes, resumable")
    make.add_argument("--out", type=Path, required=True, help="folder for grasps.npz and the finished parts")
    make.add_argument("--hand", default="shadow", help="name of a hand, or the path of its YAML")
    make.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="grasps are shared out over them")
    make.add_argument("--per-object", type=int, default=40, help="grasps wanted of each object")
    make.add_argument("--steps", type=int, default=300, help="annealing steps; 200 to 400 are sensible")
    make.add_argument("--objects", nargs="+", help="only these objects")
    write = commands.add_parser("export", help="write the shipped grasps and meshes as files; a second")
    write.add_argument("--out", type=Path, required=True, help="folder for grasps.npz and meshes/<object>.obj")
    write.add_argument("--objects", nargs="+", help="only these objects")
    given = parser.parse_args(arguments)
    if given.command == "export":
        _export(given.out, given.objects)
        return
    with shown():
        path = generate(given.out, given.hand, given.seeds, given.per_object, given.steps, given.objects)
    print(f"wrote {path}; use it with data.grasps={path}")


def _export(out: Path, objects: list[str] | None) -> None:
    try:
        with shown():
            grasps, meshes = export(out, objects)
    except DataError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {grasps} and {meshes}; measure the grasps with")
    print(f"  python -m dexzoo.metrics evaluate {grasps} --mesh {meshes} --out {out / 'results'}")


if __name__ == "__main__":
    main()
