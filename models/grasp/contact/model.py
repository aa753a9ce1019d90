"""Prediction of a hand's intended contact with an object from an inexact pose (RealDex, section 4.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, relu

from ....geometry.neighbours import knn
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ....losses.contact import bin_centres, contact_bins, soft_contact
from ...blocks.material_points import MaterialPoints
from ...blocks.pointnet import PointEncoder
from ...published.checkpoints import Report, load_official
from ...published.contact_map_net import ContactMapNet
from ...published.pointnet import initialise

_SCALE = 0.1  # metres; coordinates are divided by it
_LOCAL = 5  # offset 3, distance, soft contact

Head = Literal["bins", "regression"]


class ContactPredictor(nn.Module, ABC):
    """Base class of contact predictors: object cloud and points of a nearby hand -> contact in [0, 1] at every object
    point.

    Trained with slightly perturbed hands, it predicts where the hand was meant to be. Subclasses are networks.

    Args:
        hand: the hand; the model keeps its surface points.
        bins: number of contact classes, equally wide.
        head: "bins" learns a distribution over the classes, "regression" the contact value.
        n_hand_points: number of points on the hand's surface.

    Raises ValueError: an unknown head, or fewer than 2 bins.
    """

    def __init__(self, hand: Hand, bins: int, head: Head, n_hand_points: int) -> None:
        super().__init__()
        if head not in ("bins", "regression"):
            raise ValueError(f"head: expected 'bins' or 'regression', found {head!r}")
        if bins < 2:
            raise ValueError(f"bins: expected 2 or more classes of contact, found {bins}")
        self.hand, self.bins, self.head = hand, bins, head
        self.surface = MaterialPoints(hand.surface(n_hand_points))
        self.frozen = False

    @property
    def n_outputs(self) -> int:
        """Number of channels of the logits."""
        return self.bins if self.head == "bins" else 1

    @abstractmethod
    def forward(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """Logits of the contact.

        `object_points` (B, N, 3), metres; `hand_points` (B, H, 3), metres, same frame, from `hand_points`. Returns
        (B, N, bins), or (B, N, 1) for regression.
        """

    def freeze(self) -> None:
        """Freezes the predictor permanently: no gradients, and eval mode even if the enclosing model trains."""
        self.frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ContactPredictor:
        """Sets the mode, unless frozen."""
        super().train(mode and not self.frozen)
        return self

    def expected(self, logits: Tensor) -> Tensor:
        """Contact (B, N) in [0, 1]: the mean of the predicted distribution."""
        if self.head == "regression":
            return logits.squeeze(-1).sigmoid()
        return logits.softmax(-1) @ bin_centres(self.bins, logits.device, logits.dtype)

    @torch.no_grad()
    def intended(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """Contact (B, N) in [0, 1] expected of given hands; arguments as for `forward`; without gradient."""
        return self.expected(self(object_points, hand_points))

    def mode(self, logits: Tensor) -> Tensor:
        """Contact (B, N) in [0, 1]: the centre of the most likely class; for regression the same as `expected`."""
        if self.head == "regression":
            return self.expected(logits)
        return bin_centres(self.bins, logits.device, logits.dtype)[logits.argmax(-1)]

    def probability(self, logits: Tensor, above: float) -> Tensor:
        """Probability (B, N) of a contact of at least `above`, uniform within each class; 0 or 1 for regression."""
        if self.head == "regression":
            return (self.expected(logits) >= above).to(logits)
        upper = torch.arange(1, self.bins + 1, device=logits.device, dtype=logits.dtype) / self.bins
        return logits.softmax(-1) @ ((upper - above) * self.bins).clamp(0, 1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar: cross-entropy (nats) of the class of `target` (B, N), or the mean squared error for regression."""
        if self.head == "regression":
            return mse_loss(self.expected(logits), target)
        return cross_entropy(logits.flatten(0, 1), contact_bins(target, self.bins).flatten())

    def hand_points(self, pose: HandPose) -> Tensor:
        """(B, H, 3), metres: the model's points on the surface of hands (B,), frame of the pose."""
        return self.hand.place(self.hand.forward_kinematics(pose), self.surface())

    def target(self, pose: HandPose, object_points: Tensor) -> Tensor:
        """Soft contact (B, N) of the true hand (B,) at the points (B, N, 3), metres, same frame.

        A point inside the hand is in full contact.
        """
        return soft_contact(self.hand.signed_distance(self.hand.forward_kinematics(pose), object_points))


