"""Terms of the energy that refinement minimises, for B grasps at once; one value per grasp and term."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ....hands.hand import Hand, Links
from ....hands.once import once_per_hand
from ....hands.points import place
from ....hands.pose import HandPose
from ....losses.contact import contact_map_energy, palmar_penetration, soft_contact
from ....losses.energies import force_closure_energy, keypoint_repulsion_energy, penetration_energy, plane_energy
from .fields import ObjectFields
from .nearest import Cloud, HandShapes

STEP = 0.007
"""metres between the points of the hand at which an object's grid is evaluated."""


@dataclass(frozen=True)
class Scene:
    """Constants during the refinement of B grasps.

    Attributes:
        cloud: of the objects, (B, N, 3).
        target: (B, N), in [0, 1], target contact of each point; None without one.
        attract: (B, C), in [0, 1], strength of each contact shape's attraction to the surface.
        plane: (B, 4), unit normal and offset of the table, metres; None without one.
        fields: the objects' distance grids; None without them.
    """

    cloud: Cloud
    target: Tensor | None = None
    attract: Tensor | None = None
    plane: Tensor | None = None
    fields: ObjectFields | None = None

    def __getitem__(self, index: Tensor) -> Scene:
        """Selects the scenes of some grasps."""
        values = {k: None if v is None else v[index] for k, v in vars(self).items()}
        return replace(self, **values)


class DexzooTerms:
    """Our terms: depths in metres, gaps of the fingers, closure. Names are those of the weights.

    Args:
        hand: the hand.
        squeeze: metres by which an attracted finger presses into the surface, since a rigid hand holds objects by
            slight overlap.
        closure: False omits the closure term.
    """

    def __init__(self, hand: Hand, squeeze: float, closure: bool = True) -> None:
        self.hand, self.squeeze, self.closure = hand, squeeze, closure
        self.shapes = _shapes(hand)
        self.probes, shape = _probes(hand)
        self.probe_link, self.probe_radius = self.shapes.link[shape], self.shapes.radius[shape]
        self.on_tip, self.grips, self.shape_grips = _grips(hand)

    def __call__(self, pose: HandPose, scene: Scene) -> dict[str, Tensor]:
        """(B,) for each unweighted term."""
        links = self.hand.forward_kinematics(pose)
        keypoints = self.hand.place(links, self.hand.penetration_keypoints)
        terms = self._by_grid(links, scene) if scene.fields else self._by_shapes(links, scene)
        terms["repulsion"] = keypoint_repulsion_energy(keypoints, self.hand.penetration_keypoints.link)
        if scene.plane is not None:
            terms["table"] = plane_energy(keypoints, scene.plane)
        return terms

    def gaps(self, pose: HandPose, scene: Scene) -> Tensor:
        """(B, G), metres, distance of each contact link to the object."""
        links = self.hand.forward_kinematics(pose)
        if scene.fields:
            return self._grid_gaps(self._probed(links, scene.fields)[1])[0]
        return self.shapes.search(self.shapes.place(links), scene.cloud)[:, self.shape_grips].amin(2)

    def _probed(self, links: Links, fields: ObjectFields) -> tuple[Tensor, Tensor]:
        """Probes (B, P, 3) and the distance of their balls to the object (B, P), metres."""
        probes = place(links, self.probe_link, self.probes)
        return probes, fields(probes) - self.probe_radius

    def _grid_gaps(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        found = [distance[:, grip].min(dim=1) for grip in self.grips]
        index = torch.stack([grip[f.indices] for grip, f in zip(self.grips, found, strict=True)], dim=1)
        return torch.stack([f.values for f in found], dim=1), index

    def _by_grid(self, links: Links, scene: Scene) -> dict[str, Tensor]:
        assert scene.fields is not None
        skin, distance = self._probed(links, scene.fields)
        gaps, index = self._grid_gaps(distance)
        terms = {"penetration": penetration_energy(distance + self.squeeze)}
        if scene.attract is not None:
            terms["attraction"] = (scene.attract * (gaps + self.squeeze).abs()).sum(-1)
            if self.closure:
                touching = skin.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))
                normals = scene.fields.normals(touching)
                terms["closure"] = force_closure_energy(touching, normals, 0.05, scene.attract)
        if scene.target is not None:
            distance, _ = self.shapes.nearest(self.shapes.place(links), scene.cloud)
            terms["contact"] = contact_map_energy(soft_contact(distance), scene.target)
        return terms

    def _by_shapes(self, links: Links, scene: Scene) -> dict[str, Tensor]:
        placed = self.shapes.place(links)
        distance, table = self.shapes.nearest(placed, scene.cloud)
        terms = {"penetration": penetration_energy(distance + self.squeeze)}
        if scene.attract is not None:
            n, grips = len(distance), self.shape_grips
            nearest = table[:, grips].argmin(2)
            points = scene.cloud.points.gather(1, nearest.unsqueeze(-1).expand(-1, -1, 3))
            owner = torch.arange(n, device=table.device).repeat_interleave(len(grips))
            gaps = placed.distance(points.flatten(0, 1), owner, grips.repeat(n)).view(n, -1)
            terms["attraction"] = (scene.attract * (gaps + self.squeeze).abs()).sum(-1)
        if scene.target is not None:
            terms["contact"] = contact_map_energy(soft_contact(distance), scene.target)
        return terms


class UniDexGraspTerms:
    """The terms of UniDexGrasp's test-time adaptation, with its definitions and sums."""

    def __init__(self, hand: Hand) -> None:
        self.hand, self.shapes = hand, _shapes(hand)

    def __call__(self, pose: HandPose, scene: Scene) -> dict[str, Tensor]:
        """(B,) for each unweighted term."""
        hand, points = self.hand, scene.cloud.points
        links = hand.forward_kinematics(pose)
        keypoints = hand.place(links, hand.penetration_keypoints)
        pairs = keypoint_repulsion_energy(keypoints, hand.penetration_keypoints.link)
        distance, _ = self.shapes.nearest(self.shapes.place(links), scene.cloud)
        owner, point = torch.nonzero(distance < 1e-4, as_tuple=True)  # rounding may put a point of the surface inside
        inside = palmar_penetration(hand, links[owner], points[owner, point].unsqueeze(1)).clamp_min(0).squeeze(1)
        terms = {
            "penetration": inside.new_zeros(len(points)).index_add(0, owner, inside),
            "repulsion": 2 * pairs,  # counts both orders of each pair
        }
        if scene.target is not None:
            terms["contact"] = contact_map_energy(soft_contact(distance.abs()), scene.target)
        if scene.plane is not None:
            terms["table"] = plane_energy(keypoints, scene.plane, margin=0.01)
        return terms


_shapes = once_per_hand(HandShapes)


@once_per_hand
def _probes(hand: Hand) -> tuple[Tensor, Tensor]:
    """See `HandShapes.probes`."""
    return _shapes(hand).probes(STEP)


@once_per_hand
def _grips(hand: Hand) -> tuple[Tensor, list[Tensor], Tensor]:
    """Of contact links: whether they are the last of a finger, (G,) bool; their probes; their first shapes, (G,)."""
    shapes, (_, shape) = _shapes(hand), _probes(hand)
    links = [hand.link_names.index(name) for name in hand.spec.contact_links]
    tips = {link for link, _ in hand.spec.fingertips.values()}
    on_tip = torch.tensor([name in tips for name in hand.spec.contact_links], device=hand.lower.device)
    grips = [torch.nonzero(shapes.link[shape] == i).squeeze(1) for i in links]
    first = torch.stack([torch.nonzero(shapes.link == i)[0, 0] for i in links])
    return on_tip, grips, first
