"""Grasp synthesis: simulated annealing whose proposals are gradient steps on an energy.

After DexGraspNet (Wang et al., ICRA 2023), rewritten for two CPU cores: the object's distance comes from a grid, the
hand's from closed forms, and penetration is measured at a few hundred points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import trimesh
from torch import Tensor

from ..geometry.rotations import rot6d_to_rotmat, rotmat_to_rot6d, rotvec_to_rotmat
from ..geometry.sampling import farthest_point_sampling, sample_surface
from ..geometry.sdf import DistanceGrid
from ..hands.anatomy import Anatomy
from ..hands.hand import Hand
from ..hands.pose import HandPose
from ..losses.energies import (
    contact_distance_energy,
    force_closure_energy,
    joint_limit_energy,
    keypoint_repulsion_energy,
    penetration_energy,
    table_energy,
)

_POSE = 9  # translation 3 | 6-D rotation; the joints follow


@dataclass(frozen=True)
class Weights:
    """Weights of the energy's terms; lengths are in metres, so 100 makes a centimetre worth 1."""

    force_closure: float = 1.0
    contact: float = 100.0
    penetration: float = 300.0
    repulsion: float = 10.0
    limits: float = 10.0
    table: float = 100.0


@dataclass(frozen=True)
class Schedule:
    """Annealing schedule: step length and temperature fall geometrically from the first to the second value."""

    step: tuple[float, float] = (0.008, 0.0015)
    """length of a normalised gradient step: metres and (times `angle`) radians."""
    angle: float = 3.0
    temperature: tuple[float, float] = (2.0, 0.02)
    switch: float = 0.3  # probability that a contact moves to another candidate in a step
    contacts: int = 4
    object_points: int = 192
    table: float = -0.03
    """metres, height of the table: the object rests on a small stand, so that fingers can reach under it."""


class GraspEnergy:
    """The energy of a hand's grasps of one object, a mesh in metres, z up, with its signed distance; see
    `losses.energies` for the terms. The schedule gives the number of object points and the height of the table.
    """

    def __init__(
        self, hand: Hand, mesh: trimesh.Trimesh, grid: DistanceGrid, weights: Weights, schedule: Schedule
    ) -> None:
        self.hand, self.grid, self.weights, self.table = hand, grid, weights, schedule.table
        cloud, _, _ = sample_surface(mesh.vertices, mesh.faces, 8 * schedule.object_points, seed=0)
        dense = torch.as_tensor(cloud, dtype=torch.float32)
        self.object_points = dense[farthest_point_sampling(dense[None], schedule.object_points)[0]]
        self.length = float(mesh.bounding_sphere.primitive.radius)
        self.skin = hand.surface(64)

    def __call__(self, pose: HandPose, contacts: Tensor) -> Tensor:
        """(B,) energies of poses (B,) whose contacts are the candidates with indices (B, C)."""
        hand, weights = self.hand, self.weights
        links = hand.forward_kinematics(pose)
        candidates = hand.place(links, hand.contact_candidates)
        touching = candidates.gather(1, contacts.unsqueeze(-1).expand(-1, -1, 3))
        inner = hand.place(links, hand.penetration_keypoints)
        return (
            weights.force_closure * force_closure_energy(touching, surface_normals(self.grid, touching), self.length)
            + weights.contact * contact_distance_energy(self.grid(touching))
            + weights.penetration
            * penetration_energy(hand.signed_distance(links, self.object_points.expand(len(contacts), -1, -1)))
            + weights.repulsion * keypoint_repulsion_energy(inner, hand.penetration_keypoints.link)
            + weights.limits * joint_limit_energy(pose.joints, hand.lower, hand.upper)
            + weights.table * table_energy(hand.place(links, self.skin), self.table)
        )


def surface_normals(grid: DistanceGrid, points: Tensor, reach: float = 0.005) -> Tensor:
    """Unit direction away from the object at points (..., 3), by central differences over +-`reach` metres.

    The difference smooths over the cells of the grid, so that the direction itself has a useful gradient.
    """
    steps = reach * torch.eye(3, dtype=points.dtype)
    ahead, behind = grid(points.unsqueeze(-2) + steps), grid(points.unsqueeze(-2) - steps)
    difference = ahead - behind
    return difference / difference.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def initial_poses(hand: Hand, mesh: trimesh.Trimesh, count: int, generator: torch.Generator) -> HandPose:
    """Hands around the object, palm towards it, at any roll, fingers near their rest posture; HandPose (count,).

    Directions from below are excluded, as are rolls that point the forearm into the table.
    """
    body = Anatomy.of(hand)
    centre = torch.as_tensor(mesh.bounds.mean(axis=0), dtype=torch.float32)
    away, forward = _directions(count, generator)
    hull = mesh.convex_hull
    start = (centre + 2 * float(hull.scale) * away).numpy().astype(float)
    hits, rays, _ = hull.ray.intersects_location(start, -away.numpy().astype(float), multiple_hits=False)
    surface = centre.expand(count, 3).clone()
    surface[torch.as_tensor(rays)] = torch.as_tensor(hits, dtype=torch.float32)
    gap = 0.01 + 0.04 * torch.rand(count, 1, generator=generator)
    rotation = _frame(-away, forward) @ _frame(body.palm_normal, body.forward).mT
    jitter = rotvec_to_rotmat(0.2 * torch.randn(count, 3, generator=generator))
    rotation = jitter @ rotation
    translation = surface + gap * away - rotation @ body.palm_centre
    joints = hand.rest + 0.15 * torch.randn(count, hand.num_joints, generator=generator)
    return HandPose(translation, rotation, hand.clamp(joints), hand.name)


