"""MultiDex (Li et al., ICRA 2023): grasps of everyday objects by five hands; only the Shadow hand is read."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files.errors import BadFile
from ...files.unpickle import UnsafePickleError
from ...geometry.rotations import rot6d_to_rotmat, rotvec_to_rotmat
from ...grasps.grasp_set import GraspSet
from ...grasps.meshes import find_mesh
from ...hands.hand import Hand
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ...hands.products import compose, rotate
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
_FINGERS = {"FF": 4, "MF": 4, "RF": 4, "LF": 5, "TH": 5}
JOINTS = ("WRJ2", "WRJ1", *(f"{f}J{k}" for f, n in _FINGERS.items() for k in range(n, 0, -1)))
"""Joints of q[9:], in the order of the robot's chain."""
_WRIST, _PALM = (0.0, -0.010, 0.21301), (0.0, 0.0, 0.034)
"""metres: the wrist in the forearm's frame, the palm in the wrist's."""

_Entries = dict[str, tuple[list[int], Tensor]]


def pose_of_q(q: Tensor) -> HandPose:
    """Pose of the real Shadow hand (`shadow_e3m5`) from MultiDex's vectors (n, 33), metres and radians.

    The numbers are known: translation 3, first two columns of the rotation 6, 24 joints of the robot's chain, including
    the wrist. It is inferred that the pose is that of the forearm, the root of that chain, and that the wrist joints
    come first; samples are flagged `assumed_forearm_root`.
    """
    hand = load_hand("shadow_e3m5")
    rotation, joints = rot6d_to_rotmat(q[:, 3:9]), dict(zip(JOINTS, q[:, 9:].unbind(1), strict=True))
    wrist = rotate(rotation, q.new_tensor(_WRIST).expand(len(q), 3)) + q[:, :3]
    rotation = compose(rotation, _turn(joints["WRJ2"], 1))
    palm = rotate(rotation, q.new_tensor(_PALM).expand(len(q), 3)) + wrist
    rotation = compose(rotation, _turn(joints["WRJ1"], 0))
    return HandPose(palm, rotation, torch.stack([joints[name] for name in hand.joint_names], dim=1), hand.name)


class MultiDex(GraspFolder):
    """Grasps of 58 objects (ContactDB, YCB) in metres, palm pose and joints converted from the robot's chain.

    See `pose_of_q` for what is inferred; each sample is flagged `assumed_forearm_root`. `root` holds
    `MultiDex/shadowhand/shadowhand.pt` and `object`; `hand` is "shadow", or another one to which `shadow_e3m5` maps;
    see `GraspFolder` for the rest.
    """

    title = "MultiDex"
    dataset = "multidex"

    def __init__(self, root: str | Path | None = None, hand: str = "shadow", **options: Any) -> None:
        super().__init__(root, hand, **options)
        self.form = Format("multidex-1", _read, lambda _: ("assumed_forearm_root",))

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


def _read(source: Source, hand: Hand) -> GraspSet:
    rows, q = _entries(source.files[0])[source.name]
    pose = load_hand("shadow_e3m5").convert(pose_of_q(q), hand)
    return GraspSet(source.name, pose, torch.ones(len(q), dtype=torch.float64), torch.tensor(rows), source.files)


def _find_mesh(root: Path, name: str) -> Path:
    """`contactdb/apple/apple.stl` for "contactdb+apple"."""
    folder = name.replace("+", "/")
    file = root / folder / f"{folder.rpartition('/')[2]}.stl"
    return file if file.is_file() else find_mesh(root, folder)


def _turn(angle: Tensor, axis: int) -> Tensor:
    return rotvec_to_rotmat(torch.nn.functional.one_hot(torch.tensor(axis), 3).to(angle) * angle[:, None])


def _entries(file: Path) -> _Entries:
    return _entries_of(file, signature([file]))


@lru_cache(maxsize=2)
def _entries_of(file: Path, _: str) -> _Entries:
    """Rows and vectors (n, 33), float64, of each object."""
    content = _load(partial(torch.load, file, map_location="cpu", weights_only=True), file)
    entries = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        what = f"keys {', '.join(map(str, content))[:80]}" if isinstance(content, dict) else type(content).__name__
        raise BadFile(file, "a dict with a list of grasps", what, key="metadata")
    found: dict[str, tuple[list[int], list[Tensor]]] = {}
    for row, entry in enumerate(entries):
        name, q = _entry(file, row, entry)
        rows, vectors = found.setdefault(name, ([], []))
        rows.append(row)
        vectors.append(q)
    return {name: (rows, torch.stack(vectors)) for name, (rows, vectors) in found.items()}


def _entry(file: Path, row: int, entry: Any) -> tuple[str, Tensor]:
    parts = list(entry) if isinstance(entry, tuple | list) else []
    name = next((part for part in parts[1:] if isinstance(part, str)), None)
    if name is None:
        raise BadFile(file, "(q, object name)", f"{type(entry).__name__}", key=f"metadata, row {row}")
    try:
        q = torch.as_tensor(parts[0], dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadFile(file, "33 numbers", type(parts[0]).__name__, key=f"metadata, row {row}, q") from error
    if len(q) != 9 + len(JOINTS):
        hint = "is it another hand? Only shadowhand is supported"
        raise BadFile(file, "33 numbers", str(len(q)), key=f"metadata, row {row}, q", hint=hint)
    return name, q


def _load(load: Callable[[], Any], file: Path) -> Any:
    try:
        return load()
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise UnsafePickleError(f"{file}: refused to load more than tensors and plain values") from error
        raise BadFile(file, "a file of torch.save", "a damaged one") from error
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(file, "a file of torch.save", f"a damaged one ({type(error).__name__})") from error
