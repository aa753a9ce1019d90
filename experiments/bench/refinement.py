"""Speed and memory of refinement on the demo grasps, against a loop over links that does the published code's work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...geometry.cloud_field import cloud_grid
from ...geometry.sampling import farthest_point_sampling, sample_surface
from ...geometry.sdf import DistanceGrid
from ...grasps.asset import ObjectAsset
from ...hands import load_hand
from ...hands.hand import Hand
from ...hands.pose import HandPose
from ...losses.energies import keypoint_repulsion_energy, plane_energy
from ...models.grasp.refinement.fields import ObjectFields
from ...models.grasp.refinement.refiner import UNIDEXGRASP, Refiner
from ...synthesis.grasps import load_grasps
from ...synthesis.objects import object_mesh
from .timing import Row, once_ms, peak_mb, printed_by, row

GRASPS, POINTS, STEPS = 50, 1024, 300
_OBJECT = "jar"


def rows(quick: bool) -> list[Row]:
    """The rows of the table; one run each, in ms, brought to 300 steps where fewer were taken."""
    steps = 60 if quick else STEPS
    hand, pose, points, fields = scene(GRASPS)
    loop = _to_full(once_ms(lambda: naive(hand, pose, points, 2 if quick else 10)), 2 if quick else 10)
    contact = _Predictor(hand)
    made: dict[str, tuple[Refiner, Any, ObjectFields | None]] = {
        "our terms, grid": (_by_mesh(steps), contact, fields),
        "our terms, primitives": (_by_shapes(steps, points=POINTS), contact, None),
        "our terms, primitives, 512 points": (_by_shapes(steps, points=512), contact, None),
        "UniDexGrasp's terms": (Refiner("unidexgrasp", steps=steps, points=None), contact, None),
        "our terms, grid, no contact map": (_by_mesh(steps), None, fields),
    }
    found = []
    for name, (refiner, contact, given) in made.items():
        ms = _to_full(once_ms(lambda r=refiner, f=given, c=contact: r(hand, pose, points, c, None, f)), steps)
        found.append(row(f"{GRASPS} grasps, {STEPS} steps: {name}", ms, "loop over links", loop))
    return [*found, _field(points[0]), *_scaling(quick)]


def scene(n: int) -> tuple[Hand, HandPose, Tensor, ObjectFields]:
    """A hand, n of its grasps moved by 5 mm and 0.1 rad, the object's cloud (n, 1024, 3), and its distance grid."""
    hand, mesh = load_hand("shadow"), object_mesh(_OBJECT)
    generator = torch.Generator().manual_seed(0)
    grasps = load_grasps()[_OBJECT].pose.to(torch.float32)
    pose = grasps[torch.arange(n) % grasps.shape[0]]
    noise = 0.1 * torch.randn(pose.joints.shape, generator=generator)
    moved = pose.translation + 0.005 * torch.randn(n, 3, generator=generator)
    pose = HandPose(moved, pose.rotation, hand.clamp(pose.joints + noise), pose.hand)
    dense = torch.as_tensor(sample_surface(mesh.vertices, mesh.faces, 4 * POINTS, seed=0)[0], dtype=torch.float32)
    cloud = dense[farthest_point_sampling(dense[None], POINTS)[0]]
    grid = ObjectAsset.from_mesh(mesh, _OBJECT).grid
    return hand, pose, cloud.expand(n, -1, -1), ObjectFields([grid], torch.zeros(n, dtype=torch.long), torch.ones(n))


