"""Reads a URDF or a MuJoCo model file (MJCF) into a `Tree`: `mujoco.MjSpec` parses both and compiles all but meshes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mujoco
import numpy as np
import trimesh
from numpy.polynomial import Polynomial

from .actuators import file_servos
from .errors import HandSpecError, nearest
from .shapes import primitive
from .tree import Box, Capsule, Inertia, Joint, Link, Servo, Tree, Visual

_GEOM, _JOINT, _EQUALITY = mujoco.mjtGeom, mujoco.mjtJoint, mujoco.mjtEq
_JOINT_TYPES = ("revolute", "continuous", "prismatic", "fixed", "floating", "planar")
_Couplings = dict[str, tuple[str, tuple[float, ...]]]
_UNREAD = ("keys", "sensors", "actuators", "meshes", "skins", "tuples", "materials", "textures")


@dataclass
class _File:
    """A model file as MuJoCo parsed it, and afterwards compiled it; `files` replaces file names of its meshes."""

    path: Path
    prefix: str
    spec: mujoco.MjSpec
    urdf: bool = False
    files: dict[str, Path] = field(default_factory=dict)
    visuals: dict[str, Visual] = field(default_factory=dict)
    explicit: set[str] = field(default_factory=set)
    servos: dict[str, Servo] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def name(self, element: object) -> str:
        return element.name.removeprefix(self.prefix)  # type: ignore[attr-defined]


def read_model(path: Path, prefix: str = "") -> Tree:
    """Every body of the file, depth first.

    A body with several joints becomes a chain of links of which the last has its name. Equality constraints and
    `<mimic>` become polynomials, also those of two joints on a fixed tendon; closed loops are left out, and noted.
    Shapes that can collide become primitives: a cylinder its inscribed capsule, a mesh or an ellipsoid its bounding
    box. Meshes that cannot are for drawing; they collide if nothing else does. All of this is noted on the links.
    `package://` is looked up in the folders above the file.

    Args:
        path: the file; its includes and meshes are found relative to it.
        prefix: removed from all names.

    Raises:
        HandSpecError: neither URDF nor MJCF, or MuJoCo cannot read it.
    """
    text = path.read_text(errors="replace")
    bare = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    tag = re.search(r"<([A-Za-z][\w:]*)", bare)
    root = tag[1] if tag else "nothing"
    if path.suffix.lower() == ".xacro" or "<xacro:" in bare:
        plain = path.name.removesuffix(".xacro").removesuffix(".urdf")
        raise HandSpecError(
            f"{path}: expected a URDF file, found macros of xacro; expand them with `pip install xacro` and "
            f"`xacro {path.name} > {plain}_expanded.urdf`"
        )
    if root not in ("robot", "mujoco", "mujocoinclude"):
        raise HandSpecError(
            f"{path}: expected a URDF file with a <robot> or an MJCF file with a <mujoco>, found <{root}>"
        )
    try:
        if root == "robot":
            file = _parse_urdf(text, path, prefix)
        else:
            file = _File(path, prefix, mujoco.MjSpec.from_file(str(path)))
        _simplify(file)
        model = _compile(file)
    except (ValueError, RuntimeError, ET.ParseError) as error:
        if isinstance(error, HandSpecError):
            raise
        kind, found = "a URDF" if root == "robot" else "an MJCF", " ".join(str(error).split())
        raise HandSpecError(f"{path}: expected {kind} file that MuJoCo can read, found: {found}") from error
    return _tree(file, model)


def _parse_urdf(text: str, path: Path, prefix: str) -> _File:
    """Gives meshes unique names, which MuJoCo would shorten, and keeps links and shapes, which it would drop."""
    robot = ET.parse(path, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))).getroot()  # lines stay the same
    _check_structure(robot, path)
    compiler = _child(_child(robot, "mujoco"), "compiler")
    compiler.attrib |= {"fusestatic": "false", "discardvisual": "false", "strippath": "false"}
    folder = path.parent / compiler.attrib.pop("meshdir", "")
    files = {}
    for i, mesh in enumerate(robot.iter("mesh")):
        files[f"mesh_{i}"] = _mesh_file(mesh.get("filename", ""), path, folder)
        mesh.set("filename", f"mesh_{i}.stl")
    mimics = [(joint.get("name"), mimic) for joint in robot.findall("joint") for mimic in joint.findall("mimic")]
    for joint in robot.findall("joint"):
        for mimic in joint.findall("mimic"):  # not every MuJoCo reads them
            joint.remove(mimic)
        if joint.get("type") == "floating":  # MuJoCo accepts it at the top only, but anything may be above the hand
            joint.set("type", "spherical")
            for limit in joint.findall("limit"):
                joint.remove(limit)
    above = "\n" * text[: text.index("<robot")].count("\n")
    file = _File(path, prefix, mujoco.MjSpec.from_string(above + ET.tostring(robot, encoding="unicode")), True, files)
    known = {joint.name for joint in file.spec.joints}
    for name, mimic in mimics:
        if name in known:
            driver = mimic.get("joint", "")
            if driver not in known:
                raise HandSpecError(f"{path}: joint {name!r} mimics {driver!r}; {nearest(driver, known)}")
            equality = file.spec.add_equality(type=_EQUALITY.mjEQ_JOINT, name1=name, name2=driver)
            equality.data[:5] = float(mimic.get("offset", 0)), float(mimic.get("multiplier", 1)), 0, 0, 0
    return file


def _child(element: ET.Element, tag: str) -> ET.Element:
    found = element.find(tag)
    return ET.SubElement(element, tag) if found is None else found


def _check_structure(robot: ET.Element, path: Path) -> None:
    """Refuses what MuJoCo refuses without names: unknown links and joint types, two joints above a link, loops."""
    names = [link.get("name", "") for link in robot.findall("link")]
    above: dict[str, str] = {}
    for joint in robot.findall("joint"):
        where, ends = f"{path}: joint {joint.get('name')!r}", []
        for end in ("parent", "child"):
            element = joint.find(end)
            ends.append("" if element is None else element.get("link", ""))
            if ends[-1] not in names:
                raise HandSpecError(f"{where}: no {end} {ends[-1]!r}; {nearest(ends[-1], names)}")
        if joint.get("type") not in _JOINT_TYPES:
            raise HandSpecError(
                f"{where}: expected a type among {', '.join(_JOINT_TYPES)}; found {joint.get('type')!r}"
            )
        if ends[1] in above:
            raise HandSpecError(f"{path}: link {ends[1]!r}: expected one joint above it, found two")
        above[ends[1]] = ends[0]
    for name in names:
        chain = [name]
        while (up := above.get(chain[-1])) is not None:
            if up in chain:
                circle = " -> ".join([*chain[chain.index(up) :], up])
                raise HandSpecError(f"{path}: expected links below one root, found a loop: {circle}")
            chain.append(up)


def _mesh_file(name: str, path: Path, folder: Path) -> Path:
    inside = re.sub(r"^(package|file|model)://", "", name)
    if not name.startswith(("package://", "model://")):
        return (folder / inside).resolve()
    candidates = [above / inside for above in path.resolve().parents]
    candidates += [above / Path(*Path(inside).parts[1:]) for above in path.resolve().parents]
    return next((file for file in candidates if file.is_file()), candidates[0])


def _simplify(file: _File) -> None:
    """Names what is nameless, and replaces meshes by small spheres: compiling would read and centre them."""
    spec = file.spec
    for i, body in enumerate(spec.bodies):
        body.name = body.name or f"body_{i}"
        for k, joint in enumerate(body.joints):
            joint.name = joint.name or f"{body.name}_joint{k or ''}"
    meshes = {mesh.name: mesh for mesh in spec.meshes}
    for i, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"geom_{i}"
        if geom.type in (_GEOM.mjGEOM_MESH, _GEOM.mjGEOM_SDF):
            file.visuals[geom.name] = _visual(file, meshes[geom.meshname])
            geom.type, geom.meshname, geom.size = _GEOM.mjGEOM_SPHERE, "", [0.001, 0, 0]
    for element in (*spec.geoms, *spec.sites, *spec.tendons):
        element.material = ""
    fitted = {geom.meshname for geom in spec.geoms}
    file.explicit = {body.name for body in spec.bodies if body.explicitinertial}
    file.servos = file_servos(spec)
    for element in [e for group in _UNREAD for e in getattr(spec, group)]:
        if element.name not in fitted or element not in spec.meshes:
            spec.delete(element)


def _visual(file: _File, mesh: mujoco.MjsMesh) -> Visual:
    """The mesh in the frame of its geom, as MuJoCo places its vertices."""
    linear = np.diag(mesh.scale) @ _rotation(np.array(mesh.refquat)).T
    path = file.files.get(mesh.name) or (file.path.parent / file.spec.meshdir / mesh.file).resolve()
    if len(mesh.uservert):
        vertices, faces = (np.array(x).reshape(-1, 3) for x in (mesh.uservert, mesh.userface))
        inline = trimesh.Trimesh(vertices, faces, process=False) if len(faces) else trimesh.convex.convex_hull(vertices)
        return Visual(Path(mesh.name), linear, -linear @ mesh.refpos, inline)
    return Visual(path, linear, -linear @ mesh.refpos)


def _compile(file: _File) -> mujoco.MjModel:
    """Inertias that MuJoCo refuses are dropped: the simulation takes those of the shapes instead."""
    file.spec.compiler.boundmass, file.spec.compiler.boundinertia = 1e-9, 1e-15
    file.spec.compiler.balanceinertia = True
    try:
        return file.spec.compile()
    except ValueError as error:
        if not file.explicit or "inertia" not in str(error):
            raise
    for body in file.spec.bodies:
        body.explicitinertial = False
    file.explicit.clear()
    file.notes.append("the file's inertias are impossible: those of the shapes are used")
    return file.spec.compile()


def _tree(file: _File, model: mujoco.MjModel) -> Tree:
    couplings = _couplings(file, model)
    links = [link for i in range(1, model.nbody) for link in _links(file, model, i, couplings)]  # depth first
    if not any(link.capsules or link.boxes for link in links):
        links = [link for i in range(1, model.nbody) for link in _links(file, model, i, couplings, visual=True)]
    links[0] = replace(links[0], notes=(*links[0].notes, *file.notes))
    names = {k: file.name(model.geom(k)) for pair in (model.pair_geom1, model.pair_geom2) for k in pair}
    pairs = tuple((names[a], names[b]) for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True))
    return Tree(tuple(links), pairs, str(file.path))


def _links(file: _File, model: mujoco.MjModel, i: int, couplings: _Couplings, visual: bool = False) -> Iterator[Link]:
    """The links of a body: one for each joint, at least one; `visual`: what cannot collide does."""
    name, parent = file.name(model.body(i)), int(model.body_parentid[i])
    above = file.name(model.body(parent)) if parent else None
    link = Link(name, above, model.body_pos[i].copy(), _rotation(model.body_quat[i]))
    first, count = int(model.body_jntadr[i]), int(model.body_jntnum[i])
    for k in range(first, first + count):
        joint = _joint(file, model, k, couplings)
        link = replace(link, joint=joint)
        if not joint.ball:
            link = link.moved(-float(model.qpos0[model.jnt_qposadr[k]]))
        if k + 1 < first + count:
            yield replace(link, name=f"{name}_{joint.name}")
            link = Link(name, f"{name}_{joint.name}")
    shapes, notes, visuals = [], [], []
    for k in range(model.body_geomadr[i], model.body_geomadr[i] + model.body_geomnum[i]):
        mesh = _placed(file, model, k)
        if visual or _collides(model, k):
            shape, note = primitive(model, k, file.name(model.geom(k)), mesh, f"{file.path}: link {name!r}")
            shapes += [shape] if shape else []
            notes += [note] if note else []
        if mesh and not _collides(model, k):
            visuals.append(mesh)
    if visual and shapes:
        notes.insert(0, "collides as it is drawn, because the file has no collision shapes")
    turn, principal = _rotation(model.body_iquat[i]), model.body_inertia[i].copy()
    inertia = Inertia(float(model.body_mass[i]), model.body_ipos[i].copy(), turn, principal)
    yield replace(
        link,
        capsules=tuple(shape for shape in shapes if isinstance(shape, Capsule)),
        boxes=tuple(shape for shape in shapes if isinstance(shape, Box)),
        visuals=tuple(visuals),
        inertia=inertia if model.body(i).name in file.explicit else None,
        notes=tuple(notes),
    )


def _placed(file: _File, model: mujoco.MjModel, k: int) -> Visual | None:
    """The mesh of geom `k`, if it is one, in the frame of its link."""
    mesh, rotation = file.visuals.get(model.geom(k).name), _rotation(model.geom_quat[k])
    shift = model.geom_pos[k]
    return mesh and replace(mesh, linear=rotation @ mesh.linear, translation=rotation @ mesh.translation + shift)


def _joint(file: _File, model: mujoco.MjModel, k: int, couplings: _Couplings) -> Joint:
    """Joint `k`; one of the floating base counts as a ball, since it must be cut off like one."""
    dof, kind, name = int(model.jnt_dofadr[k]), model.jnt_type[k], file.name(model.joint(k))
    lower, upper = model.jnt_range[k] if model.jnt_limited[k] else (-np.inf, np.inf)
    passive = {
        "damping": float(np.ravel(model.dof_damping[dof])[0]),  # MuJoCo 4 keeps a polynomial per joint
        "armature": float(model.dof_armature[dof]),
        "frictionloss": float(model.dof_frictionloss[dof]),
    }
    return Joint(
        name=name,
        axis=model.jnt_axis[k].copy(),
        lower=float(lower),
        upper=float(upper),
        slide=bool(kind == _JOINT.mjJNT_SLIDE),
        anchor=model.jnt_pos[k].copy(),
        mimic=couplings.get(name),
        ball=kind in (_JOINT.mjJNT_BALL, _JOINT.mjJNT_FREE),
        servo=file.servos.get(model.joint(k).name, Servo()),
        **{key: value for key, value in passive.items() if value or not file.urdf},  # few URDFs give them
    )


def _couplings(file: _File, model: mujoco.MjModel) -> _Couplings:
    """Joint -> (the joint that it follows, coefficients), of the equalities that are active."""
    found: _Couplings = {}
    disabled = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EQUALITY
    for k in range(model.neq):
        kind, data = model.eq_type[k], model.eq_data[k, :5]
        first, second = int(model.eq_obj1id[k]), int(model.eq_obj2id[k])
        if disabled or not model.eq_active0[k]:
            continue
        if kind == _EQUALITY.mjEQ_TENDON:
            coupling = _tendon_coupling(model, first, second, Polynomial(data))
        else:
            coupling = (first, second, Polynomial(data)) if kind == _EQUALITY.mjEQ_JOINT else None
        if coupling is None or file.name(model.joint(coupling[0])) in found:
            kind = _EQUALITY(kind).name.removeprefix("mjEQ_").lower()
            file.notes.append(f"the {kind} constraint {model.equality(k).name or k} is not part of the kinematics")
            continue
        follower, driver, value = coupling
        zero, other = (float(model.qpos0[model.jnt_qposadr[j]]) if j >= 0 else 0.0 for j in (follower, driver))
        value = value(Polynomial([-other, 1.0])) + zero if driver >= 0 else Polynomial([value(0.0) + zero])
        name = file.name(model.joint(driver)) if driver >= 0 else ""
        found[file.name(model.joint(follower))] = name, tuple(map(float, value.coef))
    return found


def _tendon_coupling(
    model: mujoco.MjModel, first: int, second: int, value: Polynomial
) -> tuple[int, int, Polynomial] | None:
    """Follower, driver and the polynomial of their displacements, where fixed tendons tie two joints, else None."""
    wraps = []
    for tendon in [first, second] if second >= 0 else [first]:
        start = int(model.tendon_adr[tendon])
        for w in range(start, start + int(model.tendon_num[tendon])):
            if model.wrap_type[w] != mujoco.mjtWrap.mjWRAP_JOINT:
                return None
            wraps.append((int(model.wrap_objid[w]), float(model.wrap_prm[w])))
    if len(wraps) != 2 or 0.0 in (wraps[0][1], wraps[1][1]):
        return None
    (joint, gear), (other, other_gear) = wraps
    if second >= 0:  # gear q = value(other_gear other)
        return (joint, other, value(Polynomial([0.0, other_gear])) / gear) if model.tendon_num[first] == 1 else None
    return other, joint, Polynomial([value(0.0), -gear]) / other_gear  # gear q + other_gear other = value(0)


def _collides(model: mujoco.MjModel, geom: int) -> bool:
    paired = geom in model.pair_geom1 or geom in model.pair_geom2
    return bool(model.geom_contype[geom] or model.geom_conaffinity[geom] or paired)


def _rotation(quat: np.ndarray) -> np.ndarray:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat / np.linalg.norm(quat))
    return matrix.reshape(3, 3)
