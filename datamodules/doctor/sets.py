"""The data sets that the doctor knows: their readers, published counts, and usual problems."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...files.errors import DataError, UnknownName
from ..base import SplitDataModule
from ..demo.module import DemoMotion
from ..dexgraspnet import DexGraspNet, MultiDex, UniDexGrasp
from ..download.guides import GUIDES, REALDEX_LIST
from ..errors import DatasetNotFound
from ..grab import GrabMotion
from ..realdex import RealDexMotion
from ..roots import default_hand
from .findings import OPTIMISED, RECORDED, Expected


@dataclass(frozen=True)
class Published:
    """Counts published by the authors; None if there are none."""

    objects: Mapping[str, int] = field(default_factory=dict)  # by part ("train", "val", "test", "all")
    items: Mapping[str, int] = field(default_factory=dict)  # grasps or clips, likewise
    remark: str = ""  # the things counted, in words; ends with "; "


@dataclass(frozen=True)
class DataSet:
    """A data set."""

    name: str  # as in `data=NAME`
    module: type[SplitDataModule]  # its reader
    hand: str  # the hand with which it is read by default
    items: str  # name of what is counted
    published: Published  # counts of its authors
    expected: Expected  # typical values of its grasps
    usual: Mapping[str, tuple[str, ...]]  # usual meanings of a bad verdict of each kind, see `Statistic.kind`

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of `data.KEY=VALUE`: arguments of the reader and of its base classes."""
        keys: dict[str, None] = {}
        for owner in self.module.__mro__:
            parameters = inspect.signature(owner.__init__).parameters if "__init__" in vars(owner) else {}
            keys |= {n: None for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
                break
        return tuple(key for key in keys if key not in ("self", "hand"))

    def make(self, hand: str | None, options: Mapping[str, Any]) -> SplitDataModule:
        """The reader, set to skip bad files and note them; `hand` None takes the data set's default, `options` are
        those of `data.`. Raises UnknownName, which gives the nearest, for an unknown key or value, DataError for
        another invalid value.
        """
        for key in options:
            if key not in self.keys:
                raise UnknownName(f"data={self.name}, data.{key}", key, self.keys)
        skip: dict[str, Any] = {"on_bad": "skip"} if "on_bad" in self.keys else {}
        try:
            return self.module(hand=hand or own_hand(self), **(skip | dict(options)))
        except TypeError as error:
            what = f"data={self.name}: expected values of the right kind"
            raise DataError(f"{what}, found {dict(options)}; {error}") from error

    def guide(self) -> str:
        """Instructions to get the data set, its licence, and its tree."""
        if self.name in GUIDES:
            return GUIDES[self.name].text()
        if "root" not in self.keys:
            return f"{self.module.title}\n  generated when first used: no download, no data.root"
        try:
            self.make(None, {}).load()
        except DatasetNotFound as error:
            lines = str(error).splitlines()[1:]
        else:
            raise DataError(f"{self.name}: expected that a reader without data.root finds nothing, but it did")
        how = f"\n  downloads    dexzoo download realdex --out DIR --list ...: {REALDEX_LIST}"
        return "\n".join([self.module.title, *lines]) + (how if self.name == "realdex" else "")


def own_hand(dataset: DataSet) -> str:
    """The hand of a data set; for GRAB without the MANO model the generic skeleton."""
    return default_hand() if dataset.hand == "mano" else dataset.hand


_POSE = (
    "Euler angles in the wrong order or about moving axes (DexGraspNet: static xyz, R = Rz Ry Rx)",
    "a transposed rotation, or an axis-angle taken for Euler angles",
    "a pose of the mount, forearm or wrist taken for that of the palm",
)
_SCALE = (
    "a scale not applied, or its reciprocal (DexGraspNet multiplies the mesh, UniDexGrasp's files hold 1 / scale)",
    "meshes and grasps of different downloads",
)
_JOINTS = ("joints in another order (names count from 0 in the MJCF, from 1 on the robot), other signs, or degrees",)
_STATIC = {"distance": (*_SCALE, *_POSE), "fingertips": (*_POSE, *_SCALE), "size": _SCALE, "limits": _JOINTS}
_TRACKED = (
    "quaternions in the wrong order (RealDex: x y z w)",
    "a transposed object rotation (GRAB rotates objects with row vectors, hands with columns)",
    "hand and object at different times, or in different worlds",
)
_UNITS = ("meshes in millimetres, or positions in them",)
_RATE = ("stamps in another unit than ns, dropped frames, or recordings of different cameras",)
_RECORDED = {"distance": (*_TRACKED, *_UNITS), "fingertips": _TRACKED, "size": _UNITS, "rate": _RATE}
_REALDEX = _RECORDED | {
    "fingertips": (*_TRACKED, "a palm taken from the forearm at zero wrist (data.poses=tf reads the wrist)"),
    "limits": ("joints of the MJCF taken for the robot's (URDF names and signs), or degrees",),
}
_GRAB = _RECORDED | {
    "fingertips": (
        *_TRACKED[1:],
        "finger angles relative to the mean hand (GRAB: to the flat one, flat_hand_mean=True), or PCA coefficients",
        "transl taken for the wrist (it is J_0 + transl), or the template of another subject",
    ),
    "limits": ("PCA coefficients (hand_pose) taken for angles (fullpose), or degrees",),
}

_COUNTS = {
    "realdex": Published(
        {"train": 40, "val": 6, "test": 6, "all": 52},
        {"train": 2114, "val": 245, "test": 271, "all": 2630},
        "published parts are those of data.split=paper, 53 objects were released; ",
    ),
    "grab": Published(
        {"val": 4, "test": 6, "all": 51},
        {"all": 1334},
        "published parts are those of data.split=grab, and not every sequence holds a reach; ",
    ),
    "dexgraspnet": Published(
        {"train": 4229, "test": 1126, "all": 5355},
        {"all": 1_320_000},
        "published parts are those of the lists that its authors posted, grasps are about 1.32 million; ",
    ),
}
_DEMO = _RECORDED | {"limits": _JOINTS}
SETS = {
    data.name: data
    for data in (
        DataSet("realdex", RealDexMotion, "shadow_e3m5", "clips", _COUNTS["realdex"], RECORDED, _REALDEX),
        DataSet("grab", GrabMotion, "mano", "clips", _COUNTS["grab"], RECORDED, _GRAB),
        DataSet("dexgraspnet", DexGraspNet, "shadow", "grasps", _COUNTS["dexgraspnet"], OPTIMISED, _STATIC),
        DataSet("unidexgrasp", UniDexGrasp, "shadow", "grasps", Published(), OPTIMISED, _STATIC),
        DataSet("multidex", MultiDex, "shadow_e3m5", "grasps", Published({"all": 58}), OPTIMISED, _STATIC),
        DataSet("demo", DemoMotion, "shadow", "clips", Published(), OPTIMISED, _DEMO),
    )
}
"""By name."""
