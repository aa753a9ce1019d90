"""Volumes in closed form, and motions of whole scenes."""

from __future__ import annotations

import numpy as np
import torch

from dexzoo.hands import HandPose

LENS = np.pi * 5 / 12  # of two unit balls at distance 1: pi (4 + d) (2 - d)^2 / 12
ROUND = 0.01  # relative; capsules are tessellated


def rod_volume(radius: float, length: float) -> float:
    return np.pi * radius**2 * (length + 4 / 3 * radius)


def turn(seed: int = 0) -> torch.Tensor:
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)).double()).Q
    return q * torch.linalg.det(q).sign()


def moved(pose: HandPose, rotation: torch.Tensor, translation: torch.Tensor) -> HandPose:
    return HandPose(
        pose.translation.double() @ rotation.T + translation, rotation @ pose.rotation.double(), pose.joints, pose.hand
    )
