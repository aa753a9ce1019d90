"""ContactNet of RealDex and UniDexGrasp with the names and shapes of its files."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..blocks.across_ranks import BatchNorm1d
from .pointnet import PublishedPointNet


class ContactMapNet(nn.Module):
    """PointNets of object and hand, whose features are summed to predict a contact class for each object point.

    3.11 million parameters, of which 2.10 million (`convfuse`, `bnfuse`) are in the files but unused.

    Args:
        outputs: number of contact classes; 1 for regression.
    """

    def __init__(self, outputs: int = 10) -> None:
        super().__init__()
        self.feat_o, self.feat_h = PublishedPointNet(transform=False), PublishedPointNet(transform=False)
        self.conv1, self.conv2 = nn.Conv1d(1088, 512, 1), nn.Conv1d(512, 256, 1)
        self.conv3, self.conv4 = nn.Conv1d(256, 128, 1), nn.Conv1d(128, outputs, 1)
        self.bn1, self.bn2, self.bn3 = BatchNorm1d(512), BatchNorm1d(256), BatchNorm1d(128)
        self.convfuse, self.bnfuse = nn.Conv1d(2048, 1024, 1), BatchNorm1d(1024)
        for dead in (self.convfuse, self.bnfuse):
            dead.requires_grad_(False)  # without gradient, but an optimiser with weight decay would shrink them

    def forward(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """Logits (B, N, outputs) of the points (B, N, 3) near a hand (B, H, 3), metres, same frame.

        The published network ends in a log-softmax or a sigmoid; `models.grasp.OfficialContactMap` applies them.
        """
        obj, each = self.feat_o(object_points)
        hand, _ = self.feat_h(hand_points)
        fused = (obj + hand).unsqueeze(-1).expand(-1, -1, each.shape[-1])
        x = torch.cat([each, fused], dim=1)
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = relu(norm(conv(x)))
        return self.conv4(x).mT
