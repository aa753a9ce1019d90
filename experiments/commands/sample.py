"""`dexzoo sample`: `dexzoo run task=sample`."""

from . import run


def main(arguments: list[str]) -> None:
    """`run.main` with the task chosen."""
    run.main(["task=sample", *arguments])
