"""The same posture on another hand: joints by name and sign, roots by a fixed offset, as the YAML of either says."""

from __future__ import annotations

import numpy as np
import torch

from .errors import ConversionError
from .pose import HandPose
from .spec import HandSpec

_Map = dict[str, tuple[str, float]]


def convert_pose(pose: HandPose, source: HandSpec, target: HandSpec) -> HandPose:
    """`pose` of the hand `source` as a pose of the hand `target`; joint values are not clamped.

    Raises:
        ConversionError: the pose is of another hand, neither YAML maps one to the other, or joints have no partner.
    """
    if pose.hand != source.name:
        raise ConversionError(f"pose: expected a pose of {source.name!r}, found one of {pose.hand!r}")
    if source.name == target.name:
        return pose
    pairs = _map(source, target)
    own = [joint.name for joint in source.tree.joints]
    columns, signs = [], []
    for joint in target.tree.joints:
        if joint.name not in pairs:
            missing = [j.name for j in target.tree.joints if j.name not in pairs]
            raise ConversionError(f"{source.name} to {target.name}: no joint is mapped to {', '.join(missing)}")
        columns.append(own.index(pairs[joint.name][0]))
        signs.append(pairs[joint.name][1])
    translation, rotation = _offset(source, target)
    moved = pose.rotation @ torch.as_tensor(translation).to(pose.translation) + pose.translation
    turned = pose.rotation @ torch.as_tensor(rotation).to(pose.rotation)
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
        f"`maps: {{{source.name}: ...}}` in {target.file}, found neither; mapped are: {', '.join(known)}"
    )


def _offset(source: HandSpec, target: HandSpec) -> tuple[np.ndarray, np.ndarray]:
    """The target's root frame in the source's; the identity where neither YAML gives one."""
    if target.name in source.root_offset:
        return source.root_offset[target.name]
    if source.name in target.root_offset:
        translation, rotation = target.root_offset[source.name]
        return -rotation.T @ translation, rotation.T
    return np.zeros(3), np.eye(3)
