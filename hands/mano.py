"""MANO as a `Hand`: 15 ball joints given as axis-angle, a skinned surface, the shape of a person.

Kinematics needs no skinning: p_k = p_parent + G_parent (J_k - J_parent), G_k = G_parent R(theta_k), with J the rest
joints. The root frame is the wrist: `HandPose.translation` is the wrist joint, which is J_0 + smplx's `transl`. Joint
values are relative to the flat hand (smplx: `flat_hand_mean=True, use_pca=False`); data relative to the mean hand is
brought there by adding `hands_mean`. Agrees with smplx to 1e-6 m (tests/hands/test_mano.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ..geometry.rotations import rotvec_to_rotmat
from ..geometry.sampling import sample_surface
from .errors import HandError, HandSpecError
from .hand import Hand
from .kinematics import ExactBuffers, Links
from .mano_model import NAMES, PARENTS, ManoModel, find_mano, mano_model, read_mano
from .points import LinkPoints
from .pose import HandPose
from .products import compose, rotate
from .spec import HandSpec, assemble
from .tree import Capsule, Joint, Link, Tree


@dataclass(frozen=True)
class SkinPoints(LinkPoints):
    """Points on the skin, each inside a triangle of the mesh; `link` is the bone that moves it most.

    Attributes:
        vertex: (n, 3), int64, corners of the triangle.
        share: (n, 3), barycentric coordinates.
    """

    vertex: Tensor
    share: Tensor


@dataclass(frozen=True, eq=False)
class ManoSpec(HandSpec):
    """`HandSpec` with the arrays of the model; the YAML's content is kept to build the same hand for another person."""

    model: ManoModel | None = None
    content: Mapping[str, Any] | None = None


class BallKinematics(ExactBuffers):
    """World transforms of a tree of ball joints, (..., 3 x joints) axis-angle; `parents` come before their children."""

    offsets: Tensor
    order: Tensor

    def __init__(self, offsets: np.ndarray, parents: tuple[int, ...]) -> None:
        super().__init__()
        self.add_constant("offsets", offsets)
        depth = [0] * len(parents)
        for i in range(1, len(parents)):
            depth[i] = depth[parents[i]] + 1
        levels = [[i for i in range(len(parents)) if depth[i] == d] for d in range(1, max(depth) + 1)]
        above = [[0] * len(levels[0])]
        above += [[up.index(parents[i]) for i in level] for up, level in pairwise(levels)]
        self.num_levels = len(levels)
        for d in range(len(levels)):  # a list as an index would be copied to the device every time
            self.add_constant(f"level{d}", np.array(levels[d], dtype=np.int64))
            self.add_constant(f"above{d}", np.array(above[d], dtype=np.int64))
        self.add_constant("order", np.argsort([0, *(i for level in levels for i in level)]))

    def forward(self, rotation: Tensor, translation: Tensor, joints: Tensor) -> Links:
        """As `Kinematics.forward`."""
        local = rotvec_to_rotmat(joints.unflatten(-1, (-1, 3)))
        offsets = self.offsets.to(joints)
        R, t = rotation.unsqueeze(-3), translation.unsqueeze(-2)
        rotations, translations = [R], [t]
        for d in range(self.num_levels):
            level, above = (getattr(self, f"{name}{d}").to(joints.device) for name in ("level", "above"))
            R, t = R[..., above, :, :], t[..., above, :]
            t = t + rotate(R, offsets[level])
            R = compose(R, local[..., level - 1, :, :])
            rotations.append(R)
            translations.append(t)
        order = self.order.to(joints.device)
        return Links(torch.cat(rotations, dim=-3)[..., order, :, :], torch.cat(translations, dim=-2)[..., order, :])


