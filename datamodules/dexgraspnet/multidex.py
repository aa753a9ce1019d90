"""MultiDex (Li et al., ICRA 2023): grasps of everyday objects by five hands; only the Shadow hand is read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ...grasps.grasp_set import GraspSet
from ...grasps.meshes import find_mesh
from ...grasps.packages import multidex_entries, pose_of_q
from ...hands.hand import Hand
from ...hands.load import load_hand
from ..errors import DatasetNotFound, Release, holds
from .index import Format, Source, signature
from .module import GraspFolder
from .tree import GraspTree, make_tree

RELEASE = Release(
    dataset="MultiDex",
    url="https://github.com/tengyu-liu/GenDexGrasp (MultiDex and the object meshes)",
    licence="none stated by the publishers: ask them before you redistribute anything",
    tree="""
<root>/MultiDex/shadowhand/shadowhand.pt
<root>/object/{contactdb,ycb}/<name>/<name>.stl
""",
    setting="root=/path/to/MultiDex, the folder that holds `MultiDex` and `object`",
)
_Entries = dict[str, tuple[list[int], Tensor]]


def _read(source: Source, hand: Hand) -> GraspSet:
    rows, q = _entries(source.files[0])[source.name]
    pose = load_hand("shadow_e3m5").convert(pose_of_q(q), hand)
    return GraspSet(source.name, pose, torch.ones(len(q), dtype=torch.float64), torch.tensor(rows), source.files)


class MultiDex(GraspFolder):
    """Grasps of 58 objects (ContactDB, YCB) in metres, palm pose and joints converted from the robot's chain.

    See `grasps.packages.pose_of_q` for what is inferred; each sample is flagged `assumed_forearm_root`. `root` holds
    `MultiDex/shadowhand/shadowhand.pt` and `object`; `hand` is "shadow", or another one to which `shadow_e3m5` maps;
    see `GraspFolder` for the rest.
    """

    title = "MultiDex"
    dataset = "multidex"
    form = Format("multidex-1", _read, lambda _: ("assumed_forearm_root",))

    def find(self) -> GraspTree:
        """The files; raises DatasetNotFound without grasps or a folder of meshes, BadFile if the grasps cannot be
        read.
        """
        base = RELEASE.folder(self.root)
        places = [base / f for f in ("MultiDex/shadowhand", "shadowhand", "data/MultiDex/shadowhand", ".")]
        file = next((p / "shadowhand.pt" for p in places if (p / "shadowhand.pt").is_file()), None)
        if file is None:
            raise DatasetNotFound(RELEASE, base, f"searched for MultiDex/shadowhand/shadowhand.pt; {holds(base)}")
        meshes = None
        if self.object_points != "none":
            meshes = next((p for p in (base / "object", base / "data" / "object") if p.is_dir()), None)
            if meshes is None:
                raise DatasetNotFound(RELEASE, base, "no folder object; object_points='none' reads grasps without")
        return make_tree(base, [(name, (file,)) for name in sorted(_entries(file))], None, meshes, _find_mesh)


def _find_mesh(root: Path, name: str) -> Path:
    """`contactdb/apple/apple.stl` for "contactdb+apple"."""
    folder = name.replace("+", "/")
    file = root / folder / f"{folder.rpartition('/')[2]}.stl"
    return file if file.is_file() else find_mesh(root, folder)


def _entries(file: Path) -> _Entries:
    return _entries_of(file, signature([file]))


@lru_cache(maxsize=2)
def _entries_of(file: Path, _: str) -> _Entries:
    return multidex_entries(file)
