"""A run that trains a tiny network in this process."""

from pathlib import Path

from tests.experiments.in_process import run_here

TINY = [
    "experiment=smoke",
    "model.network.n_points=8",
    "model.network.n_object_points=16",
    "model.network.hidden=32",
]
"""A network that trains in no time."""


def command(*args: str) -> None:
    """Runs the command in this process, in the current folder."""
    run_here(*args, *TINY)


def only_run(root: Path, name: str = "smoke") -> Path:
    """The one run folder of a name."""
    (folder,) = (root / "runs" / name).iterdir()
    return folder
