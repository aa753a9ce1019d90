"""One grasp, many definitions: `dexzoo definitions --out docs [--root DIR]`.

Measures the same grasps by each definition that the field uses, on three kinds of meshes, draws
`metric_definitions.png` and writes the tables of `docs/metrics.md` (`table.json`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import trimesh
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ...geometry.progress import working
from ...grasps.posed import PosedGrasps
from ...metrics.functional.penetration import penetration_depth
from ...metrics.functional.simulation import sim_displacement
from ...metrics.functional.volumes import hand_object_volume
from ...metrics.tables import TextTable, console
from ...metrics.tool.table_file import write_table
from .metrics import demo_grasps, dexgraspnet_grasps

Definition = Callable[[PosedGrasps], Tensor]
Values = dict[tuple[str, str, str], NDArray[np.float64]]
"""Values of all grasps in the reported unit, by quantity, definition and kind of mesh."""

DEFINITIONS: dict[str, dict[str, Definition]] = {
    "depth, cm": {
        "exact": partial(penetration_depth, certify=True),
        "dexzoo default": penetration_depth,
        "object in hand": partial(penetration_depth, direction="object_to_hand"),
        "contacts of MuJoCo": partial(penetration_depth, engine="contact"),
        "vertices, ray parity in mm": partial(penetration_depth, mode="legacy_obman"),
        "vertices, ray parity in m": partial(penetration_depth, mode="legacy_gtta"),
    },
    "hand-object volume, cm³": {
        "dexzoo default (exact)": hand_object_volume,
        "solid voxels, 5 mm": partial(hand_object_volume, mode="voxel_solid"),
        "surface voxels, 5 mm": partial(hand_object_volume, mode="legacy_vox5"),
    },
    "displacement, cm": {
        "dexzoo default (MuJoCo, friction 3)": lambda grasps: sim_displacement(grasps).displacement,
        "friction 1": lambda grasps: sim_displacement(grasps, friction=1.0).displacement,
        "friction 0.6": lambda grasps: sim_displacement(grasps, friction=0.6).displacement,
        "mean of six directions": lambda grasps: sim_displacement(grasps, gravity="six").displacement,
        "PyBullet, triangle mesh hand": lambda grasps: sim_displacement(grasps, mode="legacy_bullet").displacement,
    },
}
TITLE = "The same grasps by each definition in use"
_PER_SI = {"depth, cm": 1e2, "hand-object volume, cm³": 1e6, "displacement, cm": 1e2}
_SMALL = 0.001  # metres, longest edge of the small triangles: about 0.2 mm^2, as in scans
_SLOW = 4  # one grasp of so many is measured on small triangles, where the scripts take ten seconds each


def mesh_kinds(root: Path | None, per_object: int) -> dict[str, list[PosedGrasps]]:
    """Grasps by the kind of mesh that their objects have."""
    clean = demo_grasps(per_object)
    kinds = {
        "demo data, clean mesh": clean,
        "demo data, small triangles": [_with_small_triangles(g[::_SLOW]) for g in clean],
    }
    if root is not None:
        kinds["DexGraspNet, convex pieces"] = dexgraspnet_grasps(root, per_object)
    return kinds


def _with_small_triangles(grasps: PosedGrasps) -> PosedGrasps:
    """The same object with triangles of a scan's size; its shape, solid and pieces do not change."""
    solid = grasps.object.solid
    vertices, faces, *_ = trimesh.remesh.subdivide_to_size(np.asarray(solid.vertices), np.asarray(solid.faces), _SMALL)
    fine = trimesh.Trimesh(vertices, faces, process=True)
    asset = replace(grasps.object, mesh=fine, key=f"{grasps.object.key}-fine")
    return PosedGrasps(grasps.hand, grasps.pose, asset, grasps.scales)


def measure(kinds: Mapping[str, Sequence[PosedGrasps]]) -> Values:
    """Every quantity by every definition on every kind of mesh."""
    found: Values = {}
    with working("measuring", len(kinds) * sum(map(len, DEFINITIONS.values()))) as measuring:
        for quantity, definitions in DEFINITIONS.items():
            for name, function in definitions.items():
                for kind, batches in kinds.items():
                    measuring.note(f"{name}: {kind}")
                    values = torch.cat([function(grasps) for grasps in batches])
                    found[quantity, name, kind] = _PER_SI[quantity] * values.numpy()
                    measuring.advance()
    return found


def text_lines(values: Values) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table: mean (median) over grasps."""
    kinds, cells = _kinds(values), []
    for quantity, name in dict.fromkeys((quantity, name) for quantity, name, _ in values):
        means = (f"{x.mean():.3f} ({np.median(x):.3f})" for x in (values[quantity, name, kind] for kind in kinds))
        cells.append([quantity, name, *means])
    return ["quantity", "definition", *kinds], cells


def _kinds(values: Values) -> list[str]:
    return list(dict.fromkeys(kind for _, _, kind in values))


def draw(values: Values, path: Path) -> None:
    """One panel per quantity, one dot per grasp, the mean as a bar."""
    kinds = _kinds(values)
    figure = Figure(figsize=(8, 10), layout="constrained")
    heights = [len(definitions) for definitions in DEFINITIONS.values()]
    panels = figure.subplots(len(DEFINITIONS), 1, gridspec_kw={"height_ratios": heights})
    rng = np.random.default_rng(0)
    for ax, (quantity, definitions) in zip(panels, DEFINITIONS.items(), strict=True):
        for row, name in enumerate(definitions):
            for k, kind in enumerate(kinds):
                x = values[quantity, name, kind]
                y = row + 0.25 * (k - (len(kinds) - 1) / 2)
                ax.plot(x, y + rng.uniform(-0.07, 0.07, len(x)), ".", ms=4, alpha=0.5, c=f"C{k}", mew=0)
                ax.plot([x.mean()] * 2, [y - 0.11, y + 0.11], c=f"C{k}", lw=2.5, label=None if row else kind)
        ax.set(xlabel=quantity, yticks=range(len(definitions)), yticklabels=list(definitions))
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set_xlim(left=0)
        ax.invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncol=len(kinds))
    figure.savefig(path, dpi=120)


def compare_definitions(out: Path, root: Path | None = None, per_object: int = 20) -> None:
    """Measures `per_object` grasps of each of three objects, prints, draws and writes the picture and table.json into
    `out`; DexGraspNet's folder `root` gives a third kind of mesh.
    """
    values = measure(mesh_kinds(root, per_object))
    out.mkdir(parents=True, exist_ok=True)
    draw(values, out / "metric_definitions.png")
    headings, cells = text_lines(values)
    write_table(out, TITLE, headings, cells, ", ".join(headings[2:]))
    console().print(TextTable(TITLE, "mean (median) over grasps", headings, cells, left=(0, 1)))
