"""Windows and whole clips from one flat store of all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..files.errors import DataError
from ..hands.pose import HandPose
from .base import Transform, batch_generator, transformed
from .types import FUTURE, PAST, ClipBatch, MotionBatch, MotionSample


@dataclass(frozen=True)
class ClipStore:
    """The frames of C clips concatenated to F frames; nothing else grows with the data."""

    pose: HandPose  # HandPose (F,), world frame, float32
    start: Tensor  # (C,), int64, first frame of each clip
    length: Tensor  # (C,), int64, frames of each clip, >= 2
    goal: HandPose  # HandPose (C,)
    fps: Tensor  # (C,)
    object_points: Tensor  # (C, N, 3), metres, world frame, the object at the clip's first frame
    object_rotation: Tensor  # (C, 3, 3), world_from_object at the clip's last frame
    object_translation: Tensor  # (C, 3), metres, likewise
    names: tuple[str, ...]  # of the clips
    meshes: tuple[Path | None, ...]  # of their objects, None without a mesh

    @staticmethod
    def of(samples: Sequence[MotionSample]) -> ClipStore:
        """Concatenates clips; raises DataError for none, for clips of one frame, of different hands, or with different
        numbers of object points.
        """
        _check_samples(samples)
        length = torch.tensor([len(s.pose.joints) for s in samples])
        points = [s.object_points @ s.object_rotation[0].mT + s.object_translation[0] for s in samples]
        return ClipStore(
            pose=HandPose.cat([s.pose for s in samples]).to(torch.float32),
            start=length.cumsum(0) - length,
            length=length,
            goal=HandPose.stack([s.goal for s in samples]).to(torch.float32),
            fps=torch.tensor([s.fps for s in samples], dtype=torch.float32),
            object_points=torch.stack(points).float(),
            object_rotation=torch.stack([s.object_rotation[-1] for s in samples]).float(),
            object_translation=torch.stack([s.object_translation[-1] for s in samples]).float(),
            names=tuple(s.name for s in samples),
            meshes=tuple(s.mesh for s in samples),
        )

    def __len__(self) -> int:
        return len(self.names)

    def clips(self, indices: Sequence[int]) -> ClipBatch:
        """Whole clips, padded at the end with their last frame."""
        clip = torch.as_tensor(indices, dtype=torch.long)
        length = self.length[clip]
        frame = torch.minimum(torch.arange(int(length.max())), length[:, None] - 1)
        return ClipBatch(
            pose=_take(self.pose, self.start[clip, None] + frame),
            goal=self.goal[clip],
            length=length,
            object_points=self.object_points[clip],
            object_rotation=self.object_rotation[clip],
            object_translation=self.object_translation[clip],
            fps=self.fps[clip],
            clip=clip,
            names=tuple(self.names[i] for i in clip.tolist()),
            meshes=tuple(self.meshes[i] for i in clip.tolist()),
        )


class ClipDataset(Dataset[ClipBatch]):
    """All clips of a store, the transforms applied in order to each batch; its loader needs `collate_fn=as_is`, since
    it fetches whole batches. Clips repeat endlessly, like the windows of `WindowDataset`.
    """

    def __init__(self, store: ClipStore, seed: int = 0, transforms: Sequence[Transform] = ()) -> None:
        self.store, self.seed, self.transforms = store, seed, tuple(transforms)

    def __len__(self) -> int:
        return len(self.store)

    def __getitems__(self, indices: Sequence[int]) -> ClipBatch:
        clips = self.store.clips([i % len(self) for i in indices])
        return transformed(clips, self.transforms, batch_generator(self.seed, indices[0]))


class WindowDataset(Dataset[MotionBatch]):
    """Training windows at every frame t = 0..T-2 of every clip, gathered on the fly.

    Windows repeat endlessly: index i is window `i % len` in epoch `i // len`. `EpochSampler` draws them like that, so
    all random numbers of a batch depend only on (seed, its first index), and a resumed run repeats an uninterrupted one
    bit for bit, with any number of loader processes.

    Args:
        store: the clips.
        seed: seed of speeds and transforms.
        speed_range: (low, high) with 0 < low <= 1 <= high. Each window is played at a random speed from this range,
            rounded so that the rest of the clip takes a whole number of frames. None keeps the recorded speed.
        transforms: applied in order to each batch.
        first_window_weight: how often the window at t = 0 of each clip is drawn while every other one is drawn once.
    """

    def __init__(
        self,
        store: ClipStore,
        seed: int = 0,
        speed_range: tuple[float, float] | None = None,
        transforms: Sequence[Transform] = (),
        first_window_weight: int = 1,
    ) -> None:
        if first_window_weight < 1:
            raise DataError(f"first_window_weight: expected 1 or more, found {first_window_weight}")
        if speed_range is not None and not 0 < speed_range[0] <= 1 <= speed_range[1]:
            raise DataError(f"speed_range: expected [low, high] with 0 < low <= 1 <= high, found {list(speed_range)}")
        self.store, self.seed, self.speed_range, self.transforms = store, seed, speed_range, tuple(transforms)
        self._repeats = first_window_weight - 1
        self._windows = (store.length - 1 + self._repeats).cumsum(0)  # number of windows up to and including each clip

    def __len__(self) -> int:
        return int(self._windows[-1])

    def __getitems__(self, indices: Sequence[int]) -> MotionBatch:
        generator = batch_generator(self.seed, indices[0])
        window = torch.as_tensor(indices, dtype=torch.long) % len(self)
        clip = torch.searchsorted(self._windows, window, right=True)
        first = self._windows[clip] - (self.store.length[clip] - 1)
        return transformed(self._gather(clip, (window - first).clamp_min(0), generator), self.transforms, generator)

    def _gather(self, clip: Tensor, t: Tensor, generator: torch.Generator) -> MotionBatch:
        store, steps = self.store, torch.arange(1 - PAST, FUTURE + 1)
        remaining = store.length[clip] - 1 - t
        if self.speed_range is None:
            time_to_go = remaining
            frame = (t[:, None] + steps).clamp_(min=0).minimum(store.length[clip, None] - 1)
            poses = _take(store.pose, store.start[clip, None] + frame)
        else:
            time_to_go = _whole_steps(remaining, self.speed_range, generator)
            time = t[:, None] + steps * (remaining / time_to_go)[:, None]
            poses = _between(store, clip, time.clamp_(min=0).minimum(store.length[clip, None] - 1))
        return MotionBatch(
            past=poses[:, :PAST],
            future=poses[:, PAST:],
            goal=store.goal[clip],
            object_points=store.object_points.index_select(0, clip),
            time_to_go=time_to_go.float(),
            fps=store.fps[clip],
            valid=steps[PAST:] <= time_to_go[:, None],
            clip=clip,
        )


def _take(pose: HandPose, index: Tensor) -> HandPose:
    flat = index.flatten()  # index_select is several times faster than indexing by a tensor
    return pose.map(lambda x: x.index_select(0, flat)).reshape(*index.shape)


def _between(store: ClipStore, clip: Tensor, time: Tensor) -> HandPose:
    before = time.floor().long().minimum(store.length[clip, None] - 2)
    index = store.start[clip, None] + before
    return _take(store.pose, index).interpolate(_take(store.pose, index + 1), time - before)


def _whole_steps(remaining: Tensor, speed_range: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = speed_range
    speed = low + (high - low) * torch.rand(len(remaining), generator=generator)
    fastest, slowest = (remaining / high).ceil(), (remaining / low).floor()
    return (remaining / speed).round().clamp(fastest, slowest).long()


def _check_samples(samples: Sequence[MotionSample]) -> None:
    if not samples:
        raise DataError("clips: expected at least one, found none")
    for sample in samples:
        if len(sample.pose.joints) < 2:
            raise DataError(f"{sample.name}: expected a clip of at least 2 frames, found {len(sample.pose.joints)}")
    hands, sizes = {s.pose.hand for s in samples}, {len(s.object_points) for s in samples}
    for what, values in (("hand", hands), ("object points", sizes)):
        if len(values) > 1:
            raise DataError(f"{what}: expected the same for all clips, found {sorted(values)}")
