"""RealDex: a teleoperated real Shadow hand grasps objects (Liu et al., IJCAI 2024), read from the original layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...files.errors import BadFile, DataError, check_names
from ...files.unpickle import PickleFileError, UnsafePickleError
from ...geometry.meshes import MeshError
from ...geometry.progress import tracked
from ...geometry.sampling import farthest_point_sampling
from ...hands.errors import JointLimitError
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ..clouds import object_cloud
from ..errors import DatasetNotFound, Release, holds
from ..motion import MotionDataModule
from ..splits import REALDEX_TEST, Split, by_fold, realdex_split
from ..types import GraspSample, MotionSample
from .archive import Folder
from .contact import CONTACT, grasp_samples, robot_pose, with_segments
from .meshes import mesh_file
from .recording import SOURCES, Recording, find_recordings, object_of, read_recording

RELEASE = Release(
    dataset="RealDex",
    url="https://github.com/4DVLab/RealDex (recordings and meshes: links in its README)",
    licence="none stated by its authors: ask them before any use beyond research",
    tree="""
<root>/<object>.zip, as downloaded, or unpacked, at any depth:
  .../<object>/<object>_<n>[_<date>]/TF/<parent>-<child>.txt        rows: stamp_ns tx ty tz qx qy qz qw
                                    /final_data.npy                 in place of TF; its palm is approximate
                                    /rgbimage_timestamp.txt         a stamp in ns per frame
                                    /tracking_result/gt_pose.txt    rows: tx ty tz qx qy qz qw of the object
                                    /segment.txt                    rows: start end; found by contact where absent
