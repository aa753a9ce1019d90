"""Refines grasps by descent on an energy: all candidates of all objects in one batch, independent of one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ....geometry.progress import tracked
from ....geometry.rotations import rotvec_to_rotmat
from ....geometry.sampling import farthest_point_sampling
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ....hands.products import compose, rotate
from ...blocks.eval_mode import eval_mode
from ..contact.model import ContactPredictor
from .fields import ObjectFields, cloud_fields
from .nearest import Cloud
from .terms import DexzooTerms, Scene, UniDexGraspTerms

Preset = Literal["dexzoo", "unidexgrasp"]
Felt = Literal["cloud", "mesh"]
Terms = Callable[[HandPose, Scene], dict[str, Tensor]]

DEXZOO: Mapping[str, float] = {
    "contact": 0.02,
    "penetration": 150.0,
    "attraction": 60.0,
    "closure": 0.02,
    "repulsion": 120.0,
    "table": 100.0,
}
"""Weights of our terms; lengths are in metres."""
UNIDEXGRASP: Mapping[str, float] = {"contact": 0.07, "penetration": 10_000.0, "repulsion": 10.0, "table": 1_000.0}
"""UniDexGrasp's `eval_config.yaml`; its E_dis has weight 0 and is omitted."""

_LOOK = 10
"""Steps between checks of which grasps have converged, for which the host waits for an accelerator."""


@dataclass(frozen=True)
class Refined:
    """B grasps after refinement.

    Attributes:
        pose: HandPose (B,), frame of the given poses, joints within their limits (not so for preset "unidexgrasp").
        start: (B,), energy of the given pose, with joints moved into their limits.
        end: (B,), energy of `pose`.
        steps: (B,), int64, steps until the grasp had converged.
        terms: (B,) for each unweighted term of the energy at `pose`.
        before: the same at the given pose.
    """

    pose: HandPose
    start: Tensor
    end: Tensor
    steps: Tensor
    terms: dict[str, Tensor]
    before: dict[str, Tensor]

    def to(self, *args: Any, **kwargs: Any) -> Refined:
        """Moves every tensor, like `Tensor.to`; called by Lightning."""

        def moved(value: Any) -> Any:
            return {k: moved(v) for k, v in value.items()} if isinstance(value, dict) else value.to(*args, **kwargs)

        return Refined(**{name: moved(value) for name, value in vars(self).items()})


@dataclass(frozen=True)
class _State:
    """The grasps that are still being refined; `index` has their positions in the batch."""

    index: Tensor
    start: HandPose
    scene: Scene
    x: Tensor
    mean: Tensor
    square: Tensor
    waiting: Tensor

    def __getitem__(self, index: Tensor) -> _State:
        return _State(**{name: value[index] for name, value in vars(self).items()})


@dataclass(frozen=True)
class _Best:
    """The best iterate of every grasp so far, updated in place."""

    x: Tensor
    energy: Tensor
    terms: dict[str, Tensor]

    def take(self, state: _State, better: Tensor, energy: Tensor, terms: Mapping[str, Tensor]) -> None:
        # Not by indexing with a mask, for whose length the host would wait for an accelerator at every step.
        self.x[state.index] = torch.where(better.unsqueeze(-1), state.x, self.x[state.index])
        new = {**self.terms, "": self.energy}
        for name, value in {**terms, "": energy}.items():
            new[name][state.index] = torch.where(better, value, new[name][state.index])


