"""A first YAML for a URDF or MJCF: what can be guessed of a hand from its links, joints and shapes.

The root is the link with the most branches that move; each branch is a digit. Its tip lies where its last link reaches
farthest, and a link's pad faces where the link moves when the digit's last joint closes, towards the farther end of
its range. All of it is a guess for the user to look at: the check draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import numpy as np
import trimesh
import yaml
from numpy.typing import NDArray

from .drawing import link_meshes
from .errors import HandSpecError
from .hand import Hand
from .spec import assemble, read_tree
from .tree import Joint, Link, Tree

_TIP = 0.001  # metres below the farthest point that still count as the tip
_BENT = 0.15  # of the range to which a joint closes at rest
_AGREED = 0.5  # length of the digits' mean pad direction from which the palm faces there; below it, to the tips
_PARALLEL = 0.8  # cosine of the angle between axes
_CONTACTS = 3  # links of a digit, the last ones, that touch objects


@dataclass(frozen=True)
class Digit:
    """A branch of the hand that moves: its links from the root on, those with shapes, and the one that bends last."""

    name: str
    links: tuple[int, ...]
    solid: tuple[int, ...]
    last: int


def write_skeleton(model: Path, names: Mapping[str, str] | None = None) -> tuple[Path, list[str]]:
    """Writes MODEL.yaml beside a URDF or MJCF.

    Args:
        model: the file.
        names: its names of joints and links -> those that the hand shall have.

    Returns:
        The YAML, and all that is missing or doubtful, a sentence each.

    Raises:
        HandSpecError: the YAML exists, or the model can't be read or has no digits.
    """
    file = model.with_suffix(".yaml")
    if file.exists():
        raise HandSpecError(f"{file}: expected no such file yet, found one; --init writes a new one")
    content: dict[str, Any] = {"name": model.stem, "kind": "tree", "source": model.name}
    tree = read_tree(content, file)
    content |= {"strip_prefix": prefix} if (prefix := _prefix(tree)) else {}
    content |= {"names": dict(names)} if names else {}
    tree = read_tree(content, file)
    content["root"] = _root(tree)
    tree = tree.rooted_at(content["root"])
    unlimited = [j.name for j in tree.joints if not (np.isfinite([j.lower, j.upper]).all() and j.lower < j.upper)]
    content |= {"limits": {name: [-1.57, 1.57] for name in unlimited}} if unlimited else {}
    content |= _guess(tree.with_limits(content.get("limits", {})), content, file)
    file.write_text(_as_text(content, model))
    missing = [f"limits of {name}: none in the file, guessed +-90 degrees" for name in unlimited]
    bare = [k.name for k in tree.links if not (k.capsules or k.boxes)]
    missing += [f"collision shapes: none on {', '.join(bare)}"] * bool(bare)
    missing += ["visual meshes: none in the file"] * (not any(k.visuals for k in tree.links))
    return file, missing


def _guess(tree: Tree, content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Digits and what depends on them."""
    digits = _digits(tree)
    if not digits:
        raise HandSpecError(f"{content['source']}: expected a hand with links that joints move and that have shapes")
    hand = Hand(assemble({**content, "fingertips": {}, "contact_links": []}, tree, file)).double()
    rest = {joint.name: _bent(joint) for joint in _flexors(hand, digits)}
    hand = Hand(assemble({**content, "fingertips": {}, "contact_links": [], "rest": rest}, tree, file)).double()
    tips = {d.name: _tip(hand, d) for d in digits}
    return {
        "fingertips": {name: {"link": tree.names[link], "offset": _rounded(at)} for name, (link, at) in tips.items()},
        "palmar": _palmar(hand, digits, tips),
        "contact_links": [[tree.names[i] for i in d.solid[-_CONTACTS:]] for d in digits],
        "rest": rest,
    }


def _prefix(tree: Tree) -> str:
    """What all names begin with, up to a separator."""
    names = [*tree.names, *(j.name for j in tree.joints)]
    common = _beginning(names)
    end = max(common.rfind(mark) for mark in "_:/-") + 1
    return common[:end] if all(len(name) > end for name in names) else ""


def _beginning(names: Iterable[str]) -> str:
    """What all names begin with."""
    return "".join(letters[0] for letters in takewhile(lambda x: len(set(x)) == 1, zip(*names, strict=False)))


def _children(tree: Tree) -> list[list[int]]:
    return [[k for k, parent in enumerate(tree.parents) if parent == i] for i in range(len(tree.links))]


def _below(children: list[list[int]], i: int) -> list[int]:
    return [i, *(k for child in children[i] for k in _below(children, child))]


def _root(tree: Tree) -> str:
    children = _children(tree)
    branches = [sum(any(tree.links[k].joint for k in _below(children, c)) for c in kids) for kids in children]
    return tree.names[int(np.argmax(branches))]


def _digits(tree: Tree) -> list[Digit]:
    """One for each branch of the root that moves and has shapes."""
    children, found = _children(tree), []
    starts = list(children[0])
    while fixed := [i for i in starts if tree.links[i].joint is None]:  # a branch may begin behind a fixed joint
        starts = [k for i in starts for k in (children[i] if i in fixed else [i])]
    for start in starts:
        links = max(
            _paths(children, start), key=lambda path: (sum(tree.links[i].joint is not None for i in path), len(path))
        )
        solid = [i for i in links if _solid(tree.links[i])]
        if moved := [i for i in links if tree.links[i].joint and i <= max(solid, default=-1)]:
            found.append(Digit(_name(tree, links, [d.name for d in found]), tuple(links), tuple(solid), moved[-1]))
    return found


