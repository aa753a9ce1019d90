"""Reads a URDF into a `Tree`: links, joints with limits and mimics, collision shapes, visual meshes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .errors import HandSpecError, nearest
from .shapes import cylinder, mesh_box
from .tree import Box, Capsule, Inertia, Joint, Link, Tree, Visual

_HINGES, _SLIDES, _FIXED = ("revolute", "continuous"), ("prismatic",), ("fixed",)
_Pose = tuple[np.ndarray, np.ndarray]


def read_urdf(path: Path) -> Tree:
    """Every link of the file, depth first from its root; children in the order of the file's joints.

    Collision shapes become primitives: boxes and spheres as they are, a cylinder as its inscribed capsule, a mesh as
    its bounding box, both noted on the link. `package://` is looked up in the folders above the file.

    Raises:
        HandSpecError: invalid XML, an unknown parent, two roots or a loop, or an unsupported joint type.
    """
    try:
        robot = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise HandSpecError(f"{path}: expected a URDF file, found broken XML: {error}") from error
    if robot.tag != "robot":
        raise HandSpecError(f"{path}: expected a URDF file with a <robot>, found <{robot.tag}>")
    names = [_attribute(link, "name", path) for link in robot.findall("link")]
    above: dict[str, ET.Element] = {}
    for joint in robot.findall("joint"):
        for end in ("parent", "child"):
            name = _attribute(_child(joint, end, path), "link", path)
            if name not in names:
                raise HandSpecError(f"{path}: joint {joint.get('name')!r}: no {end} {name!r}; {nearest(name, names)}")
        child = _attribute(_child(joint, "child", path), "link", path)
        if child in above:
            raise HandSpecError(f"{path}: link {child!r}: expected one joint above it, found two")
        above[child] = joint
    roots = [name for name in names if name not in above]
    if len(roots) != 1:
        raise HandSpecError(f"{path}: expected one root link, found {len(roots)}: {', '.join(roots) or 'a loop'}")
    elements = {link.get("name"): link for link in robot.findall("link")}
    links = tuple(_link(elements[name], above.get(name), path) for name in _depth_first(roots[0], above))
    if len(links) < len(names):
        lost = sorted(set(names) - {link.name for link in links})
        raise HandSpecError(f"{path}: expected all links below {roots[0]!r}, found a loop among {', '.join(lost)}")
    return Tree(links, source=str(path))


def _depth_first(name: str, above: dict[str, ET.Element]) -> list[str]:
    children = [child for child, joint in above.items() if joint.find("parent").get("link") == name]  # type: ignore[union-attr]
    return [name] + [link for child in children for link in _depth_first(child, above)]


def _link(element: ET.Element, joint: ET.Element | None, path: Path) -> Link:
    name = str(element.get("name"))
    translation, rotation = _pose(joint)
    shapes, notes = [], []
    for k, collision in enumerate(element.findall("collision")):
        shape, note = _primitive(collision, f"C_{name}{k or ''}", path, name)
        shapes.append(shape)
        notes += [note] if note else []
    visuals = []
    for visual in element.findall("visual"):
        mesh = visual.find("geometry/mesh")
        if mesh is not None:
            visuals.append(Visual(_mesh_path(mesh, path), _scale(mesh, path), *_pose(visual)))
    return Link(
        name=name,
        parent=None if joint is None else joint.find("parent").get("link"),  # type: ignore[union-attr]
        translation=translation,
        rotation=rotation,
        joint=None if joint is None else _joint(joint, path),
        capsules=tuple(shape for shape in shapes if isinstance(shape, Capsule)),
        boxes=tuple(shape for shape in shapes if isinstance(shape, Box)),
        visuals=tuple(visuals),
        inertia=_inertia(element.find("inertial"), path),
        notes=tuple(notes),
    )


def _joint(element: ET.Element, path: Path) -> Joint | None:
    name, kind = _attribute(element, "name", path), _attribute(element, "type", path)
    if kind in _FIXED:
        return None
    if kind not in _HINGES + _SLIDES:
        known = ", ".join(_HINGES + _SLIDES + _FIXED)
        raise HandSpecError(f"{path}: joint {name!r}: expected a type among {known}; found {kind!r}")
    axis = _numbers(element.find("axis"), "xyz", [1, 0, 0], path, 3)
    if not np.linalg.norm(axis) > 0:
        raise HandSpecError(f"{path}: joint {name!r}: expected an axis of non-zero length, found {axis.tolist()}")
    limit, mimic = element.find("limit"), element.find("mimic")
    bounded = limit is not None and kind != "continuous"
    lower = float(_numbers(limit, "lower", [0], path)[0]) if bounded else -np.inf
    upper = float(_numbers(limit, "upper", [0], path)[0]) if bounded else np.inf
    driven = None
    if mimic is not None:
        gear = _numbers(mimic, "multiplier", [1], path)[0], _numbers(mimic, "offset", [0], path)[0]
        driven = (_attribute(mimic, "joint", path), float(gear[0]), float(gear[1]))
    return Joint(name, axis / np.linalg.norm(axis), lower, upper, kind in _SLIDES, mimic=driven)


def _primitive(collision: ET.Element, name: str, path: Path, link: str) -> tuple[Capsule | Box, str]:
    geometry = _child(collision, "geometry", path)
    centre, rotation = _pose(collision)
    shape = next(iter(geometry), ET.Element("nothing"))
    kind = shape.tag
    if kind == "box":
        return Box(centre, rotation, _numbers(shape, "size", None, path, 3) / 2, name), ""
    if kind == "sphere":
        return Capsule(centre, centre, float(_numbers(shape, "radius", None, path)[0]), name), ""
    if kind in ("cylinder", "capsule"):
        radius, length = (float(_numbers(shape, key, None, path)[0]) for key in ("radius", "length"))
        if kind == "cylinder":
            return cylinder(centre, rotation, radius, length / 2, name)
        along = rotation[:, 2] * length / 2
        return Capsule(centre - along, centre + along, radius, name), ""
    if kind == "mesh":
        file = _mesh_path(shape, path)
        middle, half = mesh_box(file, _scale(shape, path), f"{path}: link {link!r}: collision")
        box = Box(centre + rotation @ middle, rotation, half, name)
        return box, f"the mesh {file.name} collides as its bounding box"
    raise HandSpecError(f"{path}: link {link!r}: expected a box, sphere, cylinder, capsule or mesh, found {kind}")


def _inertia(element: ET.Element | None, path: Path) -> Inertia | None:
    mass = None if element is None else element.find("mass")
    if element is None or mass is None:
        return None
    centre, rotation = _pose(element)
    tensor = element.find("inertia")
    xx, yy, zz, xy, xz, yz = (_numbers(tensor, k, [0], path)[0] for k in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    diagonal, axes = np.linalg.eigh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    axes = axes * np.sign(np.linalg.det(axes))
    value = float(_numbers(mass, "value", None, path)[0])
    return Inertia(value, centre, rotation @ axes, diagonal) if value > 0 and diagonal.min() > 0 else None


def _pose(element: ET.Element | None) -> _Pose:
    origin = None if element is None else element.find("origin")
    xyz = _numbers(origin, "xyz", [0, 0, 0], Path(), 3)
    return xyz, Rotation.from_euler("xyz", _numbers(origin, "rpy", [0, 0, 0], Path(), 3)).as_matrix()


def _mesh_path(mesh: ET.Element, path: Path) -> Path:
    name = _attribute(mesh, "filename", path)
    if not name.startswith("package://"):
        return (path.parent / name.removeprefix("file://")).resolve()
    inside = name.removeprefix("package://")
    candidates = [folder / inside for folder in path.resolve().parents]
    candidates += [folder / Path(*Path(inside).parts[1:]) for folder in path.resolve().parents]
    return next((file for file in candidates if file.is_file()), candidates[0])


def _scale(mesh: ET.Element, path: Path) -> np.ndarray:
    return _numbers(mesh, "scale", [1, 1, 1], path, 3)


def _child(element: ET.Element, tag: str, path: Path) -> ET.Element:
    child = element.find(tag)
    if child is None:
        raise HandSpecError(f"{path}: <{element.tag} {element.get('name', '')}>: expected a <{tag}>, found none")
    return child


def _attribute(element: ET.Element, key: str, path: Path) -> str:
    value = element.get(key)
    if value is None:
        raise HandSpecError(f"{path}: <{element.tag}>: expected the attribute {key!r}, found {sorted(element.keys())}")
    return value


def _numbers(
    element: ET.Element | None, key: str, default: list[float] | None, path: Path, length: int = 1
) -> np.ndarray:
    text = None if element is None else element.get(key)
    if text is None and default is not None:
        return np.array(default, dtype=np.float64)
    try:
        values = np.array((text or "").split(), dtype=np.float64)
    except ValueError:
        values = np.zeros(0)
    if len(values) != length or not np.isfinite(values).all():
        tag = "?" if element is None else element.tag
        raise HandSpecError(f"{path}: <{tag} {key}>: expected {length} numbers, found {text!r}")
    return values
