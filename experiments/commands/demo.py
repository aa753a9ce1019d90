"""`dexzoo demo`: writes the shipped demo grasps and their meshes as files."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Writes them and says how to measure them."""
    about = "Writes the shipped demo grasps and the meshes of their objects as files; a second."
    command = ArgumentParser(prog="dexzoo demo", description=about)
    command.add_argument("--out", type=Path, required=True, help="folder for grasps.npz and meshes/<object>.obj")
    command.add_argument("--objects", nargs="+", help="only these objects")
    given = command.parse_args(arguments)
    from ...datamodules.demo.export import export
    from ..commandline.explain import plain_errors

    grasps, meshes = plain_errors(export)(given.out, given.objects)
    print(f"wrote {grasps} and {meshes}; measure the grasps with")
    print(f"  dexzoo evaluate {grasps} --mesh {meshes} --out {given.out / 'results'}")