def naive(hand: Hand, pose: HandPose, points: Tensor, steps: int) -> None:
    """The published terms, both fields one link at a time with points in link frames, by torch's Adam."""
    target = torch.zeros(points.shape[:2])
    x = pose.to_vector().requires_grad_(True)
    optimiser = torch.optim.Adam([x], lr=1e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        posed = HandPose.from_vector(x, hand.name)
        links = hand.forward_kinematics(posed)
        squared, palmar = _fields(hand, links.rotation, links.translation, points)
        inner = hand.place(links, hand.penetration_keypoints)
        contact = 2 - 2 * torch.sigmoid(60 * squared.abs().clamp_min(1e-12).sqrt())
        energies = {
            "contact": (contact - target).square().sum(),
            "penetration": palmar.relu().sum(),
            "repulsion": 2 * keypoint_repulsion_energy(inner, hand.penetration_keypoints.link).sum(),
            "table": plane_energy(inner, x.new_tensor([[0, 0, 1.0, 0.2]])).sum(),
        }
        torch.stack([UNIDEXGRASP[name] * energy for name, energy in energies.items()]).sum().backward()
        optimiser.step()


def _fields(hand: Hand, rotation: Tensor, translation: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    surface, palmar = [], []
    capsules, boxes = hand.capsules, hand.boxes
    for k, link in enumerate(capsules.link.tolist()):
        local = (points - translation[:, None, link]) @ rotation[:, link]
        axis = capsules.end[k] - capsules.start[k]
        along = (((local - capsules.start[k]) @ axis) / (axis @ axis)).clamp(0, 1)
        offset = local - (capsules.start[k] + along.unsqueeze(-1) * axis).detach()
        length = offset.norm(dim=-1)
        sign = torch.where(length < capsules.radius[k], 1.0, -1.0)
        shift = capsules.radius[k] * torch.as_tensor(hand.spec.palmar[hand.link_names[link]]).to(points)
        surface.append(sign * (length - capsules.radius[k]).square())
        palmar.append(sign * (offset - shift).square().sum(-1))
    for k, link in enumerate(boxes.link.tolist()):
        local = (points - translation[:, None, link]) @ rotation[:, link]
        excess = ((local - boxes.centre[k]) @ boxes.rotation[k]).abs() - boxes.half[k]
        distance = excess.clamp_min(0).square().sum(-1).clamp_min(1e-20).sqrt() + excess.amax(-1).clamp_max(0)
        surface.append(-distance.sign() * distance.square())
        palmar.append(surface[-1])
    return torch.stack(surface).amax(0), torch.stack(palmar).amax(0)


class _Predictor(torch.nn.Module):
    """Expects no contact anywhere: costs nothing, so that only the refinement is timed."""

    def __init__(self, hand: Hand) -> None:
        super().__init__()
        self.hand = hand

    def hand_points(self, pose: HandPose) -> Tensor:
        return pose.translation[:, None]

    def forward(self, points: Tensor, hand_points: Tensor) -> Tensor:
        return torch.zeros_like(points[..., 0])

    def mode(self, logits: Tensor) -> Tensor:
        return logits


def _field(cloud: Tensor) -> Row:
    """The field of a cloud against the grid of the mesh that it was taken from, of the same spacing."""
    grid = cloud_grid(cloud)  # once before, so that nothing is loaded while the clock runs
    ours = once_ms(lambda: cloud_grid(cloud))
    theirs = once_ms(lambda: DistanceGrid(object_mesh(_OBJECT), grid.spacing, 2 * grid.spacing))
    return row(f"field of a cloud of {len(cloud)} points", ours, "distance grid of its mesh", theirs)


def _by_mesh(steps: int) -> Refiner:
    return Refiner(steps=steps, patience=STEPS, fields="mesh")


def _by_shapes(steps: int, points: int) -> Refiner:
    return Refiner(steps=steps, patience=STEPS, points=points, hand_distance="primitives")


def _scaling(quick: bool) -> Iterator[Row]:
    """Time per grasp and peak memory of a process that refines 1 to 1000 grasps."""
    steps = 3 if quick else 20
    first = 0.0
    for n in (1, 10, 100, 1000):
        code = f"from dexzoo.experiments.bench.refinement import measure; measure({n}, {steps})"
        ms, megabytes = map(float, printed_by(code)[-1].split())
        first = ms if n == 1 else first
        case = f"{STEPS} steps by grid, {megabytes / n:.2g} MB per grasp"
        yield row(case, ms, "as many times one", n * first, grasps=n)


def measure(n: int, steps: int) -> None:
    """Prints the time of 300 steps in ms and the memory that they need in MB; run in a process of its own, on Linux."""
    torch.set_num_threads(1)
    hand, pose, points, fields = scene(n)
    refiner = _by_mesh(steps)
    refiner(hand, pose[:1], points[:1], None, None, fields[torch.zeros(1, dtype=torch.long)])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak_mb()
    ms = _to_full(once_ms(lambda: refiner(hand, pose, points, None, None, fields)), steps)
    print(ms, peak_mb() - before)


def _to_full(ms: float, steps: int) -> float:
    return ms * STEPS / steps