class ManoHand(Hand):
    """MANO, right hand. Beside `Hand`'s interface: vertices, the person's shape, what readers of MANO data need.

    Attributes:
        faces: (1538, 3) numpy, of the mesh.
        hands_mean: (45,), radians, mean joint values relative to the flat hand.
        components: (45, 45), rows are the principal axes of the joint values.
        rest_wrist: (3,), metres, J_0: `HandPose.translation` = J_0 + smplx's `transl`.
        stand_in: the model is the generated stand-in, not MANO.
    """

    spec: ManoSpec
    hands_mean: Tensor
    components: Tensor
    rest_wrist: Tensor
    _template: Tensor
    _joints: Tensor
    _pose_blend: Tensor
    _weights: Tensor
    _parents: Tensor
    _tips: Tensor

    def __init__(self, spec: ManoSpec) -> None:
        super().__init__(spec)
        model = spec.model
        if model is None:
            raise HandError(f"{spec.file}: expected a spec made by read_mano_spec, found one without a model")
        self.faces, self.stand_in = model.faces, model.stand_in
        joints = model.regressor @ model.template
        self.add_constant("hands_mean", model.mean)
        self.add_constant("components", model.components)
        self.add_constant("rest_wrist", joints[0])
        self.add_constant("_template", model.template)
        self.add_constant("_joints", joints)
        self.add_constant("_pose_blend", model.pose_blend)
        self.add_constant("_weights", model.weights)
        self.add_constant("_parents", np.array(PARENTS[1:]))
        tips = [entry["vertex"] for entry in (spec.content or {})["fingertips"].values()]
        self.add_constant("_tips", np.array(tips))

    @property
    def title(self) -> str:
        """ "mano", or "mano (stand-in)" where the model is not MANO."""
        return f"{self.name} (stand-in)" if self.stand_in else self.name

    @property
    def has_visuals(self) -> bool:
        """The skin is there."""
        return True

    def _make_kinematics(self, spec: HandSpec) -> nn.Module:
        return BallKinematics(np.array([link.translation for link in spec.tree.links]), spec.tree.parents)

    def keypoints(self, links: Links) -> Tensor:
        """(..., 21, 3) world positions, metres: the 16 joints, then the fingertip vertices."""
        return torch.cat([links.translation, self.vertices(links, self._tips)], dim=-2)

    def vertices(self, links: Links, index: Tensor | None = None) -> Tensor:
        """Linear blend skinning with MANO's pose-dependent corrections.

        Args:
            links: batch shape (...).
            index: (V,), int64, which vertices; all 778 by default.

        Returns:
            (..., V, 3), metres, world.
        """
        index = None if index is None else index.to(self._template.device)

        def of(table: Tensor) -> Tensor:
            return (table if index is None else table[index]).to(links.rotation)

        R, joints = links.rotation, self._joints.to(links.rotation)
        eye = torch.eye(3, device=R.device, dtype=R.dtype)
        bend = (compose(R[..., self._parents.to(R.device), :, :].mT, R[..., 1:, :, :]) - eye).flatten(-3)
        moved = links.translation - rotate(R, joints)
        with torch.autocast(R.device.type, enabled=False):  # half precision is a millimetre here
            rest = of(self._template) + torch.einsum("vcp,...p->...vc", of(self._pose_blend), bend)
            turned = torch.einsum("vk,...kij->...vij", of(self._weights), R)
            return rotate(turned, rest) + of(self._weights) @ moved

    def place(self, links: Links, points: LinkPoints) -> Tensor:
        """(..., n, 3) world positions, metres; `SkinPoints` follow the skin, other points their link."""
        if not isinstance(points, SkinPoints):
            return super().place(links, points)
        corner = points.vertex.to(links.rotation.device)
        if corner.numel() < len(self._template):
            corners = self.vertices(links, corner.flatten()).unflatten(-2, corner.shape)
        else:  # each vertex once is less
            corners = self.vertices(links)[..., corner, :]
        return (corners * points.share.to(corners).unsqueeze(-1)).sum(-2)

    def surface(self, n: int, seed: int = 0) -> SkinPoints:
        """n points on the skin with uniform density in the flat hand, the same for the same n and seed."""
        return _skin(self.spec, n, seed).to(self.lower)

    def mesh(self, pose: HandPose, visual: bool = True) -> trimesh.Trimesh:
        """The posed skin, or with `visual=False` the capsules; world frame, metres; batch shape ()."""
        if not visual or len(pose.shape):
            return super().mesh(pose, visual)
        links = self.forward_kinematics(pose.map(lambda x: x.detach().double()))
        return trimesh.Trimesh(self.vertices(links).cpu().numpy(), self.faces, process=False)

    def with_template(self, vertices: ArrayLike) -> ManoHand:
        """The hand of a person given by 778 vertices in the flat pose, (778, 3), metres (GRAB's `v_template`).

        Raises:
            HandError: another shape.
        """
        template = np.asarray(vertices, dtype=np.float64)
        if template.shape != (778, 3):
            raise HandError(f"vertices: expected shape (778, 3), found {template.shape}")
        spec = self.spec
        return ManoHand(_spec_of(replace(spec.model, template=template), spec.content or {}, spec.file))  # type: ignore[type-var]

    def with_shape(self, betas: ArrayLike) -> ManoHand:
        """The hand of a person given by up to ten shape coefficients.

        Raises:
            HandError: more than ten.
        """
        betas = np.asarray(betas, dtype=np.float64).ravel()
        if len(betas) > 10:
            raise HandError(f"betas: expected up to 10 shape coefficients, found {len(betas)}")
        model = self.spec.model
        return self.with_template(model.template + model.shape_blend[:, :, : len(betas)] @ betas)  # type: ignore[union-attr]


