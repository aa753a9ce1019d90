"""Examination of a data set: reads it as a run would, and collects the content of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...files.errors import DataError
from ...files.unpickle import PickleFileError
from ...geometry.meshes import MeshError
from ...hands.load import load_hand
from ..base import SplitDataModule
from ..dexgraspnet import GraspFolder
from ..errors import DatasetNotFound
from ..grab import GrabMotion
from ..grab.objects import ALIASES, OBJECTS, SUBJECTS
from ..grab.skeleton import GENERIC
from ..grasp_store import GraspStore
from ..realdex import RealDexMotion
from ..splits import REALDEX_TEST, REALDEX_TRAIN, REALDEX_VAL
from ..types import MotionSample
from .causes import Cause, judge_conventions
from .examine import Body, Examined, examine_clips, examine_grasps
from .findings import Level, Statistic, judge, judge_rate
from .measure import Measures, Shapes, measure
from .sets import DataSet

EXAMINED = 300  # Number of grasps, or goals of clips, that are measured
APPROXIMATE = 0.015  # metres, tolerance of hands if the subject's skeleton is generic

Data = GraspStore | list[MotionSample]


@dataclass(frozen=True)
class Count:
    """Objects and items of a part."""

    part: str
    objects: int
    items: int


@dataclass(frozen=True, eq=False)
class Visit:
    """All findings."""

    dataset: DataSet  # the data set
    title: str  # the reader's title
    is_demo: bool  # whether the data are generated, in whatever layout
    found: tuple[str, ...]  # sentences
    missing: tuple[str, ...] = ()  # sentences; data may be partial, so these are not errors
    broken: tuple[str, ...] = ()  # messages that name the file
    counts: tuple[Count, ...] = ()  # by part, "all" last
    statistics: tuple[Statistic, ...] = ()  # with their verdicts
    causes: tuple[Cause, ...] = ()  # mistakes that explain bad verdicts
    examined: Examined | None = None  # the grasps that were measured; None if nothing could be read
    measures: Measures | None = None  # of them

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken and no verdict is bad."""
        return not self.broken and all(statistic.level is not Level.BAD for statistic in self.statistics)


def visit(dataset: DataSet, module: SplitDataModule, count: int = EXAMINED) -> Visit:
    """Reads a data set and measures `count` of its grasps or clips; raises DatasetNotFound if nothing was found."""
    try:
        whole: Any = module.load()
    except DatasetNotFound:
        raise
    except (DataError, MeshError, PickleFileError) as error:  # an unsafe file, never skipped, or nothing is left
        broken = tuple(dict.fromkeys([*skipped(module), str(error)]))
        return Visit(dataset, module.title, module.is_demo, (), (), broken)
    counts, no_split = _counts(module, whole)
    examined = _examine(module, whole, count)
    shapes = Shapes()
    measures = measure(examined, shapes)
    statistics = judge(examined, measures, dataset.expected)
    causes: tuple[Cause, ...] = ()
    if np.isfinite(measures.distance).any():
        conventions, causes = judge_conventions(examined, shapes)
        statistics.append(conventions)
    if isinstance(whole, list):
        statistics.append(judge_rate(np.array([clip.fps for clip in whole])))
    open_meshes = [f"a closed mesh, so its inside is a guess: {message}" for message in measures.open_meshes]
    return Visit(
        dataset=dataset,
        title=module.title,
        is_demo=module.is_demo,
        found=_found(module, whole),
        missing=(*_missing(module, whole), *no_split, *open_meshes),
        broken=(*skipped(module), *measures.bad_meshes),
        counts=counts,
        statistics=tuple(statistics),
        causes=causes,
        examined=examined,
        measures=measures,
    )


def skipped(module: SplitDataModule) -> tuple[str, ...]:
    """Messages about what a reader skipped, each once; a demo data module has no files."""
    return tuple(dict.fromkeys(getattr(module, "skipped", ())))


