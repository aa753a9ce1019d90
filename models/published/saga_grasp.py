"""WholeGraspPose, the first stage of SAGA (Wu et al., ECCV 2022): names and shapes of its published weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from ..blocks.across_ranks import BatchNorm1d
from ..blocks.set_abstraction import FeaturePropagation, Level, SetAbstraction, coarser
from .goal_mnet import ResidualBlock


@dataclass(frozen=True)
class SeenObject:
    """A cloud and its encoding by the condition network.

    Attributes:
        points: (B, N, 3), metres.
        features: (B, N, F), input features of the points.
        levels: the two coarser clouds.
        fine, coarse: (B, S, C), features of their points.
        condition: (B, width), feature of the whole cloud.
    """

    points: Tensor
    features: Tensor
    levels: tuple[Level, Level]
    fine: Tensor
    coarse: Tensor
    condition: Tensor

    def repeat(self, n: int) -> SeenObject:
        """Repeats each object n times, adjacently."""
        kept = {k: v.repeat_interleave(n, dim=0) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return SeenObject(**kept, levels=(self.levels[0].repeat(n), self.levels[1].repeat(n)))


@dataclass(frozen=True)
class DecodedGrasp:
    """Output of the decoder.

    Attributes:
        points: (B, P, 3), metres, points of the hand or markers of the body.
        contact: (B, P), logits of their contact.
        object_contact: (B, N), logits of the contact of the object's points.
    """

    points: Tensor
    contact: Tensor
    object_contact: Tensor


class WholeGraspPose(nn.Module):
    """cVAE of surface points of a body (or hand) and of both contact maps, given an object with features per point.

    The defaults are those of the published whole-body network of one gender: 272 tensors, 7,635,065 numbers, 168,576 of
    which (`contact_net.dec_fc1..3`, `dec_bn1..3`) are never used and so not trained. Its input and output need SMPL-X
    and its marker set, so this is only the network; `SagaGrasp` samples hand grasps with it.

    There are two differences from the published code: the contact encoder shares the neighbourhoods of the condition
    network, and they contain the nearest points within the radius, not the first ones by index.

    Args:
        n_points: number of markers, or points of the hand.
        n_features: features of each object point in addition to its position: normal 3 and rotation 6.
        height: whether the height of the object above the floor is an input.
        latent: number of latent variables.
        width: width of the features, from which the others are derived.
        centres: numbers of points of the two coarser clouds.
        neighbours: numbers of points around each of them.
        radii: radii of these neighbourhoods, metres.
        dropout: probability in the decoder of the object's contact.
    """

    def __init__(
        self,
        n_points: int = 143,
        n_features: int = 9,
        height: bool = True,
        latent: int = 16,
        width: int = 512,
        centres: Sequence[int] = (256, 128),
        neighbours: Sequence[int] = (32, 64),
        radii: Sequence[float] = (0.2, 0.25),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.height, self.latent = height, latent
        self.centres, self.neighbours, self.radii = tuple(centres), tuple(neighbours), tuple(radii)
        self.marker_net = _MarkerNet(n_points, int(height), latent, width)
        self.contact_net = _ContactNet(n_features, latent, width, dropout)
        self.pointnet = _PointNet2(n_features, width)
        self.enc_fusion = ResidualBlock(2 * width, width, width // 2)
        self.enc_mu, self.enc_var = nn.Linear(width, latent), nn.Linear(width, latent)

    def encode_object(self, points: Tensor, features: Tensor) -> SeenObject:
        """Encodes clouds; farthest-point sampling starts at a random point in training, at the first one in eval mode.

        `points` (B, N, 3), metres, object-centred; `features` (B, N, n_features).
        """
        start = int(torch.randint(points.shape[1], ())) if self.training else 0
        first = coarser(points, self.centres[0], self.radii[0], self.neighbours[0], start)
        second = coarser(first.points, self.centres[1], self.radii[1], self.neighbours[1])
        levels = (first, second)
        return SeenObject(points, features, levels, *self.pointnet(points, features, levels))

    def encode(
        self, seen: SeenObject, points: Tensor, contact: Tensor, object_contact: Tensor, height: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The posterior.

        `seen`: the objects. `points` (B, P, 3), metres, of the true hands. `contact` (B, P), 1 for touching points,
        otherwise 0. `object_contact` (B, N), likewise, of the objects' points. `height` (B, 1), metres, of the objects;
        only if the network takes it. Returns mean and standard deviation (B, latent). Raises ValueError: the network
        takes a height but there is none, or vice versa.
        """
        self._check(height)
        hand = self.marker_net.encode(_with(points.flatten(1), height), contact, seen.condition)
        features = torch.cat([seen.features, object_contact.unsqueeze(-1)], dim=-1)
        *_, touch = self.contact_net.enc_pointnet(seen.points, features, seen.levels)
        both = self.enc_fusion(torch.cat([hand, touch], dim=-1))
        return self.enc_mu(both), softplus(self.enc_var(both))

    def decode(self, z: Tensor, seen: SeenObject, height: Tensor | None = None) -> DecodedGrasp:
        """Decodes latent variables (B, latent) to hands and contacts; `height` as for `encode`."""
        self._check(height)
        points, contact = self.marker_net.decode(z, seen.condition, height)
        return DecodedGrasp(points, contact, self.contact_net.decode(z, seen))

    def _check(self, height: Tensor | None) -> None:
        if (height is not None) != self.height:
            expected, found = ("one", "none") if self.height else ("none", "one")
            raise ValueError(f"height: expected {expected} for a network with height={self.height}, found {found}")


