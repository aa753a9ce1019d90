"""Result rows of proposed grasps: metrics, verdicts of the filter, and the grasps themselves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.pose import HandPose
from ...metrics.columns import SPREADS, TABLE3, grasp_errors
from ..selection.filter import Selection

METRICS = (*TABLE3, "six_directions", "q1", "contact")
"""Metrics of proposed grasps: those of RealDex, Table 3, and of stability (`metrics.columns`)."""

GROUND_TRUTH = "ground truth"
"""Method name of the data set's own grasps, the floor of every error."""

NOTHING_FELT = "-"
"""`refine_fields` of grasps that were not refined; otherwise the field used by the refinement, "cloud" or "mesh"."""

KEPT = "kept_"
"""Prefix of columns that only include the candidates that the filter keeps."""


def evaluate_candidates(
    grasps: PosedGrasps, metrics: Sequence[str] = METRICS, legacy: bool = False, kept: Tensor | None = None
) -> dict[str, Tensor]:
    """Metrics of B candidates for one object, and their diversity.

    `grasps`: B candidates for one object. `metrics`: names in `metrics.columns.METRICS`. `legacy`: add the columns as
    computed by the field's scripts, under separate keys. `kept` (B,), bool, candidates that a filter keeps; adds their
    diversity under keys that begin with "kept_". Returns columns by key, (B,) float64, in the unit given by the key;
    NaN where a candidate has no value. The three columns `diversity_*` are the same for every candidate, because they
    describe the whole set; those of the kept ones are NaN for the others. Raises ValueError: an unknown metric, or
    `kept` of the wrong shape.
    """
    values = grasp_errors(grasps, metrics, legacy)
    everyone = torch.ones(len(grasps), dtype=torch.bool)
    values |= _diversity(grasps, everyone)
    if kept is not None:
        if kept.shape != (len(grasps),) or kept.dtype != torch.bool:
            found = f"{kept.dtype} of shape {tuple(kept.shape)}"
            raise ValueError(f"kept: expected bool, one per candidate, ({len(grasps)},), found {found}")
        values |= {f"{KEPT}{key}": value for key, value in _diversity(grasps, kept.cpu()).items()}
    return values


def rows(
    grasps: PosedGrasps,
    selection: Selection | None,
    labels: Mapping[str, Any],
    metrics: Sequence[str] = METRICS,
    legacy: bool = False,
    mesh: Path | None = None,
    scene: str = "",
) -> list[dict[str, Any]]:
    """One row of results per candidate, ready for results.parquet.

    Args:
        grasps: B candidates for one object at one scale.
        selection: verdicts of the filter; None keeps all.
        labels: columns that describe the origin of the candidates, at least `method` and `refine` ("off", "dexzoo");
            Table 3 needs `refine_fields` too.
        metrics, legacy: as for `evaluate_candidates`.
        mesh: file of the object, for pictures.
        scene: distinguishes candidates for one object at one scale on several tables; becomes part of `clip`.

    Returns rows with the labels; `hand`, `object` (the asset's name), `mesh`, `scale` (metres per unit of the mesh),
    `candidate` (0 to B - 1), `clip` (unique among the candidates of a method), `kept`, `drop_<criterion>` for each
    criterion of the filter, `pose` (see `pose_of_row`), and the metrics. Raises ValueError: a missing label, an unknown
    metric, or a selection of other grasps.
    """
    missing = {"method", "refine"} - set(labels)
    if missing:
        raise ValueError(f"labels: expected method and refine, found no {' and no '.join(sorted(missing))}")
    if selection is None:
        selection = Selection(torch.ones(len(grasps), dtype=torch.bool), {})
    pose = grasps.pose
    columns = {
        "scale": grasps.scales,
        "candidate": torch.arange(len(grasps)),
        "kept": selection.kept,
        **{f"drop_{name}": fails for name, fails in selection.drops.items()},
        "pose": torch.cat([pose.translation, pose.rotation.flatten(1), pose.joints], dim=1),
        **evaluate_candidates(grasps, metrics, legacy, selection.kept),
    }
    values = {name: column.tolist() for name, column in columns.items()}
    name = grasps.object.name
    common = {**labels, "hand": grasps.hand.name, "object": name, "mesh": None if mesh is None else str(mesh)}
    where = f"#{scene}" if scene else ""
    clips = [f"{name}@{scale:g}{where}/{b}" for b, scale in enumerate(values["scale"])]
    return [{**common, "clip": clip, **{k: v[b] for k, v in values.items()}} for b, clip in enumerate(clips)]


def pose_of_row(row: Mapping[str, Any]) -> HandPose:
    """The grasp of a row: a single HandPose, object frame, metres, float64.

    `pose` in the row contains translation 3, rotation 9 (by rows) and joints J.
    """
    numbers = torch.tensor(row["pose"], dtype=torch.float64)
    return HandPose(numbers[:3], numbers[3:12].unflatten(0, (3, 3)), numbers[12:], row["hand"])


def _diversity(grasps: PosedGrasps, among: Tensor) -> dict[str, Tensor]:
    """(B,) by key: the diversity of some of the grasps, NaN for the others."""
    nan = torch.full((len(grasps),), math.nan, dtype=torch.float64)
    some = grasps if among.all() else grasps[among]  # the same grasps share their forward kinematics
    return {column.key: torch.where(among, column().measure(some) * column.per_si, nan) for column in SPREADS}
