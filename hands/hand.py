"""Hand: everything that depends on which hand it is, behind one interface."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from . import rules
from .convert import convert_pose
from .drawing import hand_mesh, link_vertices
from .errors import HandError, JointLimitError
from .kinematics import ExactBuffers, Kinematics, Links
from .points import Boxes, Capsules, LinkPoints, place, signed_distance
from .pose import HandPose
from .spec import SPECS, HandSpec


class Hand(ExactBuffers):
    """A hand with J joints and L links; link 0 is the root, whose frame is the one of `HandPose`.

    Constants are buffers (float32, not saved in checkpoints), so a Hand inside a module moves with it. Methods follow
    the dtype and device of the pose that they are given; after `.double()` they are exact to float64.

    Attributes:
        name: name of the hand.
        spec: what its YAML says.
        joint_names: J names, depth first.
        link_names: L names, depth first, the root first.
        keypoint_names: K names: the root, each link that a joint moves, the fingertips.
        fingertip_names: as in the YAML.
        lower, upper: (J,), radians, joint limits.
        rest: (J,), radians, a relaxed open posture.
    """

    lower: Tensor
    upper: Tensor
    rest: Tensor
    _keypoint_link: Tensor
    _keypoint_position: Tensor

    def __init__(self, spec: HandSpec) -> None:
        super().__init__()
        tree = spec.tree
        self.name, self.spec = spec.name, spec
        self.joint_names = tuple(name for name, _, _ in tree.coordinates)
        self.link_names = tree.names
        self.fingertip_names = tuple(spec.fingertips)
        self.kinematics = self._make_kinematics(spec)
        self.add_constant("lower", np.array([lower for _, lower, _ in tree.coordinates]))
        self.add_constant("upper", np.array([upper for _, _, upper in tree.coordinates]))
        self.add_constant("rest", spec.rest)
        moving = [i for i, link in enumerate(tree.links) if link.joint is not None]
        tips = [self.link_names.index(link) for link, _ in spec.fingertips.values()]
        offsets = [np.zeros(3)] * (1 + len(moving)) + [offset for _, offset in spec.fingertips.values()]
        self.keypoint_names = (
            *(self.link_names[i] for i in [0, *moving]),
            *(f"{name}_tip" for name in spec.fingertips),
        )
        self.add_constant("_keypoint_link", np.array([0, *moving, *tips]))
        self.add_constant("_keypoint_position", np.array(offsets))
        contact, keypoints, capsules, boxes = _points(spec)
        self._groups = {
            "_contact": self._hold("_contact", contact),
            "_penetration": self._hold("_penetration", keypoints),
            "_capsules": self._hold("_capsules", capsules),
            "_boxes": self._hold("_boxes", boxes),
        }

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.joint_names)

    @property
    def title(self) -> str:
        """The name for people: says so where the hand is only a stand-in for the one of that name."""
        return self.name

    @property
    def handle(self) -> str:
        """What `load_hand` takes for this hand: the name of a shipped one, otherwise the path of its YAML."""
        return self.spec.file.stem if self.spec.file.parent == SPECS else str(self.spec.file)

    @property
    def has_visuals(self) -> bool:
        """Whether `mesh` has more to draw than the collision shapes."""
        return any(v.found for link in self.spec.tree.links for v in link.visuals)

    @property
    def contact_candidates(self) -> LinkPoints:
        """Ten points on the palmar side of each contact link."""
        return self._held("_contact")

    @property
    def penetration_keypoints(self) -> LinkPoints:
        """Points on the axes of the fingers, for self-penetration."""
        return self._held("_penetration")

    @property
    def capsules(self) -> Capsules:
        """Capsules and spheres of the collision model."""
        return self._held("_capsules")

    @property
    def boxes(self) -> Boxes:
        """Boxes of the collision model."""
        return self._held("_boxes")

    def forward_kinematics(self, pose: HandPose) -> Links:
        """World transforms of the links; differentiable, float32 and float64, any batch shape.

        Raises:
            HandError: the pose belongs to another hand.
        """
        if pose.hand != self.name:
            raise HandError(f"pose: expected a pose of {self.name!r}, found one of {pose.hand!r}; see Hand.convert")
        return self.kinematics(pose.rotation, pose.translation, pose.joints)

    def keypoints(self, links: Links) -> Tensor:
        """(..., K, 3) world positions, metres, of the points in `keypoint_names`."""
        return place(links, self._keypoint_link, self._keypoint_position)

    def place(self, links: Links, points: LinkPoints) -> Tensor:
        """(..., n, 3) world positions, metres, of points fixed to links."""
        return place(links, points.link, points.position)

    def surface(self, n: int, seed: int = 0) -> LinkPoints:
        """n points on the hand's outer surface, the same for the same n and seed; spread evenly, shared by area."""
        return _surface(self.spec, n, seed).to(self.lower)

    def vertices(self, links: Links) -> Tensor:
        """(..., V, 3) world positions, metres, of the vertices of `mesh`: visual meshes, or primitives without them.

        They crowd where a mesh is fine, at fingertips and edges; `surface` is spread evenly.
        """
        return self.place(links, _vertices(self.spec).to(self.lower))

    def signed_distance(self, links: Links, points: Tensor) -> Tensor:
        """Distance of points to the collision model in closed form.

        Args:
            links: batch shape (...).
            points: (..., N, 3), metres, world.

        Returns:
            (..., N), metres, negative inside; exact outside, a lower bound of the depth inside overlaps.
        """
        return signed_distance(links, self.capsules, self.boxes, points)

    def mesh(self, pose: HandPose, visual: bool = True) -> trimesh.Trimesh:
        """The posed hand as one mesh, world frame, metres.

        Args:
            pose: a single pose, batch shape ().
            visual: visual meshes where the model has them; False draws the collision primitives.

        Raises:
            HandError: the pose has a batch.
        """
        if len(pose.shape):
            raise HandError(f"pose: expected a single pose, found batch shape {tuple(pose.shape)}; index it first")
        links = self.forward_kinematics(pose.map(lambda x: x.detach().double().cpu()))
        return hand_mesh(self.spec.tree, links.rotation.numpy(), links.translation.numpy(), visual)

    def check_limits(self, joints: Tensor, tolerance: float = 1e-3) -> None:
        """Refuses joint values outside their range.

        Args:
            joints: (..., J), radians.
            tolerance: radians that are forgiven.

        Raises:
            JointLimitError: naming the worst joint, its range and its value.
        """
        excess = torch.maximum(self.lower.to(joints) - joints, joints - self.upper.to(joints)).reshape(
            -1, self.num_joints
        )
        bad = ~(excess <= tolerance)  # NaN is bad as well
        if not bad.any():
            return
        row, k = divmod(int(torch.where(bad, excess, -torch.inf).nan_to_num(nan=torch.inf).argmax()), self.num_joints)
        value = float(joints.reshape(-1, self.num_joints)[row, k])
        others = f"; {int(bad.any(0).sum())} joints are outside in all" if bad.any(0).sum() > 1 else ""
        raise JointLimitError(
            f"{self.name}: joint {self.joint_names[k]}: expected {self.lower[k]:.3f} to {self.upper[k]:.3f} rad, "
            f"found {value:.3f}{others}; Hand.clamp moves them inside"
        )

    def clamp(self, joints: Tensor) -> Tensor:
        """Joint values moved into their range, (..., J), radians."""
        return joints.clamp(self.lower.to(joints), self.upper.to(joints))

    def convert(self, pose: HandPose, to: Hand) -> HandPose:
        """A pose of this hand on another one, by joint name and sign; values are not clamped.

        Raises:
            ConversionError: naming what is not mapped.
        """
        return convert_pose(pose, self.spec, to.spec)

    def rest_pose(self, *batch: int) -> HandPose:
        """The relaxed open posture at the world's origin, of any batch shape."""
        eye = torch.eye(3, device=self.rest.device, dtype=self.rest.dtype)
        return HandPose(
            self.rest.new_zeros(*batch, 3), eye.expand(*batch, 3, 3), self.rest.expand(*batch, -1), self.name
        )

    def _make_kinematics(self, spec: HandSpec) -> nn.Module:
        if spec.backend == "torch":
            return Kinematics(spec.tree)
        from .pk_backend import PytorchKinematics

        return PytorchKinematics(spec.tree, spec.source or spec.file, spec.prefix)

    def _hold(self, prefix: str, group: LinkPoints | Capsules | Boxes) -> type:
        for f in fields(group):
            self.add_constant(f"{prefix}_{f.name}", getattr(group, f.name).numpy())
        return type(group)

    def _held(self, prefix: str) -> Any:
        kind = self._groups[prefix]
        return kind(**{f.name: getattr(self, f"{prefix}_{f.name}") for f in fields(kind)})


@lru_cache(maxsize=32)
def _points(spec: HandSpec) -> tuple[LinkPoints, LinkPoints, Capsules, Boxes]:
    palmar = {name: spec.palmar[name] for name in spec.contact_links}
    return (
        rules.contact_candidates(spec.tree, list(spec.contact_links), palmar),
        rules.penetration_keypoints(spec.tree, spec.palm_links),
        *rules.primitives(spec.tree),
    )


@lru_cache(maxsize=32)
def _vertices(spec: HandSpec) -> LinkPoints:
    return link_vertices(spec.tree)


@lru_cache(maxsize=64)
def _surface(spec: HandSpec, n: int, seed: int) -> LinkPoints:
    rest = Kinematics(spec.tree).double()(torch.eye(3).double(), torch.zeros(3).double(), torch.from_numpy(spec.rest))
    return rules.surface(spec.tree, rest, n, seed)