<root>/models/<object>.obj          or models.zip, or models=<folder or zip>
""",
    setting="root=/path/to/realdex",
)
_SPLITS = ("auto", "paper", "objects", "recordings")

_log = logging.getLogger(__name__)


class RealDexMotion(MotionDataModule):
    """Clips of RealDex, one for each row of a recording's `segment.txt`; the goal is the last frame.

    Palm and joints come from the TF files, including the wrist. `final_data.npy` lacks the two wrist joints: if only
    that is available, the palm is computed from the forearm at zero wrist and the clip is flagged `palm_from_forearm`.
    Without `segment.txt`, reaches are found by contact (see `SegmentRule`) and flagged `segments_found`.

    Args:
        root: folder with the recordings, at any depth, in zips or unpacked: the whole data set, one object, one
            recording, or the output of `dexzoo prepare`.
        hand: name or YAML of the hand to convert to. "shadow_e3m5" is the robot that was recorded.
        split: "paper" (40/6/6 objects, as in the paper's tools with the misspelt names mended); "objects" and
            "recordings" (folds: fold k tests on every n_folds-th one in natural order, starting with number k); "auto"
            takes "recordings" for a single object, "paper" if its test objects are present, otherwise "objects".
        fold: fold number, from 0; "all" is for run.py, which runs all folds.
        n_folds: number of folds.
        n_val: number of a fold's training objects or recordings that are held out for validation.
        models: folder or zip of `<object>.obj`; None means `<root>/models` or `<root>/models.zip`.
        object_points: "mesh" samples the clouds from the meshes; "scene" takes the cameras' view at the start of each
            clip, made by `prepare --calibration`; "none" gives empty clouds and needs no mesh.
        fps: frames per second; None reads `rgbimage_timestamp.txt`.
        on_bad: "raise" stops at a bad recording; "skip" skips, logs and counts it.
        whole_recordings: treats a recording without `segment.txt` as one clip.
        limit_tolerance: radians by which a goal may exceed the robot's joint limits.
        poses: "tf" reads hand poses from the TF files, "final_data" from `final_data.npy`; "auto" takes the TF files if
            they are complete.
        contact_threshold: metres between hand and object that count as contact, for `segments_found` and `grasps`.
        **options: see `MotionDataModule`.
    """

    title = "RealDex"
    dataset = "realdex"

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
        poses: str = "auto",
        contact_threshold: float = CONTACT,
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        check_names(split=(split, _SPLITS), object_points=(object_points, ("mesh", "scene", "none")))
        check_names(on_bad=(on_bad, ("raise", "skip")), poses=(poses, SOURCES))
        self.look_for_mark(root)
        self.root = None if root is None else Path(root).expanduser()
        self.models = None if models is None else Path(models).expanduser()
        self.split_by, self.fold, self.n_folds, self.n_val = split, fold, n_folds, n_val
        self.object_points, self.native_fps, self.on_bad = object_points, fps, on_bad
        self.whole_recordings, self.limit_tolerance = whole_recordings, limit_tolerance
        self.poses, self.contact_threshold = poses, contact_threshold
        self.skipped: list[str] = []  # reasons for which bad recordings or zips were skipped
        self._folders: list[Folder] | None = None
        self._bad_zips: list[str] = []

    def load(self) -> list[MotionSample]:
        """Reads all recordings.

        Raises DatasetNotFound without root or recordings; DataError, PickleFileError or MeshError for a bad recording
        with `on_bad="raise"`, or if no good one is left; UnsafePickleError, never skipped, for a file that would
        execute code.
        """
        clips: list[MotionSample] = []
        folders = self._recordings()
        self.skipped = list(self._bad_zips)
        for folder in tracked(folders, "reading RealDex"):
            try:
                clips += self._clips_of(self._read(folder))
            except UnsafePickleError:
                raise
            except (DataError, PickleFileError, MeshError) as error:
                if self.on_bad == "raise":
                    raise
                self.skipped.append(str(error))
                _log.warning("left out: %s", error)
        if self.skipped:
            n_bad = len(self.skipped) - len(self._bad_zips)
            _log.warning("%s: left out %d of %d recordings", self.title, n_bad, len(folders))
        if not clips:
            found = f"{len(folders)} bad ones, first: {self.skipped[0]}"
            raise DataError(f"{self.root}: expected at least one good recording, found {found}")
        return clips

    def split(self, samples: Sequence[MotionSample]) -> Split:
        """Splits by object, or by recording; see the argument `split`."""
        how = self._how()
        if how == "paper":
            return realdex_split(samples)
        if isinstance(self.fold, str):
            raise DataError(f"fold: expected one of {self.fold_ids()}, found 'all', which only run.py can go through")
        self.split_group = how.removesuffix("s")
        return by_fold(samples, self.split_group, self.fold, self.n_folds, self.n_val)

    def fold_ids(self) -> list[int | None]:
        """[0, ..., n_folds - 1] if the split has folds, [None] for the paper's; only reads folder names."""
        return [None] if self._how() == "paper" else list(range(self.n_folds))

    def _how(self) -> str:
        if self.split_by != "auto":
            return self.split_by
        objects = {object_of(folder.path) for folder in self._recordings()}
        if len(objects) == 1:
            return "recordings"
        return "paper" if objects & set(REALDEX_TEST) else "objects"

    def grasps(self, last: int = 5) -> list[GraspSample]:
        """Static grasps: those of the last frames of each clip in which hand and object touch; see `grasp_samples`."""
        return grasp_samples(self.load(), last, self.contact_threshold)

    def _recordings(self) -> list[Folder]:
        if self._folders is not None:
            return self._folders
        if self.root is None or not (self.root.is_file() and self.root.suffix.lower() == ".zip"):
            self.root = RELEASE.folder(self.root)
        self._bad_zips = []
        self._folders = find_recordings(self.root, self._bad_zips if self.on_bad == "skip" else None)
        if not self._folders:
            here = holds(self.root) if self.root.is_dir() else f"it holds {self.root.name}"
            found = f"searched for final_data.npy at any depth and found none; {here}, and no folder TF, also in zips"
            raise DatasetNotFound(RELEASE, self.root, found)
        return self._folders

    def _read(self, folder: Folder) -> Recording:
        recording = read_recording(folder, self.native_fps, self.whole_recordings, self.poses)
        mesh = None if self.object_points == "none" else self._mesh(recording.object)
        return with_segments(folder, recording, mesh, self.contact_threshold)

    def _clips_of(self, recording: Recording) -> list[MotionSample]:
        pose = self._pose(recording)
        clouds, mesh = self._clouds(recording)
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
                object_points=clouds[number],
                object_rotation=rotation[start:end],
                object_translation=translation[start:end],
                mesh=mesh,
                flags=recording.flags,
            )
            for number, (start, end) in enumerate(recording.segments)
        ]

    def _pose(self, recording: Recording) -> HandPose:
        robot, pose = load_hand("shadow_e3m5"), robot_pose(recording)
        for start, end in recording.segments:
            try:
                robot.check_limits(pose.joints[end - 1], self.limit_tolerance)
            except JointLimitError as error:
                key = f"qpos, goal of segment [{start}, {end})"
                hint = f"`limit_tolerance` is {self.limit_tolerance:g} rad"
                raise BadFile(recording.path, "a goal within joint limits", str(error), key=key, hint=hint) from error
        return robot.convert(pose, load_hand(self.hand)).to(torch.float32)

    def _clouds(self, recording: Recording) -> tuple[list[Tensor], Path | None]:
        """The object's cloud for each clip, (n_object_points, 3), metres, object frame, and its mesh."""
        n = len(recording.segments)
        if self.object_points == "none":
            return [torch.zeros(0, 3)] * n, None
        mesh = self._mesh(recording.object)
        if self.object_points == "mesh":
            return [object_cloud(mesh, self.n_object_points)] * n, mesh
        if recording.clouds is None:
            hint = "`dexzoo prepare ROOT --out DIR --calibration FOLDER` makes them"
            raise BadFile(recording.path, "clouds of the scene", "none", hint=hint)
        return [self._evened(recording, number) for number in range(n)], mesh

    def _evened(self, recording: Recording, number: int) -> Tensor:
        """The scene's cloud of a clip resampled to `n_object_points`: by farthest points, or all with some repeated."""
        assert recording.clouds is not None
        cloud = torch.from_numpy(recording.clouds[number]).float()
        if not len(cloud):
            raise BadFile(recording.path, "points of the object", "none", key=f"cloud of segment {number}")
        cloud = cloud.repeat(-(-self.n_object_points // len(cloud)), 1)
        return cloud[farthest_point_sampling(cloud[None], self.n_object_points)[0]]

    def _mesh(self, name: str) -> Path:
        assert self.root is not None
        return mesh_file(self.root, self.models, name)
