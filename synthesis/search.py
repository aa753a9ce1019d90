"""The search for grasps: optimise a batch, squeeze each in simulation, keep what holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.meshes import mesh_hash
from ..geometry.sampling import sample_surface
from ..geometry.sdf import DistanceGrid
from ..hands.anatomy import Anatomy
from ..hands.hand import Hand
from ..hands.pose import HandPose
from ..losses.energies import self_penetration_depth
from ..simulation.hold import Held, HoldTest
from .grasps import MAX_OVERLAP, MAX_PENETRATION, STAND, ObjectGrasps
from .optimise import optimise_grasps, surface_normals

Array = NDArray[np.float64]


def find_grasps(
    hand: Hand,
    name: str,
    mesh: trimesh.Trimesh,
    pieces: Sequence[NDArray[np.float32]],
    count: int,
    steps: int,
    seed: int,
    batch: int = 64,
    rounds: int = 8,
    on_step: Callable[[], object] = lambda: None,
) -> ObjectGrasps:
    """Optimises and tests grasps until `count` are found or `rounds` batches are used up, with fewer if the object is
    hard.

    Args:
        hand: the hand.
        name: of the object.
        mesh: the object, metres, z up, resting on z = 0.
        pieces: its convex pieces.
        count: grasps wanted.
        steps: annealing steps for each batch.
        seed: of the optimiser.
        batch: poses optimised in parallel.
        rounds: most batches to try.
        on_step: called after each annealing step.
    """
    generator = torch.Generator().manual_seed(seed)
    grid, test = DistanceGrid(mesh), HoldTest(hand, [np.asarray(p, np.float64) for p in pieces])
    judge = _Judge(hand, mesh, grid)
    found: list[tuple[Tensor, NDArray[np.bool_], float]] = []

    def optimised() -> Iterator[tuple[HandPose, Array]]:
        for _ in range(rounds):
            poses, _ = optimise_grasps(hand, mesh, grid, batch, steps, generator, on_step=on_step)
            targets = squeeze_targets(hand, poses, grid).double().numpy()
            yield from ((poses[i], targets[i]) for i in range(batch))

    attempts = 0
    for pose, target in optimised():
        attempts += 1
        kept = _tested(pose, target, test, judge)
        if kept is not None:
            found.append(kept)
        if len(found) == count:
            break
    vectors = torch.stack([v for v, _, _ in found]) if found else torch.zeros(0, 6 + hand.num_joints)
    return ObjectGrasps(
        object=name,
        pose=HandPose.from_vector(vectors, hand.name),
        six_directions=np.array([six for _, six, _ in found], bool).reshape(-1, 6),
        penetration=np.array([p for _, _, p in found], np.float32),
        seed=np.full(len(found), seed, np.int64),
        pieces=tuple(pieces),
        attempts=attempts,
        mesh=mesh_hash(mesh),
    )


def squeeze_targets(
    hand: Hand, poses: HandPose, grid: DistanceGrid, force: float = 5.0, stiffness: float = 2.5
) -> Tensor:
    """Servo targets (B, J) whose torques press each link near the object against it with `force` newtons.

    Torques are J^T f for the nearest contact candidate of each link within 15 mm; a servo exerts them when it is
    `torque / stiffness` radians away from its target.
    """
    joints = poses.joints.detach().requires_grad_(True)
    links = hand.forward_kinematics(HandPose(poses.translation, poses.rotation, joints, poses.hand))
    candidates = hand.contact_candidates
    points = hand.place(links, candidates)
    with torch.no_grad():
        distance, inwards = grid(points), -surface_normals(grid, points)
        near = torch.zeros_like(distance)
        for link in candidates.link.unique():
            own = (candidates.link == link).nonzero().squeeze(-1)
            best = own[distance[:, own].argmin(dim=1)]
            near[torch.arange(len(near)), best] = (distance[torch.arange(len(near)), best] < 0.015).to(near.dtype)
    work = (force * near.unsqueeze(-1) * inwards * points).sum()
    (torque,) = torch.autograd.grad(work, joints)
    return poses.joints + torque / stiffness


class _Judge:
    """Filters that need no simulation."""

    def __init__(self, hand: Hand, mesh: trimesh.Trimesh, grid: DistanceGrid) -> None:
        self.hand, self.grid, self.skin = hand, grid, hand.surface(1024)
        self.forward = Anatomy.of(hand).forward
        points, _, _ = sample_surface(mesh.vertices, mesh.faces, 2000, seed=1)
        self.object_points = torch.as_tensor(points, dtype=torch.float32)

    def penetration(self, pose: HandPose) -> float:
        """Metres, deepest point of hand in object or object in hand."""
        links = self.hand.forward_kinematics(pose)
        nearest = torch.minimum(
            self.grid(self.hand.place(links, self.skin)).min(),
            self.hand.signed_distance(links, self.object_points).min(),
        )
        return max(0.0, -float(nearest))

    def passes(self, pose: HandPose, penetration: float) -> bool:
        """Whether the hand is shallow enough in the object and in itself, and hand and forearm are above the stand."""
        links = self.hand.forward_kinematics(pose)
        elbow = pose.translation - 0.2 * pose.rotation @ self.forward
        lowest = min(float(self.hand.place(links, self.skin)[:, 2].min()), float(elbow[2]))
        overlap = float(self_penetration_depth(self.hand, links))
        return penetration < MAX_PENETRATION and overlap < MAX_OVERLAP and lowest > -STAND


def _tested(
    pose: HandPose, target: Array, test: HoldTest, judge: _Judge
) -> tuple[Tensor, NDArray[np.bool_], float] | None:
    """The grasp after the squeeze as a pose vector, its six directions and penetration; None if it fails."""
    rotation, translation = pose.rotation.double().numpy(), pose.translation.double().numpy()
    held = test.hold(rotation, translation, pose.joints.double().numpy(), target)
    if not held.stable:
        return None
    after = _object_pose(held, pose.hand)
    penetration = judge.penetration(after)
    if not judge.passes(after, penetration):
        return None
    return after.to_vector(), test.six_directions(held), penetration


def _object_pose(held: Held, hand: str) -> HandPose:
    rotation = torch.as_tensor(held.rotation.T, dtype=torch.float32)
    translation = torch.as_tensor(-held.rotation.T @ held.translation, dtype=torch.float32)
    return HandPose(translation, rotation, torch.as_tensor(held.joints, dtype=torch.float32), hand)
