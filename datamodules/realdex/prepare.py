"""Reads a whole download once and writes one small file per recording; continues where it was interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ...files.cache import content_key, write_whole
from ...files.errors import DataError
from ...files.unpickle import PickleFileError
from ...geometry.meshes import MeshError, load_mesh
from ...geometry.progress import tracked
from ..base import mark_of
from .archive import Folder, open_folder
from .cameras import find_clock, object_clouds
from .contact import CONTACT, with_segments
from .meshes import find_meshes, mesh_file
from .prepared import PREPARED, VERSION, prepared_key, write_prepared
from .recording import Recording, find_recordings, object_of, read_recording

_FILES = (
    *("final_data.npy", "rgbimage_timestamp.txt", "scene_to_mesh.json", "segment.txt", "contact.txt"),
    "tracking_result/gt_pose.txt",
)


@dataclass(frozen=True)
class _Settings:
    poses: str
    threshold: float
    calibration: Folder | None


@dataclass
class Outcome:
    """Result of `prepare`."""

    made: list[Path] = field(default_factory=list)  # new files
    kept: list[Path] = field(default_factory=list)  # existing files that are up to date
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (recording or zip, reason) of those skipped
    without_mesh: list[str] = field(default_factory=list)  # objects without a mesh


def prepare(
    root: Path,
    out: Path,
    models: Path | None = None,
    poses: str = "auto",
    threshold: float = CONTACT,
    only: Sequence[str] | None = None,
    calibration: Path | None = None,
) -> Outcome:
    """Writes `<out>/<object>/<recording>/recording.npz` for each recording and `<out>/models/<object>.obj`.

    `data.root=<out>` then reads them. Each file is written atomically; a second run only makes files that are missing,
    or were made from other files or settings.

    Args:
        root: the download, zips or folders, at any depth; see `RealDexMotion` for `models` and `poses`.
        out: folder outside of `root`; created if absent.
        threshold: metres between hand and object that count as contact, if there is no `segment.txt`.
        only: names of objects; None for all.
        calibration: the folder or zip `calibration_data`. With it, depth pictures give the clouds for
            `data.object_points=scene`, and the robot's clock if `scene_to_mesh.json` is absent. None ignores pictures.

    Raises:
        CacheError: `out` is not writable.
        DataError: `out` is inside `root`, where results would be mistaken for recordings.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise DataError(f"--out: expected a folder outside of {root}, found {out}")
    outcome, bad_zips = Outcome(), []
    folders = [f for f in find_recordings(root, bad_zips) if only is None or object_of(f.path) in only]
    outcome.skipped += [(why.partition(": ")[0], why.partition(": ")[2]) for why in bad_zips]
    names = sorted({object_of(folder.path) for folder in folders})
    meshes = {name: _copied_mesh(root, models, name, out, outcome) for name in names}
    settings = _Settings(poses, threshold, None if calibration is None else open_folder(calibration))
    for folder in tracked(folders, "preparing recordings"):
        _prepare_one(folder, meshes[object_of(folder.path)], out, settings, outcome)
    mark = mark_of(root)
    if mark is not None:
        shutil.copyfile(mark, out / mark.name)  # results of demo data are demo data
    return outcome


def report(outcome: Outcome, out: Path, console: Console | None = None) -> None:
    """Prints what was done, what was skipped and why, and where the results are."""
    console = console or Console()
    if outcome.skipped:
        table = Table("left out", "why", title=f"{len(outcome.skipped)} left out")
        for name, why in outcome.skipped:
            table.add_row(name, why)
        console.print(table)
    if outcome.without_mesh:
        console.print(f"no mesh of {', '.join(outcome.without_mesh)}: set --models, or data.object_points=none")
    console.print(f"{len(outcome.made)} recordings prepared, {len(outcome.kept)} were up to date, in {out}")
    if outcome.made or outcome.kept:
        console.print(f"use them with data=realdex data.root={out}", soft_wrap=True)


def _prepare_one(folder: Folder, mesh: Path | None, out: Path, settings: _Settings, outcome: Outcome) -> None:
    path = out / object_of(folder.path) / folder.name / PREPARED
    try:
        key = _key(folder, mesh, settings)
        if prepared_key(path) == key:
            outcome.kept.append(path)
            return
        recording = _read(folder, mesh, settings)
    except (DataError, PickleFileError, MeshError) as error:
        outcome.skipped.append((str(folder.path), str(error).removeprefix(str(folder.path)).lstrip("/")))
        return
    write_prepared(path, recording, key)
    outcome.made.append(path)


def _read(folder: Folder, mesh: Path | None, settings: _Settings) -> Recording:
    calibration = settings.calibration
    clock = None if calibration is None else lambda: find_clock(folder, calibration)
    recording = read_recording(folder, source=settings.poses, clock=clock)
    recording = with_segments(folder, recording, mesh, settings.threshold)
    if calibration is None or mesh is None:
        return recording
    return replace(recording, clouds=object_clouds(folder, calibration, recording, load_mesh(mesh)))


def _key(folder: Folder, mesh: Path | None, settings: _Settings) -> str:
    """Hash of everything that the result depends on; mesh and threshold only if reaches are searched."""
    names = [name for name in _FILES if folder.exists(name)]
    names += [f"TF/{name}" for name in folder.list("TF") if name.endswith(".txt")]
    digests = [(name, folder.digest(name)) for name in names]
    searched = () if "segment.txt" in names else (mesh and mesh.read_bytes(), settings.threshold)
    seen = () if settings.calibration is None else [str(settings.calibration.path), mesh and mesh.read_bytes()]
    return content_key(VERSION, digests, settings.poses, *searched, *seen)


def _copied_mesh(root: Path, models: Path | None, name: str, out: Path, outcome: Outcome) -> Path | None:
    if name not in find_meshes(root, models):
        outcome.without_mesh.append(name)
        return None
    source, path = mesh_file(root, models, name), out / "models" / f"{name}.obj"
    if not path.exists() or path.read_bytes() != source.read_bytes():
        with source.open("rb") as content:
            write_whole(path, lambda copy: shutil.copyfileobj(content, copy))
    return path