def _directions(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Unit vectors from the object to the palm and along the fingers; both (count, 3), perpendicular."""
    found_away, found_forward, total = [], [], 0
    while total < count:
        away = torch.nn.functional.normalize(torch.randn(4 * count, 3, generator=generator), dim=-1)
        roll = torch.randn(4 * count, 3, generator=generator)
        forward = torch.nn.functional.normalize(roll - (roll * away).sum(-1, keepdim=True) * away, dim=-1)
        keep = (away[:, 2] > -0.1) & (forward[:, 2] < 0.35)
        found_away.append(away[keep])
        found_forward.append(forward[keep])
        total += int(keep.sum())
    return torch.cat(found_away)[:count], torch.cat(found_forward)[:count]


def _frame(first: Tensor, second: Tensor) -> Tensor:
    """Rotation matrix whose columns are `first`, `second` made perpendicular to it, and their cross product."""
    return rot6d_to_rotmat(torch.cat([first, second], dim=-1))


def optimise_grasps(
    hand: Hand,
    mesh: trimesh.Trimesh,
    grid: DistanceGrid,
    count: int,
    steps: int,
    generator: torch.Generator,
    weights: Weights | None = None,
    schedule: Schedule | None = None,
    on_step: Callable[[], object] = lambda: None,
) -> tuple[HandPose, Tensor]:
    """Minimises the energy of `count` grasps in parallel: HandPose (count,), joints within limits, object frame; and
    energies.

    Args:
        hand: the hand, float32.
        mesh: the object, metres, z up, resting on z = 0.
        grid: its signed distance.
        count: grasps.
        steps: annealing steps; 200 to 400 are sensible.
        generator: the only source of randomness.
        weights, schedule: of the terms, and of the annealing; None for the defaults.
        on_step: called after each step.
    """
    schedule = schedule or Schedule()
    energy = GraspEnergy(hand, mesh, grid, weights or Weights(), schedule)
    start = initial_poses(hand, mesh, count, generator)
    state = torch.cat([start.translation, rotmat_to_rot6d(start.rotation), start.joints], dim=-1)
    scale = torch.full((state.shape[-1],), schedule.angle)
    scale[:3] = 1.0
    contacts = _draw_contacts(hand, torch.zeros(count, schedule.contacts, dtype=torch.long), 1.0, generator)
    value, gradient = _evaluate(energy, hand, state, contacts)
    mean_square = gradient.square().mean(0)
    for step in range(steps):
        share = step / max(steps - 1, 1)
        length, temperature = (_geometric(*ends, share) for ends in (schedule.step, schedule.temperature))
        mean_square = 0.9 * mean_square + 0.1 * gradient.square().mean(0)
        proposal = state - length * scale * gradient / (mean_square.sqrt() + 1e-6)
        proposal = torch.cat([proposal[:, :_POSE], hand.clamp(proposal[:, _POSE:])], dim=-1)
        switched = _draw_contacts(hand, contacts, schedule.switch * (1 - share), generator)
        new_value, new_gradient = _evaluate(energy, hand, proposal, switched)
        luck = torch.rand(count, generator=generator).log()
        accepted = luck < (value - new_value) / temperature
        state, gradient = (
            torch.where(accepted[:, None], a, b) for a, b in ((proposal, state), (new_gradient, gradient))
        )
        contacts = torch.where(accepted[:, None], switched, contacts)
        value = torch.where(accepted, new_value, value)
        on_step()
    return _pose(hand, state), value


def _evaluate(energy: GraspEnergy, hand: Hand, state: Tensor, contacts: Tensor) -> tuple[Tensor, Tensor]:
    leaf = state.detach().requires_grad_(True)
    values = energy(_pose(hand, leaf), contacts)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient


def _pose(hand: Hand, state: Tensor) -> HandPose:
    return HandPose(state[:, :3], rot6d_to_rotmat(state[:, 3:_POSE]), state[:, _POSE:], hand.name)


def _draw_contacts(hand: Hand, contacts: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Moves each contact to a random candidate with the given probability; the first one stays on the thumb."""
    on_thumb = Anatomy.of(hand).on_thumb
    thumb, others = on_thumb.nonzero().squeeze(-1), (~on_thumb).nonzero().squeeze(-1)
    drawn = others[torch.randint(len(others), contacts.shape, generator=generator)]
    drawn[:, 0] = thumb[torch.randint(len(thumb), (len(contacts),), generator=generator)]
    moved = torch.rand(contacts.shape, generator=generator) < chance
    return torch.where(moved, drawn, contacts)


def _geometric(first: float, last: float, share: float) -> float:
    return first * (last / first) ** share
