"""Commands of the pipeline, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments.in_process import run_here

TINY = [
    *("model=grasp_cvae", "model.network.contact=null", "model.loss.contact=0", "model.network.latent=2"),
    *("+model.network.widths=[8,8]", "+model.network.hidden=[16,16]", "model.network.n_hand_points=16"),
]
"""A model that draws in no time, badly."""

DATA = ["data.objects=[mug,bottle,jar]", "data.n_object_points=128", "data.min_grasps_per_epoch=0"]

SHORT = ["refine.steps=3", "refine.reach=0.3", "runs=runs"]


def refused(capsys, *args: str) -> str:
    """What a command says before it ends with status 1."""
    with pytest.raises(SystemExit):
        run_here(*args)
    return capsys.readouterr().err


def only_run(root: Path, name: str) -> Path:
    """The one run folder of a name."""
    (folder,) = (root / "runs" / name).iterdir()
    return folder