def _paths(children: list[list[int]], i: int) -> list[list[int]]:
    """From a link to each of the leaves below it."""
    return [[i, *path] for child in children[i] for path in _paths(children, child)] or [[i]]


def _solid(link: Link) -> bool:
    return bool(link.capsules or link.boxes)


def _name(tree: Tree, links: Iterable[int], taken: list[str]) -> str:
    """What the links' names begin with, or the first one's name."""
    names = [tree.names[i] for i in links]
    name = _beginning(names).strip("_-. ") or names[0]
    return name if name not in taken else names[-1]


def _closes(joint: Joint) -> float:
    """1 or -1, towards the end of its range that is clearly farther from 0; 0 if both are as far."""
    near, far = sorted((abs(joint.lower), abs(joint.upper)))
    return float(far > 1.2 * near) * (1 if far == abs(joint.upper) else -1)


def _bent(joint: Joint) -> float:
    low = float(np.clip(0, joint.lower, joint.upper))
    return round(low + _BENT * ((joint.upper if _closes(joint) > 0 else joint.lower) - low), 2)


def _flexors(hand: Hand, digits: list[Digit]) -> Iterator[Joint]:
    """Joints of the digits whose axes are parallel to the one that bends their last link."""
    rotation = hand.forward_kinematics(hand.rest_pose()).rotation.numpy()
    for digit in digits:
        joints = {i: joint for i in digit.links if (joint := hand.spec.tree.links[i].joint)}
        axes = {i: rotation[i] @ joint.axis for i, joint in joints.items()}
        for i, joint in joints.items():
            if _closes(joint) and not (joint.mimic or joint.slide) and abs(axes[i] @ axes[digit.last]) > _PARALLEL:
                yield joint


def _tip(hand: Hand, digit: Digit) -> tuple[int, NDArray[np.float64]]:
    """Link and offset: a frame without a shape that is fixed to the last link, or the farthest part of this link."""
    last = digit.solid[-1]
    frames = [i for i in digit.links if i > last and "tip" in hand.link_names[i].lower()]
    if frames:
        return frames[-1], np.zeros(3)
    mesh = cast(trimesh.Trimesh, trimesh.util.concatenate(link_meshes(hand.spec.tree.links[last], visual=False)))
    reach = mesh.vertices @ mesh.centroid / np.linalg.norm(mesh.centroid)
    return last, mesh.vertices[reach >= reach.max() - _TIP].mean(0)


def _palmar(
    hand: Hand, digits: list[Digit], tips: Mapping[str, tuple[int, NDArray[np.float64]]]
) -> dict[str, list[float]]:
    """Pad directions in the links' frames: of the root under `default`."""
    links = hand.forward_kinematics(hand.rest_pose())
    rotation, origin = links.rotation.numpy(), links.translation.numpy()
    reached = {name: rotation[link] @ at + origin[link] for name, (link, at) in tips.items()}
    middle, found, sides = np.mean(list(reached.values()), 0), {}, []
    for digit in digits:
        joint, tip = hand.spec.tree.links[digit.last].joint, reached[digit.name]
        assert joint is not None
        axis = rotation[digit.last] @ joint.axis
        moves = axis if joint.slide else np.cross(axis, tip - origin[digit.last])
        axis = axis * (_closes(joint) or np.sign(moves @ (middle - tip)) or 1)
        ends = [*(origin[i] for i in digit.links[1 : digit.links.index(digit.solid[-1]) + 1]), tip]
        for i, end in zip(digit.links, ends, strict=False):
            along = end - origin[i] if np.linalg.norm(end - origin[i]) > 1e-4 else tip - origin[i]
            side = axis if joint.slide else np.cross(axis, along)
            if np.linalg.norm(side) > 1e-9:
                side = side / np.linalg.norm(side)
                found[hand.link_names[i]] = _rounded(rotation[i].T @ side, 2)
        sides.append(side)
    mean, forward = np.mean(sides, 0), middle / np.linalg.norm(middle)
    default = mean - (mean @ forward) * forward if np.linalg.norm(mean) > _AGREED else forward
    return {"default": _rounded(default / np.linalg.norm(default), 1), **found}


def _rounded(values: NDArray[np.float64], digits: int = 4) -> list[float]:
    return [round(float(x), digits) + 0.0 for x in values]


def _as_text(content: Mapping[str, Any], model: Path) -> str:
    """The YAML with a comment on what is a guess."""
    about = {
        "root": "frame of HandPose: the link with the most branches that move",
        "limits": "radians; the file has none",
        "fingertips": "metres, link frame: where the last link reaches farthest; in the order of the keypoints",
        "palmar": "where a link's pad faces, link frame: where it moves when the digit closes; default: the palm",
        "contact_links": "each gets 10 contact candidates",
        "rest": "a relaxed open posture, radians; joints not named rest at 0 or the nearest limit",
    }
    lines = [f"# Guessed from {model.name}: look at every line, and at the picture of `dexzoo hand {model.stem}.yaml`."]
    for key, value in content.items():
        nested = isinstance(value, dict | list) and value
        lines += [f"{key}:" + (f" # {about[key]}" if key in about else "")] if nested else []
        if isinstance(value, dict) and value:
            lines += [f"  {_flow(name)}: {_flow(entry)}" for name, entry in value.items()]
        elif isinstance(value, list) and value:
            lines += [f"  - {_flow(entry)}" for entry in value]
        else:
            lines.append(f"{key}: {_flow(value)}" + (f" # {about[key]}" if key in about else ""))
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).removesuffix("\n...\n").strip()
