"""Forward kinematics of a tree for whole batches: level by level, with its own backward pass.

Each joint's transform is linear in (1, sin q, cos q): R = R0 (I + K^2 + sin(q) K - cos(q) K^2) with K = [axis]x, so all
joints are evaluated at once. The tree is then walked one level at a time, over all links of that level. Everything is
kept as (row, column, link, batch) with the batch last, which turns the products of 3x3 matrices into a few long vector
operations: several times faster than batched products of such small matrices (`experiments/bench/hands.py`). They are
    elementwise, so neither autocast nor TF32 affects their precision.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .tree import Link, Tree


@dataclass(frozen=True)
class Links:
    """World transforms of the links of a hand.

    Attributes:
        rotation: (..., L, 3, 3), world_from_link.
        translation: (..., L, 3), metres, origins of the links in the world.
    """

    rotation: Tensor
    translation: Tensor

    def __getitem__(self, index: Any) -> Links:
        """Indexes the batch dimensions, from the front."""
        return Links(self.rotation[index], self.translation[index])


class ExactBuffers(nn.Module):
    """A module of constants: float32 buffers, not saved, which `.double()` restores to full float64 precision."""

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, np.ndarray] = {}

    def add_constant(self, name: str, value: np.ndarray) -> None:
        """Registers a buffer: float64 values as float32, integers as int64."""
        value = np.asarray(value)
        integer = value.dtype.kind in "iu"
        self.register_buffer(
            name, torch.tensor(value, dtype=torch.int64 if integer else torch.float32), persistent=False
        )
        if not integer:
            self._exact[name] = value.astype(np.float64)

    def _apply(self, fn: Any, recurse: bool = True) -> ExactBuffers:
        super()._apply(fn, recurse)
        for name, value in self._exact.items():
            setattr(self, name, torch.from_numpy(value).to(getattr(self, name)))
        return self


class Kinematics(ExactBuffers):
    """Computes world transforms of all links from the root's transform and the joint values."""

    unsort: Tensor
    parent: Tensor
    driver: Tensor
    driver_in_order: Tensor

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        order = _level_order(tree)
        position = {link: i for i, link in enumerate(order)}
        moving = [tree.links[i] for i in order[1:]]
        gears = _gears(tree)
        constants = _forward_constants(moving) | _backward_constants(tree)
        constants |= {"gear": gears[:, [i - 1 for i in order[1:]]], "gear_in_order": gears}
        for name, value in constants.items():
            self.add_constant(name, value)
        self.add_constant("unsort", np.array([position[i] for i in range(len(order))]))
        self.add_constant("parent", np.array([position[tree.parents[i]] for i in order[1:]], dtype=np.int64))
        joints = [joint.name for joint in tree.joints]
        self.add_constant("driver", np.array([_driver(tree, link, joints) for link in moving], dtype=np.int64))
        self.add_constant(
            "driver_in_order", np.array([_driver(tree, k, joints) for k in tree.links[1:]], dtype=np.int64)
        )
        self.levels = _levels(tree, order)
        self.num_joints = len(joints)
        self.slides = any(link.joint and link.joint.slide for link in moving)
        self.geared = any(link.joint and link.joint.mimic for link in moving)
        self.direct = not self.geared and len(moving) == len(joints)

    def forward(self, rotation: Tensor, translation: Tensor, joints: Tensor) -> Links:
        """World transforms of all links.

        Args:
            rotation: (..., 3, 3), world_from_root.
            translation: (..., 3), metres, origin of the root in the world.
            joints: (..., J), radians (metres for slides).

        Raises:
            ValueError: the shapes are inconsistent.
        """
        batch = joints.shape[:-1]
        if (*batch, 3, 3) != rotation.shape or (*batch, 3) != translation.shape or joints.shape[-1] != self.num_joints:
            raise ValueError(
                f"expected rotation (..., 3, 3), translation (..., 3) and joints (..., {self.num_joints}) of one batch "
                f"shape, found {tuple(rotation.shape)}, {tuple(translation.shape)} and {tuple(joints.shape)}"
            )
        root = rotation.reshape(-1, 3, 3).permute(1, 2, 0), translation.reshape(-1, 3).T
        turned, moved = _Walk.apply(*root, joints.reshape(-1, self.num_joints).T, self)
        n = turned.shape[2]
        return Links(turned.permute(3, 2, 0, 1).reshape(*batch, n, 3, 3), moved.permute(2, 1, 0).reshape(*batch, n, 3))

    def constant(self, name: str, like: Tensor) -> Tensor:
        """A buffer in the dtype and on the device of `like`."""
        return getattr(self, name).to(dtype=like.dtype, device=like.device)


