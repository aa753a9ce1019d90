"""Hands of a shape or two, for closed forms, and poses of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from dexzoo.hands import Hand, HandPose, load_hand

Shapes = Mapping[str, Sequence[Mapping[str, Any]]]


def fixed_hand(folder: Path, *links: Shapes, apart_at_rest: bool = False) -> Hand:
    """A hand whose links all have the root's frame; each is {"capsules": [...], "boxes": [...]}.

    Its one joint, which a hand needs, moves a link without shapes. `apart_at_rest` puts every link on a slide that is
    far out at rest and at 0 in `pose_at`: links that overlap at rest are not measured.
    """
    names = [f"link{i}" for i in range(len(links))]
    entries: list[dict[str, Any]] = [{"name": "root"}]
    entries += [{"name": name, "parent": "root", **shapes} for name, shapes in zip(names, links, strict=True)]
    for i, entry in enumerate(entries[1:] if apart_at_rest else []):
        entry["joint"] = {"name": f"out{i}", "axis": [1, 0, 0], "range": [0, 1000 * (i + 1)], "slide": True}
    entries.append({"name": "idle", "parent": "root", "joint": {"name": "idle", "axis": [0, 0, 1], "range": [-1, 1]}})
    content = {"name": "fixed", "kind": "tree", "links": entries, "fingertips": {}, "contact_links": names}
    content["rest"] = {f"out{i}": 1000 * (i + 1) for i in range(len(links) if apart_at_rest else 0)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fixed.yaml").write_text(yaml.safe_dump(content))
    return load_hand(folder / "fixed.yaml")


def ball(centre: Sequence[float], radius: float) -> Shapes:
    """A link that is a ball."""
    return capsule(centre, centre, radius)


def capsule(start: Sequence[float], end: Sequence[float], radius: float) -> Shapes:
    """A link that is a capsule."""
    return {"capsules": [{"start": list(start), "end": list(end), "radius": radius}]}


def box(centre: Sequence[float], half: Sequence[float], rpy: Sequence[float] = (0, 0, 0)) -> Shapes:
    """A link that is a box."""
    return {"boxes": [{"centre": list(centre), "half": list(half), "rpy": list(rpy)}]}


def pose_at(hand: Hand, translation: Sequence[Sequence[float]] | Tensor, rotation: Tensor | None = None) -> HandPose:
    """The hand's rest posture, that of a fixed hand with all joints at 0, at translations (B, 3); float64.

    Unturned unless rotations (B, 3, 3) are given.
    """
    joints = torch.zeros_like(hand.rest) if hand.name == "fixed" else hand.rest
    translation = torch.as_tensor(translation, dtype=torch.float64).reshape(-1, 3)
    batch = len(translation)
    rotation = torch.eye(3).expand(batch, 3, 3) if rotation is None else rotation
    return HandPose(translation, rotation.double(), joints.double().expand(batch, -1), hand.name)