class _PointNet2(nn.Module):
    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.enc_sa1 = SetAbstraction(n_features, (width // 8, width // 4))
        self.enc_sa2 = SetAbstraction(width // 4, (width // 4, width // 2))
        self.enc_sa3 = SetAbstraction(width // 2, (width // 2, width))

    def forward(self, points: Tensor, features: Tensor, levels: tuple[Level, Level]) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the two coarser clouds (B, S, C) and of the whole (B, width)."""
        fine = self.enc_sa1(points, features, levels[0])
        coarse = self.enc_sa2(levels[0].points, fine, levels[1])
        return fine, coarse, self.enc_sa3(levels[1].points, coarse).squeeze(1)


class _MarkerNet(nn.Module):
    def __init__(self, n_points: int, n_heights: int, latent: int, width: int) -> None:
        super().__init__()
        n_in, n_given, hidden = 3 * n_points + n_heights, latent + width, width // 2
        self.enc_bn1 = BatchNorm1d(n_in)
        self.enc_rb1 = ResidualBlock(n_in + n_points + width, width, hidden)
        self.enc_rb2 = ResidualBlock(n_in + n_points + 2 * width, width, hidden)
        self.dec_rb1 = ResidualBlock(n_given, width, hidden)
        self.dec_rb2_xyz = ResidualBlock(n_given + width + n_heights, width, hidden)
        self.dec_rb2_p = ResidualBlock(n_given + width, width, hidden)
        self.dec_output_xyz, self.dec_output_p = nn.Linear(width, 3 * n_points), nn.Linear(width, n_points)

    def encode(self, places: Tensor, contact: Tensor, condition: Tensor) -> Tensor:
        entry = torch.cat([self.enc_bn1(places), contact, condition], dim=-1)
        return self.enc_rb2(torch.cat([entry, self.enc_rb1(entry)], dim=-1))

    def decode(self, z: Tensor, condition: Tensor, height: Tensor | None) -> tuple[Tensor, Tensor]:
        given = torch.cat([z, condition], dim=-1)
        both = torch.cat([given, self.dec_rb1(given)], dim=-1)
        points = self.dec_output_xyz(self.dec_rb2_xyz(_with(both, height)))
        return points.unflatten(-1, (-1, 3)), self.dec_output_p(self.dec_rb2_p(both))


class _ContactNet(nn.Module):
    def __init__(self, n_features: int, latent: int, width: int, dropout: float) -> None:
        super().__init__()
        self.enc_pointnet = _PointNet2(n_features + 1, width)
        # The first three are in the published files, which are loaded strictly, but are never called; DDP would wait #
        # for their gradients forever.
        sizes = [(latent, width // 4), (width // 4, width // 2), (width // 2, width), (width + latent, width)]
        for k, (n_in, n_out) in enumerate(sizes, start=1):
            self.add_module(f"dec_fc{k}", nn.Linear(n_in, n_out))
            self.add_module(f"dec_bn{k}", BatchNorm1d(n_out))
        for k in (1, 2, 3):
            self.get_submodule(f"dec_fc{k}").requires_grad_(False)
            self.get_submodule(f"dec_bn{k}").requires_grad_(False)
        self.dec_fp3 = FeaturePropagation(width + width // 2, (width, width // 2))
        self.dec_fp2 = FeaturePropagation(width // 2 + width // 4, (width // 2, width // 4))
        self.dec_fp1 = FeaturePropagation(width // 4 + 3 + n_features, (width // 4, width // 4))
        self.dec_conv1, self.dec_conv_bn1 = nn.Conv1d(width // 4, width // 4, 1), BatchNorm1d(width // 4)
        self.dec_conv2 = nn.Conv1d(width // 4, 1, 1)
        self.dropout = nn.Dropout(dropout)

    def decode(self, z: Tensor, seen: SeenObject) -> Tensor:
        x = self.get_submodule("dec_fc4")(torch.cat([seen.condition, z], dim=-1))
        whole = self.dropout(relu(self.get_submodule("dec_bn4")(x))).unsqueeze(1)
        coarse = self.dec_fp3(seen.coarse, whole)
        fine = self.dec_fp2(seen.fine, coarse, seen.levels[1])
        each = self.dec_fp1(torch.cat([seen.points, seen.features], dim=-1), fine, seen.levels[0]).mT
        x = self.dropout(relu(self.dec_conv_bn1(self.dec_conv1(each))))
        return self.dec_conv2(x).squeeze(1)


def steps_down(optimizer: Optimizer, total_steps: int, at: Sequence[float], factor: float) -> MultiStepLR:
    """Multiplies the learning rate by a factor after given shares of the training.

    `optimizer`: the optimiser whose learning rates are scaled; `total_steps`: number of steps of the training; `at`:
    shares, in (0, 1); `factor`: the factor. Raises ValueError: a share is not within (0, 1).
    """
    if not all(0 < share < 1 for share in at):
        raise ValueError(f"at: expected shares of the training between 0 and 1, found {list(at)}")
    return MultiStepLR(optimizer, [round(share * total_steps) for share in at], factor)


def _with(x: Tensor, height: Tensor | None) -> Tensor:
    return x if height is None else torch.cat([x, height], dim=-1)
