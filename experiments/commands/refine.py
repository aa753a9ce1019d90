"""`dexzoo refine`: `dexzoo run task=refine`."""

from . import run


def main(arguments: list[str]) -> None:
    """`run.main` with the task chosen."""
    run.main(["task=refine", *arguments])
