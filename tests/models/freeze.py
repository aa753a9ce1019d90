"""Outputs of every model of zoo.py, written down so that no change of them goes unseen: frozen.json.

    python -m tests.models.freeze             # adds what is new, drops what is gone
    python -m tests.models.freeze motionnet   # writes this one anew, after a change that is meant

A frozen test that fails says that weights of a seed, or what is computed from them, are no longer those of before: old
checkpoints and published numbers of the model no longer hold.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from dexzoo.hands.pose import HandPose
from tests.models.conftest import make_clips, make_windows
from tests.models.zoo import GRASP, MOTION
from tests.oracles.grasps import random_grasps, store_of

FILE = Path(__file__).with_name("frozen.json")


def frozen(name: str) -> Tensor:
    """What is written down of a model; the test fails with what to do where that is nothing."""
    known = json.loads(FILE.read_text())
    assert name in known, f"frozen.json: expected numbers of {name!r}; write them by `python -m tests.models.freeze`"
    return torch.tensor(known[name])


@torch.no_grad()
def motion_output(name: str) -> Tensor:
    """(2, 9 + J): last frames of two drawn motions."""
    task = MOTION[name].make().eval()
    clips = make_clips(task.hand, torch.Generator().manual_seed(3))
    batch = make_windows(clips)
    task.network.fit_statistics(clips, [batch])
    generator, count = torch.Generator().manual_seed(1), torch.full((8,), 12)
    pose = task.network.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps, generator)
    return _numbers(pose[:2, -1])


@torch.no_grad()
def grasp_output(name: str) -> Tensor:
    """(2, 9 + J): a drawn grasp of each of two objects."""
    task = GRASP[name].make().eval()
    grasps = random_grasps(task.hand, 8, torch.Generator().manual_seed(3))
    task.network.fit_statistics(store_of(grasps))
    return _numbers(task.network.sample(grasps.object_points[:2], 1, torch.Generator().manual_seed(1))[:, 0])


def _numbers(pose: HandPose) -> Tensor:
    """Translation 3, the first two columns of the rotation 6, joints J: no angle that could jump by 2 pi."""
    return torch.cat([pose.translation, pose.rotation[..., :2].flatten(-2), pose.joints], dim=-1)


def main(names: list[str]) -> None:
    """Writes frozen.json."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    unknown = set(names) - {*MOTION, *GRASP}
    if unknown:
        sys.exit(f"expected names of zoo.py, {', '.join([*MOTION, *GRASP])}, found {', '.join(sorted(unknown))}")
    kept = {}
    for name in (*MOTION, *GRASP):
        kept[name] = known.get(name)
        if name in names or name not in known:
            numbers = motion_output(name) if name in MOTION else grasp_output(name)
            kept[name] = [[round(x, 6) for x in row] for row in numbers.tolist()]
            far = "new" if name not in known else f"{(numbers - torch.tensor(known[name])).abs().max():.6f} away"
            print(f"{name}: {far}")
    rows = [f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in kept]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
