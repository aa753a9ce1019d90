"""Reader of GRAB's sequences, subjects and objects for one hand, with one policy on bad files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...files.cache import cache_dir, content_key, write_whole
from ...files.errors import BadFile, check_names
from ...geometry.meshes import MeshError, load_mesh
from ...geometry.progress import tracked
from ...hands.mano import ManoHand
from ..base import mark_of
from ..clouds import object_cloud
from .files import GrabTree, find_tree
from .sequence import ContactLabels, read_labels
from .skeleton import Person, is_generic, mano_hand, person_of
from .tracks import Tracks, read_tracks

_log = logging.getLogger(__name__)


class GrabReader:
    """Reads sequences, subjects and objects for one hand; shared by the data modules and `read_grasps`.

    See `GrabMotion` for the arguments; raises UnknownName for an unknown side, `object_points` or `on_bad`.
    """

    def __init__(
        self,
        root: str | Path | None,
        hand: str,
        side: str = "right",
        object_points: str = "mesh",
        n_object_points: int = 1024,
        on_bad: str = "raise",
    ) -> None:
        check_names(side=(side, ("right", "left")), object_points=(object_points, ("mesh", "none")))
        check_names(on_bad=(on_bad, ("raise", "skip")))
        self.root, self.hand_name, self.side, self.on_bad = root, hand, side, on_bad
        self.object_points, self.n_object_points = object_points, n_object_points
        self.skipped: list[str] = []
        self._people: dict[str, Person] = {}
        self._objects: dict[str, tuple[Tensor, Path | None]] = {}

    @cached_property
    def tree(self) -> GrabTree:
        """The files."""
        return find_tree(self.root)

    @cached_property
    def hand(self) -> ManoHand:
        """The hand of the poses."""
        return mano_hand(self.hand_name)

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of every sample: caveats that a user must know."""
        flags = {
            "generic_skeleton": is_generic(self.hand),
            "mano_stand_in": self.hand.stand_in and not is_generic(self.hand),
            "mirrored_left_hand": self.side == "left",
            "demo_data": mark_of(self.root) is not None,
        }
        return tuple(name for name, here in flags.items() if here)

    def tracks(self) -> Iterator[Tracks]:
        """All sequences, each read once into the cache, so that an interrupted run continues where it stopped.

        With `on_bad="skip"` a bad one is logged, noted in `skipped` and skipped; a file that would execute code stops
        the run in any case.
        """
        self.skipped = []
        for path in tracked(self.tree.sequences, "reading GRAB"):
            try:
                tracks = read_tracks(self.tree, path, self.side)
                self.person(tracks)  # a bad template or mesh makes the sequence bad
                self.object(tracks)
                yield tracks
            except BadFile as error:
                if self.on_bad == "raise":
                    raise
                self.skipped.append(str(error))
                _log.warning("left out: %s", error)
        if self.skipped:
            _log.warning("GRAB: left out %d of %d sequences", len(self.skipped), len(self.tree.sequences))

    def person(self, tracks: Tracks) -> Person:
        """The hand of the person in a sequence."""
        if tracks.template not in self._people:
            file = self.tree.inside(tracks.template, tracks.path, f"{self.side[0]}hand['vtemp']")
            self._people[tracks.template] = person_of(self.hand, file, self.side == "left")
        return self._people[tracks.template]

    def object(self, tracks: Tracks) -> tuple[Tensor, Path | None]:
        """Points of the object, (N, 3), metres, mesh frame, and its mesh; none with `object_points="none"`."""
        if self.object_points == "none":
            return torch.zeros(0, 3), None
        if tracks.mesh not in self._objects:
            file = self.tree.inside(tracks.mesh, tracks.path, "object['object_mesh']")
            try:
                mesh = mirrored_mesh(file) if self.side == "left" else file
                self._objects[tracks.mesh] = object_cloud(mesh, self.n_object_points), mesh
            except MeshError as error:
                raise BadFile(file, "the mesh of an object", str(error)) from error
        return self._objects[tracks.mesh]

    def labels(self, tracks: Tracks) -> ContactLabels:
        """Reads the contact labels of every vertex; raises BadFile also if they do not match the object's mesh, which
        happens if the mesh was decimated.
        """
        labels = read_labels(tracks.path, len(tracks.touch))
        mesh = load_mesh(self.tree.inside(tracks.mesh, tracks.path, "object['object_mesh']"))
        if labels.object.shape[1] != len(mesh.vertices):
            expected = f"a label for each of the {len(mesh.vertices)} vertices of {Path(tracks.mesh).name}"
            hint = "labels are of the full mesh of the release, not of a decimated one"
            found = str(labels.object.shape[1])
            raise BadFile(tracks.path, expected, found, key="contact['object']", hint=hint)
        return labels


def mirrored_mesh(file: Path) -> Path:
    """The mesh reflected, x -> -x, as a file in the cache, for scenes of left hands."""
    path = cache_dir() / "grab_mirrored" / content_key(file) / file.name
    if not path.exists():
        mesh = load_mesh(file)
        mesh.apply_transform(np.diag([-1.0, 1.0, 1.0, 1.0]))  # also flips the faces
        write_whole(path, lambda out: mesh.export(out, file_type=path.suffix[1:]))
    return path
