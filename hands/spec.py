"""The YAML file that describes a hand: reading it, checking it, and joining it with the model file that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .errors import HandSpecError, nearest
from .fetch import fetched
from .tree import Tree
from .vectors import rotation_of, vector

SPECS = Path(__file__).parent / "specs"
_KINDS = ("tree", "mano")
_KEYS = {
    "tree": (
        *("name", "kind", "source", "links", "strip_prefix", "names", "root", "palm_links", "exclude"),
        *("fingertips", "palmar", "contact_links", "rest", "limits", "maps", "root_offset", "backend"),
        "overlaps",
    ),
    "mano": ("name", "kind", "model", "palm_links", "fingertips", "palmar", "contact_links", "overlaps"),
}
_MAPPINGS = ("names", "fingertips", "palmar", "rest", "limits", "maps", "root_offset")


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: it is read once per file
class HandSpec:
    """A hand as described by its YAML, with every name checked.

    Attributes:
        name: name of the hand.
        tree: links and joints, the root first.
        file: the YAML.
        palm_links: links that belong to the palm.
        fingertips: name -> (link, offset in the link's frame (3,), metres).
        palmar: direction that each link's pad faces, link frame, (3,) unit.
        contact_links: links with contact candidates.
        rest: joint values of the relaxed open posture, in joint order.
        maps: other hand -> {joint of this hand: (joint of the other, sign)}.
        root_offset: other hand -> (translation (3,), rotation (3, 3)) of its root frame in this hand's root frame.
        backend: "torch" or "pytorch_kinematics".
        source: the URDF or MJCF file, None if the chain is in the YAML.
        prefix: prefix that was removed from the names in it.
        overlaps: pairs of links that overlap by design, which is not measured (neighbours are never measured).
    """

    name: str
    tree: Tree
    file: Path
    palm_links: tuple[str, ...]
    fingertips: Mapping[str, tuple[str, np.ndarray]]
    palmar: Mapping[str, np.ndarray]
    contact_links: tuple[str, ...]
    rest: np.ndarray
    maps: Mapping[str, Mapping[str, tuple[str, float]]] = field(default_factory=dict)
    root_offset: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    backend: str = "torch"
    source: Path | None = None
    prefix: str = ""
    overlaps: tuple[tuple[str, str], ...] = ()


def find_spec_file(name: str | Path) -> Path:
    """The YAML of a shipped hand, or the path itself if it is one.

    Raises:
        HandSpecError: neither a shipped hand nor a file; the message gives the nearest shipped name.
    """
    if Path(name).suffix.lower() in {".urdf", ".xml"}:
        raise HandSpecError(
            f"{name}: expected the YAML of a hand, found a model; `dexzoo hand {name} --init` writes one"
        )
    if Path(name).suffix in {".yaml", ".yml"}:
        if not Path(name).is_file():
            raise HandSpecError(f"{name}: expected the YAML of a hand, found no such file")
        return Path(name).resolve()
    shipped = sorted(path.stem for path in SPECS.glob("*.yaml"))
    if str(name) not in shipped:
        raise HandSpecError(f"no hand {str(name)!r}; {nearest(str(name), shipped)}; or give the path of a YAML file")
    return SPECS / f"{name}.yaml"


def read_yaml(file: Path) -> dict[str, Any]:
    """The YAML as a dict whose keys are all known.

    Raises:
        HandSpecError: not a YAML mapping, a missing `name` or `kind`, or an unknown key.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise HandSpecError(f"{file}: expected YAML, found: {error}") from error
    if not isinstance(content, dict):
        raise HandSpecError(f"{file}: expected a mapping of keys, found {type(content).__name__}")
    for key in ("name", "kind"):
        if key not in content:
            raise HandSpecError(f"{file}: missing key {key!r}")
    if content["kind"] not in _KINDS:
        raise HandSpecError(f"{file}: kind: no {content['kind']!r}; {nearest(content['kind'], _KINDS)}")
    for key in content:
        if key not in _KEYS[content["kind"]]:
            raise HandSpecError(f"{file}: unknown key {key!r}; {nearest(key, _KEYS[content['kind']])}")
        if key in _MAPPINGS and not isinstance(content[key], dict | None):
            raise HandSpecError(f"{file}: {key}: expected a mapping of names, found {content[key]!r}")
    return {key: _named(value) for key, value in content.items() if value is not None}


def _named(value: Any) -> Any:
    """The value with every key as text: joints may be called 0, 1, 2."""
    return {str(k): _named(v) for k, v in value.items()} if isinstance(value, dict) else value


def read_names(file: Path) -> dict[str, str]:
    """A YAML of names: those of a model's joints and links -> those of the hand.

    Raises:
        HandSpecError: no such file, or something else in it.
    """
    if not file.is_file():
        raise HandSpecError(f"{file}: expected a YAML of names, found no such file")
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise HandSpecError(f"{file}: expected YAML, found: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str | int | float) for name in content.values()):
        raise HandSpecError(f"{file}: expected lines `NAME_IN_THE_MODEL: NAME_OF_THE_HAND`, found {content!r}")
    return {str(old): str(new) for old, new in content.items()}


def read_spec(content: Mapping[str, Any], file: Path) -> HandSpec:
    """The YAML of a hand of kind `tree`, joined with the model file that it names.

    Raises:
        HandSpecError: names file and key, what was expected and found, and the nearest existing name.
    """
    tree = read_tree(content, file)
    tree = tree.rooted_at(str(content.get("root", _wrist(tree))))
    for joint in tree.joints:
        if joint.ball:
            raise HandSpecError(f"{tree.source}: joint {joint.name!r}: expected a hinge or a slide, found a ball joint")
    return assemble(content, tree, file)


def _wrist(tree: Tree) -> str:
    """The first link that floats, otherwise the first link."""
    return next((link.name for link in tree.links if link.joint and link.joint.ball), tree.links[0].name)


def assemble(content: Mapping[str, Any], tree: Tree, file: Path) -> HandSpec:
    """Checks the YAML against the tree, and combines the two.

    Raises:
        HandSpecError: as for `read_spec`.
    """
    for key in ("fingertips", "contact_links"):
        if key not in content:
            raise HandSpecError(f"{file}: missing key {key!r}")
    tree = tree.without_geometry(_names(content, "exclude", file, tree.names))
    tree = tree.with_limits(_limits(content.get("limits", {}), file)).within_followers()
    _check_limits(tree, file)
    contact_links = _names(content, "contact_links", file, tree.names)
    _check_contacts(tree, contact_links, file)
    backend = _one_of(content.get("backend", "torch"), ("torch", "pytorch_kinematics"), f"{file}: backend")
    if backend != "torch" and "names" in content:
        raise HandSpecError(
            f"{file}: backend: expected torch beside `names`, found {backend}, which reads the file itself"
        )
    return HandSpec(
        name=str(content["name"]),
        tree=tree,
        file=file,
        palm_links=_names(content, "palm_links", file, tree.names) or (tree.links[0].name,),
        fingertips=_fingertips(content["fingertips"], file, tree),
        palmar=_palmar(content.get("palmar", {}), file, tree),
        contact_links=contact_links,
        rest=_rest(content.get("rest", {}), file, tree),
        maps=_maps(content.get("maps", {}), file, tree),
        root_offset={k: _pose(v, f"{file}: root_offset: {k}") for k, v in content.get("root_offset", {}).items()},
        backend=backend,
        source=source_path(content["source"], file) if "source" in content else None,
        prefix=str(content.get("strip_prefix", "")),
        overlaps=_overlaps(content.get("overlaps", []), file, tree),
    )


def read_tree(content: Mapping[str, Any], file: Path) -> Tree:
    """Links and joints of the model file, or of the list `links`, under the hand's names for them; raises likewise."""
    if ("source" in content) == ("links" in content):
        found = "both" if "source" in content else "neither"
        raise HandSpecError(
            f"{file}: expected either `source` (a URDF or MJCF file) or `links` (a list), found {found}"
        )
    if "links" in content:
        from .linklist import read_link_list

        return read_link_list(content["links"], file)
    from .model_file import read_model

    tree = read_model(source_path(content["source"], file), str(content.get("strip_prefix", "")))
    names, known = (
        content.get("names", {}),
        {k.name for k in tree.links} | {k.joint.name for k in tree.links if k.joint},
    )
    for name in names:
        _one_of(name, sorted(known), f"{file}: names")
    return tree.renamed(lambda name: str(names.get(name, name)))


def source_path(source: Any, file: Path) -> Path:
    """The model file: a path relative to the YAML, a fetched one, or one in an installed package, which isn't imported.

    Raises:
        HandSpecError: the package or the file is absent, or the model has not been fetched yet.
    """
    if isinstance(source, str):
        path = (file.parent / source).resolve()
    elif isinstance(source, dict) and "fetch" in source:
        path = fetched(file.stem, source["fetch"]) / source["file"]
    elif isinstance(source, dict) and set(source) == {"package", "file"}:
        package = find_spec(source["package"])
        if package is None or not package.submodule_search_locations:
            raise HandSpecError(f"{file}: source: package {source['package']!r} is not installed")
        path = Path(package.submodule_search_locations[0]) / source["file"]
    else:
        raise HandSpecError(f"{file}: source: expected a path or {{package: ..., file: ...}}, found {source!r}")
    if not path.is_file():
        raise HandSpecError(f"{file}: source: expected a URDF or MJCF file, found nothing at {path}")
    return path


def _one_of(value: Any, known: Iterable[str], where: str) -> str:
    if value not in known:
        raise HandSpecError(f"{where}: no {value!r}; {nearest(str(value), known)}")
    return value


def _names(content: Mapping[str, Any], key: str, file: Path, known: Iterable[str]) -> tuple[str, ...]:
    """A list of names, which may be grouped in nested lists for readability."""
    flat = []
    for entry in content.get(key, []):
        flat += entry if isinstance(entry, list) else [entry]
    return tuple(_one_of(str(name), known, f"{file}: {key}") for name in flat)


def _limits(content: Mapping[str, Any], file: Path) -> dict[str, tuple[float, float]]:
    pairs = {name: vector(value, f"{file}: limits: {name}", 2) for name, value in content.items()}
    return {name: (float(pair[0]), float(pair[1])) for name, pair in pairs.items()}


def _check_limits(tree: Tree, file: Path) -> None:
    for joint in tree.joints:
        if not (np.isfinite([joint.lower, joint.upper]).all() and joint.lower < joint.upper):
            raise HandSpecError(
                f"{file}: joint {joint.name!r}: expected a finite range lower < upper, found [{joint.lower}, "
                f"{joint.upper}]; give one under `limits: {{{joint.name}: [lower, upper]}}`"
            )


def _check_contacts(tree: Tree, links: tuple[str, ...], file: Path) -> None:
    for name in links:
        if not (tree[name].capsules or tree[name].boxes):
            solid = [link.name for link in tree.links if link.capsules or link.boxes]
            raise HandSpecError(f"{file}: contact_links: {name!r} has no collision shape; {nearest(name, solid)}")


def _overlaps(content: Any, file: Path, tree: Tree) -> tuple[tuple[str, str], ...]:
    solid = [link.name for link in tree.links if link.capsules or link.boxes]
    pairs = []
    if not isinstance(content, list):
        raise HandSpecError(f"{file}: overlaps: expected a list of pairs [link, other link], found {content!r}")
    for entry in content:
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] == entry[1]:
            raise HandSpecError(f"{file}: overlaps: expected pairs [link, other link], found {entry!r}")
        first, second = (_one_of(str(name), solid, f"{file}: overlaps") for name in entry)
        pairs.append((first, second))
    return tuple(pairs)


def _fingertips(content: Any, file: Path, tree: Tree) -> dict[str, tuple[str, np.ndarray]]:
    tips = {}
    for name, entry in content.items():
        where = f"{file}: fingertips: {name}"
        if not isinstance(entry, dict) or set(entry) != {"link", "offset"}:
            raise HandSpecError(f"{where}: expected {{link: NAME, offset: [x, y, z]}}, found {entry!r}")
        tips[str(name)] = (_one_of(str(entry["link"]), tree.names, where), vector(entry["offset"], where))
    return tips


def _palmar(content: Mapping[str, Any], file: Path, tree: Tree) -> dict[str, np.ndarray]:
    for name in content:
        _one_of(name, ("default", *tree.names), f"{file}: palmar")
    default = content.get("default", [0, -1, 0])
    directions = {}
    for name in tree.names:
        direction = vector(content.get(name, default), f"{file}: palmar: {name}")
        if not np.linalg.norm(direction) > 0:
            raise HandSpecError(f"{file}: palmar: {name}: expected a direction, found {direction.tolist()}")
        directions[name] = direction / np.linalg.norm(direction)
    return directions


def _rest(content: Mapping[str, Any], file: Path, tree: Tree) -> np.ndarray:
    ranges = {name: (lower, upper) for name, lower, upper in tree.coordinates}
    for name, value in content.items():
        lower, upper = ranges[_one_of(name, ranges, f"{file}: rest")]
        if not isinstance(value, int | float):
            raise HandSpecError(f"{file}: rest: {name}: expected a number, found {value!r}")
        if not lower <= value <= upper:
            raise HandSpecError(f"{file}: rest: {name}: expected {lower} to {upper}, found {value}")
    return np.array([content.get(name, np.clip(0.0, *ranges[name])) for name in ranges], dtype=np.float64)


def _maps(content: Mapping[str, Any], file: Path, tree: Tree) -> dict[str, dict[str, tuple[str, float]]]:
    own = [name for name, _, _ in tree.coordinates]
    maps: dict[str, dict[str, tuple[str, float]]] = {}
    for other, joints in content.items():
        maps[other] = {}
        for name, entry in joints.items():
            where = f"{file}: maps: {other}: {name}"
            _one_of(name, own, where)
            if not isinstance(entry, list) or len(entry) != 2 or entry[1] not in (1, -1):
                raise HandSpecError(f"{where}: expected [joint of {other}, 1 or -1], found {entry!r}")
            maps[other][name] = (str(entry[0]), float(entry[1]))
    return maps


def _pose(content: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(content, dict) or not set(content) <= {"translation", "rpy"}:
        raise HandSpecError(f"{where}: expected {{translation: [x, y, z], rpy: [r, p, y]}}, found {content!r}")
    return vector(content.get("translation", [0, 0, 0]), where), rotation_of(content, where)