class _Walk(torch.autograd.Function):
    """(3, 3, N) rotations, (3, N) translations, (J, N) joints -> (3, 3, L, N), (3, L, N)."""

    @staticmethod
    def forward(rotation: Tensor, translation: Tensor, joints: Tensor, kin: Kinematics) -> tuple[Tensor, Tensor]:
        local = _local(joints.index_select(0, kin.driver.to(joints.device)), kin)
        unsort = kin.unsort.to(joints.device)
        world = joints.new_empty(3, 4, len(unsort), joints.shape[1])  # [R | t] of each link, level by level
        world[:, :3, 0], world[:, 3, 0] = rotation, translation
        for first, last, gather in kin.levels:
            if gather is None:
                up = world.index_select(2, kin.parent[first - 1 : last - 1].to(joints.device))
            else:
                up = world[:, :, gather]
            x, y, z, origin = up.split(1, dim=1)
            along_x, along_y, along_z = local[:, :, first - 1 : last - 1].unbind()
            out = world[:, :, first:last]
            torch.mul(x, along_x, out=out)
            out.addcmul_(y, along_y).addcmul_(z, along_z)
            out[:, 3:].add_(origin)
        return world[:, :3].index_select(2, unsort), world[:, 3].index_select(1, unsort)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.kin, ctx.num_joints = inputs[3], inputs[2].shape[0]
        ctx.save_for_backward(*output, inputs[2])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, turning: Tensor | None, force: Tensor | None) -> tuple[Tensor | None, ...]:
        """Virtual work: a joint's torque is that of the forces on the links beyond it.

        With f_i the gradient with respect to link i's origin p_i and S_i = g_i R_i^T the one for its rotation, the
        torque of link i about the world origin is n_i = axial(S_i + f_i p_i^T), and dL/dq_j = a_j . (sum n_i - p_j x
        sum f_i) over the links i beyond joint j, a_j and p_j its axis and a point on it.
        """
        if turning is None and force is None:
            return None, None, None, None
        kin, (R, p, joints) = ctx.kin, ctx.saved_tensors
        force = torch.zeros_like(p) if force is None else force
        S = force.unsqueeze(1) * p.unsqueeze(0)
        if turning is not None:
            for k in range(3):
                S.addcmul_(turning[:, None, k], R[None, :, k])
        beyond = kin.constant("beyond", p)
        torque = beyond @ torch.stack([S[2, 1] - S[1, 2], S[0, 2] - S[2, 0], S[1, 0] - S[0, 1]])
        pushed = beyond @ force
        axis = (R[:, :, 1:] * kin.constant("axis", p)).sum(1)
        point = p[:, 1:] + (R[:, :, 1:] * kin.constant("anchor", p)).sum(1)
        moment = torque - torch.linalg.cross(point, pushed, dim=0)
        if kin.slides:
            moment = torch.where(kin.constant("slide_in_order", p) > 0, pushed, moment)
        value = (axis * moment).sum(0)
        if not kin.direct:
            index, gear = kin.driver_in_order.to(p.device), kin.constant("gear_in_order", p)
            if kin.geared:
                power = torch.arange(1, len(gear), device=p.device, dtype=p.dtype)
                value = value * _polynomial(power[:, None, None] * gear[1:], joints.index_select(0, index))
            value = value.new_zeros(ctx.num_joints, value.shape[1]).index_add(0, index, value)
        total = force.sum(1)
        if not ctx.needs_input_grad[0]:
            return None, total, value, None
        about_root = S.sum(2) - total.unsqueeze(1) * p[None, :, 0]
        return (about_root.unsqueeze(2) * R[None, :, :, 0]).sum(1), total, value, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Moves the mapped dimension into the batch, which comes last."""
        size = info.batch_size

        def fold(x: Tensor, dim: int | None) -> Tensor:
            x = x.unsqueeze(-1).expand(*x.shape, size) if dim is None else x.movedim(dim, -1)
            return x.flatten(-2)

        out = _Walk.apply(*(fold(x, dim) for x, dim in zip(args[:3], in_dims[:3], strict=True)), args[3])
        return tuple(x.unflatten(-1, (-1, size)) for x in out), (4, 3)  # type: ignore[return-value]


# Function.apply asks for the signature on every call; computing it takes as long as a level of the walk.
_Walk.forward.__signature__ = inspect.signature(_Walk.forward)  # type: ignore[attr-defined]


def _local(values: Tensor, kin: Kinematics) -> Tensor:
    """(M, N) values of the links' joints, in level order -> (3, 4, M, N) transforms into their parents' frames."""
    if kin.geared:
        values = _polynomial(kin.constant("gear", values), values)
    local = torch.addcmul(kin.constant("constant_part", values), kin.constant("sine_part", values), values.sin())
    local.addcmul_(kin.constant("cosine_part", values), values.cos())
    if kin.slides:
        local[:, 3].addcmul_(kin.constant("slide_part", values), values)
    return local


def _polynomial(coefficients: Tensor, x: Tensor) -> Tensor:
    """Horner's rule: (K, M, 1) coefficients, the constant first, of polynomials in x (M, N)."""
    value = coefficients[-1]
    for lower in coefficients[:-1].flip(0):
        value = torch.addcmul(lower, value, x)
    return value


