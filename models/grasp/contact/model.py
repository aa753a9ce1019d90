"""Where a hand means to touch an object, predicted from an inexact pose of it (RealDex, section 4.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, relu

from ....geometry.neighbours import knn
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ....losses.contact import bin_centres, contact_bins, soft_contact
from ...blocks.material_points import MaterialPoints
from ...blocks.point_encoder import PointEncoder

_SCALE = 0.1  # metres; coordinates are divided by it
_LOCAL = 5  # offset 3, distance, soft contact

Head = Literal["bins", "regression"]


class ContactPredictor(nn.Module, ABC):
    """(object cloud, points of a hand near it) -> contact in [0, 1] at every object point.

    Trained with hands that are a little off, it tells where the hand was meant to be. A subclass is a network.

    Args:
        hand: the hand; its surface points are those of the model.
        bins: classes of contact, equally wide.
        head: "bins" learns a distribution over the classes, "regression" the contact itself.
        n_hand_points: points on the hand's surface.

    Raises:
        ValueError: an unknown head, or fewer than 2 bins.
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
        """Channels of the logits."""
        return self.bins if self.head == "bins" else 1

    @abstractmethod
    def forward(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """Logits of the contact.

        Args:
            object_points: (B, N, 3), metres.
            hand_points: (B, H, 3), metres, same frame, as `hand_points` makes them.

        Returns:
            (B, N, bins), or (B, N, 1) of the regression.
        """

    def freeze(self) -> None:
        """Stops training for good: no gradients, and eval mode even where the model around it is set to train."""
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

    def mode(self, logits: Tensor) -> Tensor:
        """Contact (B, N) in [0, 1]: the centre of the most likely class; of the regression the same as `expected`."""
        if self.head == "regression":
            return self.expected(logits)
        return bin_centres(self.bins, logits.device, logits.dtype)[logits.argmax(-1)]

    def probability(self, logits: Tensor, above: float) -> Tensor:
        """Probability (B, N) of a contact of at least `above`, evenly spread in a class; 0 or 1 of the regression."""
        if self.head == "regression":
            return (self.expected(logits) >= above).to(logits)
        upper = torch.arange(1, self.bins + 1, device=logits.device, dtype=logits.dtype) / self.bins
        return logits.softmax(-1) @ ((upper - above) * self.bins).clamp(0, 1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar: cross-entropy (nats) of the class of `target` (B, N), or the mean squared error of the regression."""
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
    """Our predictor, for few cores.

    Each object point sees itself, the whole object and the whole hand; a small MLP on the three gives its contact. Both
    clouds are seen relative to the centroid of the object's, so the frame may have any origin.

    Args:
        hand, bins, head, n_hand_points: see `ContactPredictor`.
        widths: layers of the features of one point; the last one is the size of the feature of a cloud.
        width: of the MLP that joins the features.
        local: whether an object point also sees the nearest point of the given hand: the offset to it, its distance
            and the soft contact that this distance would mean. It tells nothing of the true hand.
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
        # One linear layer on (point | object | hand), without writing the two global features N times.
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