def read_mano_spec(content: Mapping[str, Any], file: Path) -> ManoSpec:
    """The YAML of a hand of kind `mano`, joined with the model file that it or the environment names.

    `model: stand-in` makes the generated stand-in in memory: it needs no file.

    Raises:
        ManoModelNotFound: the licensed file is not there.
        HandSpecError: something is wrong in the YAML or in the model file.
    """
    if content.get("model") == "stand-in":
        from .mano_standin import standin

        return _spec_of(mano_model(standin(), file), content, file)
    return _spec_of(read_mano(find_mano(content.get("model"), file)), content, file)


def _spec_of(model: ManoModel, content: Mapping[str, Any], file: Path) -> ManoSpec:
    joints = model.regressor @ model.template
    tips = {}
    for name, entry in content.get("fingertips", {}).items():
        known = isinstance(entry, dict) and set(entry) == {"link", "vertex"} and entry["link"] in NAMES
        if not known or not 0 <= entry["vertex"] < len(model.template):
            raise HandSpecError(
                f"{file}: fingertips: {name}: expected {{link: NAME, vertex: 0 to 777}}, found {entry!r}"
            )
        offset = model.template[entry["vertex"]] - joints[NAMES.index(entry["link"])]
        tips[name] = {"link": entry["link"], "offset": offset.tolist()}
    ends = {entry["link"]: np.array(entry["offset"]) for entry in tips.values()}
    links = tuple(_link(k, model, joints, ends) for k in range(len(NAMES)))
    rest = {f"{NAMES[k // 3 + 1]}_{'xyz'[k % 3]}": float(value) for k, value in enumerate(model.mean)}
    common = assemble({**content, "fingertips": tips, "rest": rest}, Tree(links, source=str(model.file)), file)
    return ManoSpec(**vars(common), model=model, content=content)


def _link(k: int, model: ManoModel, joints: np.ndarray, ends: Mapping[str, np.ndarray]) -> Link:
    """Link k with capsules along its bones, as thick as the skin is away from them: the stand-in for a solid."""
    parent = PARENTS[k]
    own = model.template[model.weights.argmax(1) == k] - joints[k]
    axes = [joints[child] - joints[k] for child in range(len(NAMES)) if PARENTS[child] == k]
    axes = axes or [ends.get(NAMES[k], own.mean(0))]
    distance = np.min([_to_axis(own, axis) for axis in axes], axis=0)
    radius = float(np.median(distance))
    shortened = [axis * max(0.0, 1 - radius / np.linalg.norm(axis)) if NAMES[k] in ends else axis for axis in axes]
    capsules = tuple(Capsule(np.zeros(3), end, radius, f"C_{NAMES[k]}{i or ''}") for i, end in enumerate(shortened))
    if parent < 0:
        return Link(NAMES[k], None, capsules=capsules)
    joint = Joint(NAMES[k], np.zeros(3), -np.pi, np.pi, ball=True)
    return Link(NAMES[k], NAMES[parent], joints[k] - joints[parent], joint=joint, capsules=capsules)


def _to_axis(points: np.ndarray, axis: np.ndarray) -> np.ndarray:
    along = np.clip(points @ axis / (axis @ axis), 0, 1)
    return np.linalg.norm(points - along[:, None] * axis, axis=1)


@lru_cache(maxsize=16)
def _skin(spec: ManoSpec, n: int, seed: int) -> SkinPoints:
    model = spec.model
    if model is None:
        raise HandError(f"{spec.file}: expected a spec made by read_mano_spec, found one without a model")
    points, normals, face = sample_surface(model.template, model.faces, n, seed)
    corners = model.faces[face]
    share = trimesh.triangles.points_to_barycentric(model.template[corners], points)
    link = np.einsum("nc,nck->nk", share, model.weights[corners]).argmax(1)
    position = points - (model.regressor @ model.template)[link]
    return SkinPoints(*(torch.from_numpy(x) for x in (link, position, normals, corners, share)))
