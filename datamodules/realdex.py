"""RealDex: a person drives a real Shadow hand to grasp objects (Liu et al., IJCAI 2024), read from its own layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..geometry.meshes import MeshError
from ..hands.errors import JointLimitError
from ..hands.hand import load_hand
from ..hands.pose import HandPose
from ..hands.unpickle import PickleFileError, UnsafePickleError
from .clouds import object_cloud
from .errors import BadFile, DataError, DatasetNotFound, UnknownName
from .motion import MotionDataModule
from .realdex_recording import JOINTS, Recording, find_recordings, object_of, read_recording
from .splits import REALDEX_TEST, REALDEX_VAL, Split, by_fold, by_object, object_name
from .types import MotionSample

_TREE = """
<root>/<object>/<object>_<n>[_<date>]/final_data.npy          at any depth
                                     /segment.txt             rows: start end
                                     /rgbimage_timestamp.txt  a stamp in ns per frame
<root>/models/<object>.obj                                    or data.models=<folder>
"""
_SPLITS = ("auto", "paper", "objects", "recordings")

_log = logging.getLogger(__name__)


class RealDexMotion(MotionDataModule):
    """Clips of RealDex, one for each row of a recording's `segment.txt`; the goal is the last frame.

    The release drops the two wrist joints, so the palm's pose is taken from the forearm's at zero wrist and every clip
    is flagged `palm_from_forearm`.

    Args:
        root: folder that holds the recordings, at any depth: the whole data set, one object, or one recording.
        hand: name or YAML of the hand to convert to. "shadow_e3m5" is the robot that was recorded.
        split: "paper" (40/6/6 objects, as in the paper's tools with the misspelt names mended); "objects" and
            "recordings" (folds: fold k tests on every n_folds-th one in natural order, beginning with number k);
            "auto" takes "recordings" for a single object, "paper" where its test objects are there, else "objects".
        fold: which fold, from 0; "all" is for run.py, which goes through them.
        n_folds: how many folds.
        n_val: objects or recordings, of those that a fold trains on, that are held out for validation.
        models: folder of `<object>.obj`; None means `<root>/models`.
        object_points: "mesh" draws the clouds from the meshes; "none" gives clips an empty cloud and needs no mesh.
        fps: frames per second; None reads `rgbimage_timestamp.txt`.
        on_bad: "raise" stops at a bad recording; "skip" logs it, leaves it out, and counts.
        whole_recordings: takes a recording without `segment.txt` as one clip.
        limit_tolerance: radians that a goal may exceed the robot's joint limits by.
        **options: see `MotionDataModule`.
    """

    title = "RealDex"

    def __init__(
        self,
        root: str | Path | None = None,
        hand: str = "shadow",
        *,
        split: str = "auto",
        fold: int | Literal["all"] = 0,
        n_folds: int = 3,
        n_val: int = 0,
        models: str | Path | None = None,
        object_points: str = "mesh",
        fps: float | None = None,
        on_bad: str = "raise",
        whole_recordings: bool = False,
        limit_tolerance: float = 0.35,
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        for what, name, known in (
            ("data.split", split, _SPLITS),
            ("data.object_points", object_points, ("mesh", "none")),
            ("data.on_bad", on_bad, ("raise", "skip")),
        ):
            if name not in known:
                raise UnknownName(what, name, known)
        self.root = None if root is None else Path(root).expanduser()
        self.models = None if models is None else Path(models).expanduser()
        self.split_by, self.fold, self.n_folds, self.n_val = split, fold, n_folds, n_val
        self.object_points, self.native_fps, self.on_bad = object_points, fps, on_bad
        self.whole_recordings, self.limit_tolerance = whole_recordings, limit_tolerance
        self.skipped: list[str] = []
        """Why each bad recording was left out."""

    def load(self) -> list[MotionSample]:
        """Reads all recordings.

        Raises:
            DatasetNotFound: there is no root, or no recording in it.
            DataError, PickleFileError, MeshError: a bad recording and `on_bad` is "raise", or none is good.
            UnsafePickleError: a file asks to execute code; it is never skipped.
        """
        clips: list[MotionSample] = []
        self.skipped = []
        folders = self._recordings()
        for folder in folders:
            try:
                clips += self._clips_of(read_recording(folder, self.native_fps, self.whole_recordings))
            except UnsafePickleError:
                raise
            except (DataError, PickleFileError, MeshError) as error:
                if self.on_bad == "raise":
                    raise
                self.skipped.append(str(error))
                _log.warning("left out: %s", error)
        if self.skipped:
            _log.warning("%s: left out %d of %d recordings", self.title, len(self.skipped), len(folders))
        if not clips:
            found = f"{len(folders)} bad ones, first: {self.skipped[0]}"
            raise DataError(f"{self.root}: expected at least one good recording, found {found}")
        return clips

    def split(self, samples: Sequence[MotionSample]) -> Split:
        """Splits by object, or by recording; see the argument `split`."""
        how = self._how()
        if how == "paper":
            return by_object(samples, REALDEX_VAL, REALDEX_TEST)
        if isinstance(self.fold, str):
            raise DataError(
                f"data.fold: expected one of {self.fold_ids()}, found 'all', which only run.py can go through"
            )
        self.split_group = how.removesuffix("s")
        return by_fold(samples, self.split_group, self.fold, self.n_folds, self.n_val)

    def fold_ids(self) -> list[int | None]:
        """[0, ..., n_folds - 1] where the split has folds, [None] for the paper's; reads folder names only."""
        return [None] if self._how() == "paper" else list(range(self.n_folds))

    def _how(self) -> str:
        if self.split_by != "auto":
            return self.split_by
        objects = {object_of(folder) for folder in self._recordings()}
        if len(objects) == 1:
            return "recordings"
        return "paper" if objects & set(REALDEX_TEST) else "objects"

    def _recordings(self) -> list[Path]:
        if self.root is None:
            raise self._not_found(None, "data.root is not set")
        if not self.root.is_dir():
            raise self._not_found(self.root, "no such folder" if not self.root.exists() else "not a folder")
        folders = find_recordings(self.root)
        if not folders:
            inside = sorted(child.name for child in self.root.iterdir())
            holds = f"it holds {', '.join(inside[:5])}" if inside else "it is empty"
            raise self._not_found(self.root, f"searched for final_data.npy at any depth and found none; {holds}")
        return folders

    def _not_found(self, root: Path | None, found: str) -> DatasetNotFound:
        return DatasetNotFound(
            self.title,
            root,
            found=found,
            url="https://github.com/4DVLab/RealDex (recordings and meshes: links in its README)",
            licence="none stated by its authors: ask them before you use it for more than research",
            tree=_TREE,
            setting="data.root=/path/to/realdex",
        )

    def _clips_of(self, recording: Recording) -> list[MotionSample]:
        pose = self._pose(recording)
        points, mesh = self._object(recording.object)
        rotation = torch.from_numpy(recording.object_rotation).float()
        translation = torch.from_numpy(recording.object_translation).float()
        return [
            MotionSample(
                name=f"{recording.object}/{recording.name}/{number}",
                object=recording.object,
                recording=recording.name,
                pose=pose[start:end],
                goal=pose[end - 1],
                fps=recording.fps,
                object_points=points,
                object_rotation=rotation[start:end],
                object_translation=translation[start:end],
                mesh=mesh,
                flags=("palm_from_forearm",),
            )
            for number, (start, end) in enumerate(recording.segments)
        ]

    def _pose(self, recording: Recording) -> HandPose:
        robot = load_hand("shadow_e3m5")
        joints = torch.from_numpy(recording.joints)[:, [JOINTS.index(name) for name in robot.joint_names]]
        for start, end in recording.segments:
            try:
                robot.check_limits(joints[end - 1], self.limit_tolerance)
            except JointLimitError as error:
                key = f"qpos, goal of segment [{start}, {end})"
                hint = f"data.limit_tolerance is {self.limit_tolerance:g} rad"
                raise BadFile(recording.path, "a goal within joint limits", str(error), key=key, hint=hint) from error
        translation = torch.from_numpy(recording.palm_translation)
        rotation = torch.from_numpy(recording.palm_rotation)
        pose = HandPose(translation, rotation, joints, robot.name)
        return robot.convert(pose, load_hand(self.hand)).to(torch.float32)

    def _object(self, name: str) -> tuple[Tensor, Path | None]:
        if self.object_points == "none":
            return torch.zeros(0, 3), None
        mesh = self._mesh(name)
        return object_cloud(mesh, self.n_object_points), mesh

    def _mesh(self, name: str) -> Path:
        assert self.root is not None
        folder = self.models or self.root / "models"
        meshes = {object_name(path.stem): path for path in sorted(folder.glob("*.obj"))} if folder.is_dir() else {}
        if name not in meshes:
            found = f"{', '.join(sorted(meshes)) or 'no .obj'} there" if folder.is_dir() else "no such folder"
            hint = "set data.models=<folder of the meshes>, or data.object_points=none to do without"
            raise BadFile(folder / f"{name}.obj", f"the mesh of {name}", found, hint=hint)
        return meshes[name]
