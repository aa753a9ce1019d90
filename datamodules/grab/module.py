"""GRAB: people grasp and use objects (Taheri et al., ECCV 2020); one of their hands, read from the original layout."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.errors import DataError, check_names
from ..motion import MotionDataModule
from ..splits import Split, by_object
from ..types import MotionSample
from .frames import FPS_OUT, GRASP_RULES, MOTION_RULES, Selection
from .objects import OBJECT_SPLITS, SPLITS, SUBJECT_SPLITS, part_of
from .reader import GrabReader
from .sequence import ContactLabels
from .skeleton import Person
from .tracks import Tracks, read_tracks

_log = logging.getLogger(__name__)


class GrabMotion(MotionDataModule):
    """Reaches of GRAB: one clip per sequence in which the hand lifts the object, 30 fps, world z up.

    Poses are of a hand with MANO's joints: the wrist (J_0 + transl) and 45 angles relative to the flat hand. With the
    model (`hand=mano`) the wrist is exact, and `person` gives exact joints and skin of the subject. Without it
    (`hand=mano_skeleton`) angles, orientation, object and contact are as recorded, but the wrist position and all
    joints are those of a generic skeleton scaled to the subject's template: every clip is flagged `generic_skeleton`.

    Left hands are mirrored to right ones with the whole scene, including object and mesh, and flagged
    `mirrored_left_hand`; frame rules then use the labels of the other hand.

    Args:
        root: folder with `grab` and `tools`.
        hand: name or YAML of a hand with MANO's joints.
        split: "grab", "goal" (by object, aliases merged) or "saga_subjects" (tests on s9 and s10, no validation).
        frames: rule that selects the frames of a clip: "reach" (from the hand's onset), "goal_reach" (GOAL's MNet,
            which uses the left elbow) or "saga" (62 frames that end at the grasp); see `frames`.
        goal: with "reach", the end of a clip: "lift_off" (the grasp is closed) or "contact" (the first touch).
        side: "right" or "left".
        object_points: "mesh" samples the clouds from the meshes; "none" gives empty clouds and needs no mesh.
        on_bad: "raise" stops at a bad sequence; "skip" skips, logs and counts it.
        **options: see `MotionDataModule`.
    """

    title = "GRAB"
    dataset = "grab"

    def __init__(
        self,
        root: str | Path | None = None,
        hand: str = "mano",
        *,
        split: str = "grab",
        frames: str = "reach",
        goal: str = "lift_off",
        side: str = "right",
        object_points: str = "mesh",
        on_bad: str = "raise",
        **options: Any,
    ) -> None:
        super().__init__(hand, **options)
        if frames in (*GRASP_RULES, "grabnet"):
            raise DataError(
                f"frames: expected a rule for motions ({', '.join(MOTION_RULES)}), found {frames!r}, which picks "
                "single grasps: see dexzoo.datamodules.grab.read_grasps and read_grabnet"
            )
        check_names(split=(split, SPLITS), frames=(frames, MOTION_RULES), goal=(goal, ("lift_off", "contact")))
        self.reader = GrabReader(root, hand, side, object_points, self.n_object_points, on_bad)
        self.split_by, self.frames, self.goal = split, frames, goal
        self.split_group = "object" if split in OBJECT_SPLITS else "recording"
        self.without_clip: Counter[str] = Counter()
        self.look_for_mark(root)

    @property
    def skipped(self) -> list[str]:
        """Messages about the sequences skipped by `on_bad="skip"`."""
        return self.reader.skipped

    def load(self) -> list[MotionSample]:
        """Reads all sequences and cuts the clips; counts and logs those without a reach, by reason.

        Raises DatasetNotFound without sequences under `root`, BadFile for a bad sequence, template or mesh, and
        DataError for an unsupported hand, or without any clip.
        """
        clips: list[MotionSample] = []
        self.without_clip = Counter()
        flags = self.reader.flags
        for tracks in self.reader.tracks():
            selection = self._select(tracks)
            if selection.reason:
                self.without_clip[selection.reason] += 1
            else:
                clips.append(self._clip(tracks, selection, flags))
        for reason, count in self.without_clip.most_common():
            _log.info("%s: no clip from %d sequences: %s", self.title, count, reason)
        if not clips:
            counts = {**self.without_clip, "bad files": len(self.skipped)}
            expected = f"expected at least one clip (frames={self.frames})"
            raise DataError(f"{self.reader.tree.root}: {expected}, found {counts}")
        return clips

    def split(self, samples: Sequence[MotionSample]) -> Split:
        """Splits by object or by subject, see the argument `split`; raises DataError if train or test is empty."""
        if self.split_by in OBJECT_SPLITS:
            return by_object(samples, **OBJECT_SPLITS[self.split_by])
        return by_subject(samples, self.split_by)

    def person(self, clip: MotionSample) -> Person:
        """The hand of the person in a clip: rest joints, template, and, with the MANO model, the skin."""
        return self.reader.person(self._tracks(clip))

    def labels(self, clip: MotionSample) -> ContactLabels:
        """Contact labels of the whole sequence from which a clip was cut, at 120 fps; large, so read on request."""
        return self.reader.labels(self._tracks(clip))

    def _tracks(self, clip: MotionSample) -> Tracks:
        path = self.reader.tree.root / "grab" / f"{clip.recording}.npz"
        return read_tracks(self.reader.tree, path, self.reader.side)

    def _select(self, tracks: Tracks) -> Selection:
        options = {"goal": self.goal} if self.frames == "reach" else {}
        return MOTION_RULES[self.frames](tracks.signals, **options)

    def _clip(self, tracks: Tracks, selection: Selection, flags: tuple[str, ...]) -> MotionSample:
        pose = tracks.pose(selection.frames, self.reader.person(tracks).rest[0], self.reader.hand.name)
        rotation, translation = tracks.object_pose(selection.frames)
        points, mesh = self.reader.object(tracks)
        return MotionSample(
            name=f"{tracks.object_name}/{tracks.recording}",
            object=tracks.object_name,
            recording=tracks.recording,
            pose=pose,
            goal=pose[-1],
            fps=FPS_OUT,
            object_points=points,
            object_rotation=rotation,
            object_translation=translation,
            mesh=mesh,
            flags=flags,
        )


def by_subject(samples: Sequence[MotionSample], split: str) -> Split:
    """Splits clips by subject, the first part of `recording`; raises DataError if train or test is empty."""
    parts: dict[str, list[MotionSample]] = {"train": [], "val": [], "test": []}
    for sample in samples:
        parts[part_of(sample.recording.split("/")[0], split)].append(sample)
    for part in ("train", "test"):
        if not parts[part]:
            held_out = ", ".join(SUBJECT_SPLITS[split]["test"])
            found = ", ".join(sorted({sample.recording.split("/")[0] for sample in samples}))
            raise DataError(
                f"split: expected clips in every part, found none for {part}: {split!r} tests on {held_out}, "
                f"found {found}; choose another split"
            )
    return Split(**parts)