class ContactMap(ContactPredictor):
    """Our contact predictor, for few cores.

    A small MLP predicts the contact of each object point from its own feature and those of the whole object and hand.
    Both clouds are centred on the object's centroid, so the origin of the frame does not matter.

    Args:
        hand, bins, head, n_hand_points: see `ContactPredictor`.
        widths: layer widths of the point features; the last one is the size of a cloud's feature.
        width: width of the MLP that combines the features.
        local: whether an object point also gets features of the nearest point of the given hand: offset, distance and
            the soft contact of that distance. This does not reveal the true hand.
    """

    def __init__(
        self,
        hand: Hand,
        *,
        bins: int = 10,
        head: Head = "bins",
        n_hand_points: int = 512,
        widths: Sequence[int] = (32, 64, 128),
        width: int = 64,
        local: bool = True,
    ) -> None:
        super().__init__(hand, bins, head, n_hand_points)
        self.local = local
        self.object_encoder = PointEncoder(3 + _LOCAL * local, widths)
        self.hand_encoder = PointEncoder(3, widths)
        self.join_point = nn.Linear(widths[-2], width)
        self.join_global = nn.Linear(2 * widths[-1], width, bias=False)
        self.output = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.n_outputs))

    def forward(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """See `ContactPredictor.forward`."""
        centre = object_points.mean(dim=1, keepdim=True)
        points, obj = self.object_encoder(self._point_features(object_points, hand_points, centre))
        _, hand = self.hand_encoder((hand_points - centre) / _SCALE)
        # One linear layer on (point | object | hand), without repeating the two global features N times.
        joined = self.join_point(points) + self.join_global(torch.cat([obj, hand], dim=-1)).unsqueeze(1)
        return self.output(relu(joined))

    def _point_features(self, object_points: Tensor, hand_points: Tensor, centre: Tensor) -> Tensor:
        """(B, N, 3) or (B, N, 3 + 5)."""
        seen = [(object_points - centre) / _SCALE]
        if self.local:
            distance, index = knn(object_points, hand_points, 1)
            nearest = hand_points.take_along_dim(index, dim=1)
            seen += [(nearest - object_points) / _SCALE, distance / _SCALE, soft_contact(distance)]
        return torch.cat(seen, dim=-1)


class OfficialContactMap(ContactPredictor):
    """`ContactMapNet` as a contact predictor, trained as published except for the class of full contact.

    The published target puts contact of exactly 1 in the first class and treats points inside the hand as free; here
    they are in the last class. Clouds are not centred, so their frame matters.

    Args:
        hand, bins, head, n_hand_points: see `ContactPredictor`.
    """

    def __init__(self, hand: Hand, *, bins: int = 10, head: Head = "bins", n_hand_points: int = 1024) -> None:
        super().__init__(hand, bins, head, n_hand_points)
        self.net = ContactMapNet(self.n_outputs)
        initialise(self.net)

    def load(self, path: str | Path) -> Report:
        """Loads a published file of ContactNet, RealDex's or UniDexGrasp's.

        Raises CheckpointError: see `load_official`.
        """
        return load_official(path, self.net)

    def forward(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """See `ContactPredictor.forward`; log-probabilities for bins."""
        logits = self.net(object_points, hand_points)
        return logits if self.head == "regression" else log_softmax(logits, dim=-1)
