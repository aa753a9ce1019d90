"""The one command: `dexzoo VERB ...`, or `python -m dexzoo VERB ...`."""

import importlib
import sys
from collections.abc import Sequence

from dexzoo import __version__

from ..files.names import nearest
from .commandline.settings import wants_help

VERBS = {
    "run": "train and test a model, as `python experiments/run.py` does",
    "sample": "draw grasps of your own object from a trained model",
    "refine": "refine grasps of any method",
    "table3": "train or merge grasp models: RealDex, Table 3",
    "table4": "train or merge motion models: RealDex, Table 4",
    "report": "merge runs of motion models into one table",
    "sweep": "run a sweep file of Weights & Biases, offline too",
    "status": "say how far the runs of a table, a sweep or an experiment are",
    "bench": "time dexzoo against its peers",
    "evaluate": "measure grasps of a file: penetration, volumes, displacement, Q1, ...",
    "metrics": "list all metrics: unit, direction, definition, source",
    "definitions": "measure the same grasps by every definition in use",
    "hand": "check and draw a hand, shipped or yours",
    "identify": "say which published network a file of weights is",
    "doctor": "look at a data set: what is there, missing, broken",
    "download": "get a data set, or say how to get it",
    "prepare": "read a download of RealDex once, into small files",
    "synthesise": "find grasps of the demo objects, for any hand",
    "demo": "write the demo grasps and meshes as files",
}
"""Verb -> what it does. Each is a module of `commands`, imported when it is asked for."""
WRONG_COMMAND = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb by the arguments of the command line, None for those of the process; returns 0, or what the verb
    returns; 2 where there is no such verb.
    """
    verb, *given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if wants_help([verb]):
        print(usage())
        return 0
    if verb == "--version":
        print(f"dexzoo {__version__}")
        return 0
    if verb not in VERBS:
        print(unknown(verb, given), file=sys.stderr)
        return WRONG_COMMAND
    return importlib.import_module(f".commands.{verb}", __package__).main(given) or 0


def usage() -> str:
    """All verbs."""
    width = max(map(len, VERBS))
    lines = "\n".join(f"  {verb:<{width}}  {about}" for verb, about in VERBS.items())
    return (
        f"dexzoo {__version__}: a PyTorch Lightning model zoo for dexterous grasping\n\n"
        f"dexzoo VERB ...\n\n{lines}\n\n`dexzoo VERB --help` says what a verb takes"
    )


def unknown(verb: str, given: Sequence[str]) -> str:
    """The message about a verb that there is not; KEY=VALUE in its place was meant for a run."""
    if "=" in verb:
        return f"{verb}: expected a verb, found KEY=VALUE; did you mean dexzoo run {' '.join([verb, *given])}?"
    match = nearest(verb, VERBS)
    hint = f"; did you mean {match}?" if match else ""
    return f"{verb}: no such verb{hint}; there are {', '.join(VERBS)}"
