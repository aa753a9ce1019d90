"""pytorch_kinematics with the interface of `Kinematics`, for hands from a URDF: `backend: pytorch_kinematics`."""

from __future__ import annotations

from pathlib import Path

import pytorch_kinematics as pk
import torch
from torch import Tensor, nn

from .errors import HandSpecError
from .kinematics import Links
from .products import compose, rotate
from .tree import Tree


class PytorchKinematics(nn.Module):
    """Forward kinematics by `pytorch_kinematics.Chain`, for comparison and for those who rely on it.

    Args:
        tree: the hand; gives the links, their order, and the mimic joints.
        urdf: the file that the tree was read from.
        prefix: prefix that was removed from the names in the file.

    Raises:
        HandSpecError: the source is not a URDF, or the chain lacks a link of the tree.
    """

    def __init__(self, tree: Tree, urdf: Path, prefix: str = "") -> None:
        super().__init__()
        if urdf.suffix.lower() != ".urdf":
            raise HandSpecError(f"backend: pytorch_kinematics: expected a hand whose source is a URDF, found {urdf}")
        self.chain = pk.build_chain_from_urdf(urdf.read_bytes())
        self.frames = [prefix + name for name in tree.names]
        known = self.chain.get_link_names()
        missing = [name for name in self.frames if name not in known]
        if missing:
            raise HandSpecError(f"{urdf}: pytorch_kinematics finds no link {', '.join(missing)}")
        self.joints = [joint.name for joint in tree.joints]
        driven = {prefix + link.joint.name: tree.drive(link.joint) for link in tree.links if link.joint}
        self.drivers = {name: (self.joints.index(j), value.coef.tolist()) for name, (j, value) in driven.items()}

    def forward(self, rotation: Tensor, translation: Tensor, joints: Tensor) -> Links:
        """Like `Kinematics.forward`; joints above the hand's root are at zero."""
        batch = joints.shape[:-1]
        values = joints.reshape(-1, joints.shape[-1])
        self.chain.to(dtype=values.dtype, device=values.device)
        angles = {
            name: sum((c * values[:, k] ** power for power, c in enumerate(value)), values.new_zeros(len(values)))
            for name, (k, value) in self.drivers.items()
            if name in self.chain.get_joint_parameter_names()
        }
        rest = {n: values.new_zeros(len(values)) for n in self.chain.get_joint_parameter_names() if n not in angles}
        found = self.chain.forward_kinematics(angles | rest)
        world = torch.stack([found[name].get_matrix().expand(len(values), 4, 4) for name in self.frames], dim=1)
        world = torch.linalg.inv(world[:, :1]) @ world  # in the root's frame
        n = len(self.frames)
        turned, moved = world[..., :3, :3].reshape(*batch, n, 3, 3), world[..., :3, 3].reshape(*batch, n, 3)
        return Links(
            compose(rotation.unsqueeze(-3), turned), rotate(rotation.unsqueeze(-3), moved) + translation.unsqueeze(-2)
        )