class Refiner:
    """Minimises the energy of grasps with Adam, after UniDexGrasp's test-time adaptation (Xu et al., CVPR 2023).

    The variables are a translation and a rotation vector in the frame of the given hand, and the joints. The result is
    therefore equivariant to rotations of the object, and no grasp depends on others in the batch.

    Preset "dexzoo": steps per group that fade out, joint limits by projection, the best iterate of each grasp; grasps
    that have converged leave the batch. The terms are depths beyond `squeeze`, the gaps of the fingers that are near
    the surface, closure of their pushes, repulsion within the hand, the table, and the contact map where there is one.
    Preset "unidexgrasp": one step length, 300 steps, last iterate, limits left alone, squared depths, sums.

    Args:
        preset: "dexzoo" or "unidexgrasp"; the other arguments replace its values.
        steps: largest number of steps.
        weights: weights of terms by name; 0 omits a term from the sum.
        step: step lengths: metres, radians of the hand, radians of the joints.
        points: number of points of each cloud, the most spread-out ones; None takes all.
        hand_distance: "grid" evaluates the objects' distance grids at the hand, "primitives" the hand's shapes at the
            clouds, which gives no direction out of an object that contains a finger's axis, and has no closure term.
        reach: metres; fingers that are nearer than this at the start are attracted to the surface.
        squeeze: metres by which they press into it.
        tip_pull: factor by which the last links are attracted more strongly than the others.
        patience: steps without progress after which a grasp counts as converged.
        fields: source of the object's distance field for "grid": the surface of the observed "cloud", which is all that
            a method sees, or the true "mesh", on which grasps are measured later.

    Attributes:
        preset: its name, also in tables.

    Raises ValueError: an unknown preset, distance, weight or kind of fields, a number that is not positive, or meshes
    for a preset or distance that takes no fields.
    """

    def __init__(
        self,
        preset: Preset = "dexzoo",
        steps: int = 300,
        weights: Mapping[str, float] | None = None,
        step: tuple[float, float, float] | None = None,
        points: int | None = 256,
        hand_distance: Literal["primitives", "grid"] = "grid",
        reach: float = 0.03,
        squeeze: float = 0.0003,
        tip_pull: float = 3.0,
        patience: int = 40,
        fields: Felt = "cloud",
    ) -> None:
        known = {"dexzoo": DEXZOO, "unidexgrasp": UNIDEXGRASP}
        if preset not in known:
            raise ValueError(f"preset: expected 'dexzoo' or 'unidexgrasp', found {preset!r}")
        self.weights = {**known[preset], **(weights or {})}
        unknown = set(self.weights) - set(known[preset])
        if unknown:
            raise ValueError(f"weights: expected some of {', '.join(known[preset])}, found {sorted(unknown)}")
        if hand_distance not in ("primitives", "grid"):
            raise ValueError(f"hand_distance: expected 'primitives' or 'grid', found {hand_distance!r}")
        if steps < 1 or patience < 1:
            raise ValueError(f"steps, patience: expected at least 1, found {steps} and {patience}")
        if fields not in ("cloud", "mesh"):
            raise ValueError(f"fields: expected 'cloud' or 'mesh', found {fields!r}")
        if fields == "mesh" and (preset != "dexzoo" or hand_distance != "grid"):
            used = f"preset {preset!r}, hand_distance {hand_distance!r}"
            raise ValueError(f"fields: expected 'cloud', as only preset 'dexzoo' by 'grid' feels meshes, found {used}")
        self.preset, self.fields = preset, fields
        self.mended = preset == "dexzoo"
        self.step = step or ((0.002, 0.01, 0.01) if self.mended else (1e-3, 1e-3, 1e-3))
        self.steps, self.points, self.hand_distance = steps, points, hand_distance
        self.reach, self.squeeze, self.tip_pull, self.patience = reach, squeeze, tip_pull, patience

    def __call__(
        self,
        hand: Hand,
        pose: HandPose,
        points: Tensor,
        contact: ContactPredictor | None = None,
        plane: Tensor | None = None,
        meshes: ObjectFields | None = None,
    ) -> Refined:
        """Refines B grasps.

        Args:
            hand: the hand, in the dtype and on the device of the poses.
            pose: HandPose (B,), object frame.
            points: (B, N, 3), metres, object frame.
            contact: predicts the target contact of each point, once, from the given hand, by the likeliest bin.
            plane: (B, 4), unit normal and offset of the table, metres, object frame.
            meshes: distance grids of the objects' meshes, only for `fields="mesh"`; those of clouds are made here, see
                `geometry.cloud_field.cloud_grid`.

        Raises ValueError: the batch shapes differ, meshes are missing, or were given but would not be used.
        """
        _check(pose, points)
        if (meshes is not None) != (self.fields == "mesh"):
            found = "none" if meshes is None else "some"
            raise ValueError(f"meshes: expected grids with fields='mesh' alone, found {found} with {self.fields!r}")
        # A trainer tests in inference mode, whose tensors take no gradient; their copies outside it do.
        with torch.inference_mode(False), torch.no_grad():
            pose, points, plane = pose.map(torch.clone), points.clone(), None if plane is None else plane.clone()
            start = replace(pose, joints=hand.clamp(pose.joints)) if self.mended else pose
            scene = self._scene(start, points, contact, plane, meshes)
            if not self.mended:
                return self._descend(hand, start, scene, UniDexGraspTerms(hand))
            terms = DexzooTerms(hand, self.squeeze, self.weights["closure"] > 0)
            return self._descend(hand, start, self._pull(terms, start, scene), terms)

    def _scene(
        self,
        pose: HandPose,
        points: Tensor,
        contact: ContactPredictor | None,
        plane: Tensor | None,
        meshes: ObjectFields | None,
    ) -> Scene:
        by_grid = self.mended and self.hand_distance == "grid"
        fields = (cloud_fields(points) if self.fields == "cloud" else meshes) if by_grid else None
        target = None if contact is None else predict_target(contact, pose, points)
        needed = target is not None or fields is None  # with a grid, only the contact map needs the cloud
        if needed and self.points is not None and points.shape[1] > self.points:
            clouds, owner = points.unique(dim=0, return_inverse=True)  # candidates of one object share theirs
            chosen = farthest_point_sampling(clouds, self.points)[owner]
            points = points.gather(1, chosen.unsqueeze(-1).expand(-1, -1, 3))
            target = None if target is None else target.gather(1, chosen)
        return Scene(Cloud(points), target, None, plane, fields)

    def _pull(self, terms: DexzooTerms, pose: HandPose, scene: Scene) -> Scene:
        """The scene with the fingers that are attracted to the surface."""
        gaps = terms.gaps(pose, scene)
        pull = torch.where(terms.on_tip, self.tip_pull, 1.0).to(gaps)
        return replace(scene, attract=torch.where(gaps < self.reach, pull, 0.0))

    def _descend(self, hand: Hand, start: HandPose, scene: Scene, terms: Terms) -> Refined:
        x = torch.cat([torch.zeros_like(start.joints[:, :1]).expand(-1, 6), start.joints], dim=-1)
        lengths = torch.cat([x.new_full((k,), s) for k, s in zip((3, 3, hand.num_joints), self.step, strict=True)])
        index, nothing = torch.arange(len(x), device=x.device), torch.zeros_like(x)
        state = _State(index, start, scene, x, nothing, nothing, torch.zeros_like(index))
        energy, parts, gradient = self._evaluate(state, terms)
        best = _Best(x.clone(), energy.clone(), {k: v.clone() for k, v in parts.items()})
        first, before, taken = energy, parts, torch.full_like(index, self.steps)
        look = 1 if x.device.type == "cpu" else _LOOK
        for step in tracked(range(self.steps), f"refining {len(x)} grasps"):
            state = self._step(hand, state, gradient, lengths, step)
            energy, parts, gradient = self._evaluate(state, terms)
            if not self.mended:
                best.take(state, torch.ones_like(energy, dtype=torch.bool), energy, parts)
                continue
            going = state.waiting < self.patience
            progress = energy < best.energy[state.index] - 1e-4 * first[state.index].abs()
            best.take(state, going & (energy < best.energy[state.index]), energy, parts)
            state = replace(state, waiting=torch.where(going & progress, 0, state.waiting + 1))
            taken[state.index] = torch.where(going, step + 1, taken[state.index])
            if (step + 1) % look == 0:
                left = torch.nonzero(state.waiting < self.patience).squeeze(1)
                if not len(left):
                    break
                if len(left) < len(state.index):
                    state, gradient = state[left], gradient[left]
        return Refined(move(start, best.x), first, best.energy, taken, best.terms, before)

    def _evaluate(self, state: _State, terms: Terms) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        x = state.x.detach().requires_grad_(True)
        with torch.enable_grad():
            parts = terms(move(state.start, x), state.scene)
            energy = sum((self.weights[name] * value for name, value in parts.items()), x.new_zeros(len(x)))
            (gradient,) = torch.autograd.grad(energy.sum(), x)
        return energy.detach(), {k: v.detach() for k, v in parts.items()}, gradient

    def _step(self, hand: Hand, state: _State, gradient: Tensor, lengths: Tensor, step: int) -> _State:
        mean = 0.9 * state.mean + 0.1 * gradient
        square = 0.999 * state.square + 0.001 * gradient.square()
        corrected = (square / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
        fade = 0.5 + 0.5 * math.cos(math.pi * step / self.steps) if self.mended else 1.0
        x = state.x - fade * lengths * (mean / (1 - 0.9 ** (step + 1))) / corrected
        if self.mended:
            x = torch.cat([x[:, :6], hand.clamp(x[:, 6:])], dim=-1)
        return replace(state, x=x, mean=mean, square=square)


def _check(pose: HandPose, points: Tensor) -> None:
    if len(pose.shape) != 1 or points.shape[:1] != pose.shape or points.ndim != 3 or points.shape[-1] != 3:
        raise ValueError(
            f"pose, points: expected batch shape (B,) and (B, N, 3), found {tuple(pose.shape)} and "
            f"{tuple(points.shape)}; flatten candidates with HandPose.reshape"
        )


def move(start: HandPose, x: Tensor) -> HandPose:
    """The hand moved by x (B, 6 + J) in its own frame: translation, rotation vector; then the joints themselves."""
    translation = start.translation + rotate(start.rotation, x[:, :3])
    return HandPose(translation, compose(start.rotation, rotvec_to_rotmat(x[:, 3:6])), x[:, 6:], start.hand)


@torch.no_grad()
def predict_target(contact: ContactPredictor, pose: HandPose, points: Tensor) -> Tensor:
    """(B, N) contact predicted by a network, by its likeliest bin, in eval mode."""
    with eval_mode(contact):
        return contact.mode(contact(points, contact.hand_points(pose)))
