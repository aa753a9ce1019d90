"""PointNet with batch normalisation as used by RealDex and UniDexGrasp (Qi et al. 2017), coordinates in metres."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..blocks.across_ranks import BatchNorm1d


class SpatialTransform(nn.Module):
    """The input transform T-Net: a 3 x 3 matrix from the cloud, the identity plus the output of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(3, 64, 1), nn.Conv1d(64, 128, 1), nn.Conv1d(128, 1024, 1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, 9)
        self.bn1, self.bn2, self.bn3 = BatchNorm1d(64), BatchNorm1d(128), BatchNorm1d(1024)
        self.bn4, self.bn5 = BatchNorm1d(512), BatchNorm1d(256)

    def forward(self, x: Tensor) -> Tensor:
        """Maps channels-first points (B, 3, N) to matrices (B, 3, 3)."""
        x = relu(self.bn1(self.conv1(x)))
        x = relu(self.bn2(self.conv2(x)))
        x = relu(self.bn3(self.conv3(x))).amax(-1)
        x = relu(self.bn4(self.fc1(x)))
        x = relu(self.bn5(self.fc2(x)))
        return self.fc3(x).unflatten(-1, (3, 3)) + torch.eye(3, device=x.device, dtype=x.dtype)


class PublishedPointNet(nn.Module):
    """3 -> 64 -> 128 -> 1024 with a maximum over the points.

    Args:
        transform: multiply the points, as row vectors, by a learned 3 x 3 matrix first.
    """

    def __init__(self, transform: bool) -> None:
        super().__init__()
        if transform:
            self.stn = SpatialTransform()
        self.transform = transform
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(3, 64, 1), nn.Conv1d(64, 128, 1), nn.Conv1d(128, 1024, 1)
        self.bn1, self.bn2, self.bn3 = BatchNorm1d(64), BatchNorm1d(128), BatchNorm1d(1024)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes points (B, N, 3), metres, as the features of the cloud (B, 1024) and of each point (B, 64, N)."""
        if self.transform:
            points = points @ self.stn(points.mT)
        each = relu(self.bn1(self.conv1(points.mT)))
        x = relu(self.bn2(self.conv2(each)))
        return self.bn3(self.conv3(x)).amax(-1), each


def initialise(network: nn.Module) -> None:
    """Xavier normal initialisation with gain sqrt(2), and zero bias, of every convolution and linear layer."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.xavier_normal_(module.weight, gain=math.sqrt(2))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