def _counts(module: SplitDataModule, whole: Any) -> tuple[tuple[Count, ...], tuple[str, ...]]:
    """Counts of each part, and the reason if there are no parts."""
    counts, problems = [], ()
    try:
        parts = module.split(whole)
        counts = [Count(name, len(_objects(p)), len(p)) for name, p in vars(parts).items() if p is not None]
        module.check(parts)
    except DataError as error:  # a sample of a data set may have no test objects; it can still be examined
        problems = (f"parts to train and test on: {error}",)
    return (*counts, Count("all", len(_objects(whole)), len(whole))), problems


def _objects(part: Data) -> set[str]:
    return set(part.object_names) if isinstance(part, GraspStore) else {clip.object for clip in part}


def _examine(module: SplitDataModule, whole: Data, count: int) -> Examined:
    if isinstance(whole, GraspStore):
        return examine_grasps(whole, count)
    if not isinstance(module, GrabMotion):
        body = Body.of(load_hand(module.hand))
        return examine_clips(whole, count, lambda _: body)
    bodies: dict[int, Body] = {}

    def body_of(clip: MotionSample) -> Body:
        person = module.person(clip)
        return bodies.setdefault(id(person), Body(person.hand or module.reader.hand, person.links))

    return examine_clips(whole, count, body_of, APPROXIMATE if "generic_skeleton" in whole[0].flags else 0.0)


def _found(module: SplitDataModule, whole: Data) -> tuple[str, ...]:
    if isinstance(whole, GraspStore):
        flags = {flag for obj in whole.objects for flag in obj.flags}
        lines = [f"{len(whole)} grasps of {len(whole.object_names)} objects"]
    else:
        flags = {flag for clip in whole for flag in clip.flags}
        recordings = {(clip.object, clip.recording) for clip in whole}
        lines = [f"{len(whole)} clips of {len(_objects(whole))} objects, from {len(recordings)} recordings"]
    if isinstance(module, GraspFolder):
        files = sum(len(source.files) for source in module.tree.sources)
        lines.append(f"{files} files of grasps under {module.tree.root}")
    if isinstance(module, GrabMotion):
        tree = module.reader.tree
        lines.append(f"{len(tree.sequences)} sequences under {tree.root}")
        lines += [f"{n} sequences without a clip: {reason}" for reason, n in module.without_clip.most_common()]
    if isinstance(module, RealDexMotion):
        lines.append(f"under {module.root}")
    return (*lines, *(f"samples flagged {flag}" for flag in sorted(flags)))


def _missing(module: SplitDataModule, whole: Data) -> tuple[str, ...]:
    lines: list[str] = []
    here = _objects(whole)
    if isinstance(module, RealDexMotion) and not module.is_demo:
        lines += _absent("objects", [*REALDEX_TRAIN, *REALDEX_VAL, *REALDEX_TEST], here)
    if isinstance(module, GrabMotion) and not module.is_demo:
        lines += _absent("objects (aliases merged)", [name for name in OBJECTS if name not in ALIASES], here)
        lines += _absent("subjects", SUBJECTS, {path.parent.name for path in module.reader.tree.sequences})
    if isinstance(module, GrabMotion) and module.hand == GENERIC:
        lines.append(
            f"the MANO model: joints are approximate, and verdicts {1e3 * APPROXIMATE:g} mm more lenient; "
            "dexzoo download mano says where to get it"
        )
    if isinstance(module, GraspFolder):
        if module.tree.missing:
            lines.append(f"meshes of {len(module.tree.missing)} of {len(module.tree.sources)} objects, see below")
        if module.tree.lists is None:
            lines.append("lists of training and test objects: objects are assigned by a hash of their names")
    if not isinstance(whole, GraspStore) and any(clip.mesh is None for clip in whole):
        lines.append("meshes: nothing can be said of hand and object together")
    return tuple(lines)


def _absent(what: str, names: Sequence[str], here: set[str]) -> list[str]:
    absent = [name for name in names if name not in here]
    if not absent:
        return []
    few = ", ".join(absent[:6]) + (", ..." if len(absent) > 6 else "")
    return [f"{len(absent)} of {len(names)} {what}: {few}"]
