"""The same posture on another hand: joints by name and sign, roots by a fixed offset, as given in either YAML."""

from __future__ import annotations

import numpy as np
import torch

from .errors import ConversionError
from .pose import HandPose
from .products import compose, rotate
from .spec import HandSpec

_Map = dict[str, tuple[str, float]]


def convert_pose(pose: HandPose, source: HandSpec, target: HandSpec) -> HandPose:
    """Converts `pose` from the hand `source` to the hand `target`; joint values are not clamped.

    Raises:
        ConversionError: the pose is of another hand, neither YAML maps one to the other, or joints have no counterpart.
    """
    if pose.hand != source.name:
        raise ConversionError(f"pose: expected a pose of {source.name!r}, found one of {pose.hand!r}")
    if source.name == target.name:
        return pose
    pairs = _map(source, target)
    own = [name for name, _, _ in source.tree.coordinates]
    wanted = [name for name, _, _ in target.tree.coordinates]
    missing = [name for name in wanted if name not in pairs or pairs[name][0] not in own]
    if missing:
        raise ConversionError(f"{source.name} to {target.name}: no joint is mapped to {', '.join(missing)}")
    columns = [own.index(pairs[name][0]) for name in wanted]
    signs = [pairs[name][1] for name in wanted]
    translation, rotation = _offset(source, target)
    moved = rotate(pose.rotation, torch.as_tensor(translation).to(pose.translation)) + pose.translation
    turned = compose(pose.rotation, torch.as_tensor(rotation).to(pose.rotation))
    joints = pose.joints[..., columns] * torch.tensor(signs).to(pose.joints)
    return HandPose(moved, turned, joints, target.name)


def _map(source: HandSpec, target: HandSpec) -> _Map:
    """Joint of the target -> (joint of the source, sign)."""
    if target.name in source.maps:
        return {other: (own, sign) for own, (other, sign) in source.maps[target.name].items()}
    if source.name in target.maps:
        return dict(target.maps[source.name])
    known = sorted({source.name, *source.maps}) + [f"from {name}" for name in target.maps]
    raise ConversionError(
        f"{source.name} to {target.name}: expected `maps: {{{target.name}: ...}}` in {source.file} or "
        f"`maps: {{{source.name}: ...}}` in {target.file}, found neither; mapped hands: {', '.join(known)}"
    )


def _offset(source: HandSpec, target: HandSpec) -> tuple[np.ndarray, np.ndarray]:
    """The target's root frame in the source's; the identity if neither YAML gives one."""
    if target.name in source.root_offset:
        return source.root_offset[target.name]
    if source.name in target.root_offset:
        translation, rotation = target.root_offset[source.name]
        return -rotation.T @ translation, rotation.T
    return np.zeros(3), np.eye(3)
