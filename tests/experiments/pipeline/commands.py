"""Commands of the pipeline, run in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from dexzoo.experiments import run

TINY = [
    *("model=grasp_cvae", "model.network.contact=null", "model.loss.contact=0", "model.network.latent=2"),
    *("+model.network.widths=[8,8]", "+model.network.hidden=[16,16]", "model.network.n_hand_points=16"),
]
"""A model that draws in no time, badly."""

DATA = ["data.objects=[mug,bottle,jar]", "data.n_object_points=128", "data.min_grasps_per_epoch=0"]

SHORT = ["refine.steps=3", "refine.reach=0.3", "runs=runs"]


def command(*args: str) -> None:
    """Runs the command in this process, in the current folder."""
    sys.argv = ["run.py", *args]
    try:
        run.main()
    finally:
        GlobalHydra.instance().clear()


def refused(capsys, *args: str) -> str:
    """What a command says before it ends with status 1."""
    with pytest.raises(SystemExit):
        command(*args)
    return capsys.readouterr().err


def only_run(root: Path, name: str) -> Path:
    """The one run folder of a name."""
    (folder,) = (root / "runs" / name).iterdir()
    return folder