def _level_order(tree: Tree) -> list[int]:
    """Links by depth; within a level, those with the longest chains below them first.

    In this order the parents of a level are the first links of the level above, as long as fingers do not branch.
    """
    parents = tree.parents
    depth, beyond = [0] * len(parents), [0] * len(parents)
    for i in range(1, len(parents)):
        depth[i] = depth[parents[i]] + 1
    for i in reversed(range(1, len(parents))):
        beyond[parents[i]] = max(beyond[parents[i]], beyond[i] + 1)
    return sorted(range(len(parents)), key=lambda i: (depth[i], -beyond[i], i))


def _levels(tree: Tree, order: list[int]) -> list[tuple[int, int, slice | None]]:
    """(first, last, parents) of each level in level order.

    The parents are a slice of the level above, one each or one for all; None if they must be gathered individually.
    """
    position = {link: i for i, link in enumerate(order)}
    parents = [-1] + [position[tree.parents[i]] for i in order[1:]]
    levels: list[tuple[int, int, slice | None]] = []
    first, above = 1, (0, 1)
    while first < len(order):
        last = next((i for i in range(first, len(order)) if parents[i] >= above[1]), len(order))
        one_each = parents[first:last] == list(range(above[0], above[0] + last - first))
        one_for_all = above[1] - above[0] == 1
        count = last - first if one_each else 1
        levels.append((first, last, slice(above[0], above[0] + count) if one_each or one_for_all else None))
        first, above = last, (first, last)
    return levels


def _forward_constants(moving: list[Link]) -> dict[str, np.ndarray]:
    """The parts of the local transforms [R | t] in level order, each (3, 4, M, 1)."""
    parts = np.zeros((3, 3, 4, len(moving), 1))  # constant, sine, cosine
    slide = np.zeros((3, len(moving), 1))
    for i, link in enumerate(moving):
        K, anchor = np.zeros((3, 3)), np.zeros(3)
        if link.joint is not None and not link.joint.slide:
            K, anchor = _cross_matrix(link.joint.axis), link.joint.anchor
        for part, R in enumerate((link.rotation @ (np.eye(3) + K @ K), link.rotation @ K, -link.rotation @ K @ K)):
            parts[part, :, :3, i, 0], parts[part, :, 3, i, 0] = R, -R @ anchor  # rotation about the anchor
        parts[0, :, 3, i, 0] += link.translation + link.rotation @ anchor
        if link.joint is not None and link.joint.slide:
            slide[:, i, 0] = link.rotation @ link.joint.axis
    return dict(zip(("constant_part", "sine_part", "cosine_part"), parts, strict=True)) | {"slide_part": slide}


def _backward_constants(tree: Tree) -> dict[str, np.ndarray]:
    """Constants of the backward pass for all links except the root, in the tree's order."""
    n = len(tree.links)
    beyond = np.zeros((n - 1, n))
    for i in range(1, n):
        j = i
        while j > 0:
            beyond[j - 1, i] = 1
            j = tree.parents[j]
    axis, anchor, slide = np.zeros((3, n - 1, 1)), np.zeros((3, n - 1, 1)), np.zeros((n - 1, 1))
    for i, link in enumerate(tree.links[1:]):
        if link.joint is not None:
            axis[:, i, 0], anchor[:, i, 0], slide[i] = link.joint.axis, link.joint.anchor, link.joint.slide
    return {"beyond": beyond, "axis": axis, "anchor": anchor, "slide_in_order": slide}


def _gears(tree: Tree) -> np.ndarray:
    """(K, L - 1, 1) coefficients of the value of each link's joint as a polynomial in its driver's."""
    values = [tree.drive(link.joint)[1].coef if link.joint else np.array([0.0, 1.0]) for link in tree.links[1:]]
    gears = np.zeros((max([2, *map(len, values)]), len(values), 1))
    for i, value in enumerate(values):
        gears[: len(value), i, 0] = value
    return gears


def _driver(tree: Tree, link: Link, joints: list[str]) -> int:
    """Index of the joint value that moves the link; any for a fixed link, since its axis is zero."""
    return joints.index(tree.drive(link.joint)[0]) if link.joint else 0


def _cross_matrix(a: np.ndarray) -> np.ndarray:
    return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
