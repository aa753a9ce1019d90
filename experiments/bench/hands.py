"""Forward kinematics of the Shadow hand against pytorch_kinematics and MuJoCo, on the same chain and joints."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import mujoco
import numpy as np
import pytorch_kinematics as pk
import torch
from scipy.spatial.transform import Rotation

from ...hands import Hand, load_hand
from ...hands.mujoco_model import hand_spec
from ...hands.tree import Tree
from .timing import Row, once_ms, row

BATCHES = (1, 64, 1024, 8192)
TRAINING_BATCH = 2560
"""256 windows of 10 predicted frames: what the training loss poses in one step."""


def rows(quick: bool) -> list[Row]:
    """Medians of interleaved runs, milliseconds; ratio = peer_ms / ours_ms.

    Ours gives rotations and translations of all 23 links at a root pose; pytorch_kinematics gives its 4x4 matrices at
    the origin, from a URDF of the same chain; MuJoCo loops `mj_kinematics` over the batch. That the first two agree is
    checked before they are timed. All run on one core: MuJoCo's loop has no other way, and threads that wait for one
    another make any busy machine look slow. `quick` takes fewer repetitions (under 20 s on two cores).
    """
    seconds = 0.5 if quick else 3.0
    hand = load_hand("shadow")
    chain = pk.build_chain_from_urdf(to_urdf(hand.spec.tree).encode()).to(dtype=torch.float32)
    model = hand_spec(hand).compile()
    found = []
    for batch in BATCHES:
        joints = _joints(hand, batch)
        contestants = {
            "ours": partial(hand.kinematics, torch.eye(3).expand(batch, 3, 3), torch.zeros(batch, 3), joints),
            "pytorch_kinematics 0.10": partial(chain.forward_kinematics, joints),
            "MuJoCo loop": partial(_mujoco_loop, model, mujoco.MjData(model), joints.double().numpy()),
        }
        with torch.no_grad():
            _check_equal(hand, chain, joints)
            found += _table(f"forward, batch {batch}", _interleaved(contestants, seconds))
    joints = _joints(hand, TRAINING_BATCH).requires_grad_()
    contestants = {
        "ours": partial(_ours_backward, hand, joints),
        "pytorch_kinematics 0.10": partial(_peer_backward, hand, chain, joints),
    }
    return found + _table(f"forward and backward, batch {TRAINING_BATCH}", _interleaved(contestants, seconds))


def to_urdf(tree: Tree) -> str:
    """A URDF of the tree's hinges, without shapes, in full precision."""

    def text(numbers: np.ndarray) -> str:
        return " ".join(f"{x:.17g}" for x in numbers)

    parts = [f'<link name="{link.name}"/>' for link in tree.links]
    for link in tree.links[1:]:
        joint = link.joint
        rpy = Rotation.from_matrix(link.rotation).as_euler("xyz")
        kind = "fixed" if joint is None else "prismatic" if joint.slide else "revolute"
        parts.append(f'<joint name="{joint.name if joint else link.name + "_fixed"}" type="{kind}">')
        parts.append(f'<parent link="{link.parent}"/><child link="{link.name}"/>')
        parts.append(f'<origin xyz="{text(link.translation)}" rpy="{text(rpy)}"/>')
        if joint:
            parts.append(f'<axis xyz="{text(joint.axis)}"/>')
            parts.append(f'<limit lower="{joint.lower:.17g}" upper="{joint.upper:.17g}" effort="1" velocity="1"/>')
        parts.append("</joint>")
    return '<robot name="hand">' + "".join(parts) + "</robot>"


def _joints(hand: Hand, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return hand.lower + (hand.upper - hand.lower) * torch.rand(batch, hand.num_joints, generator=generator)


def _mujoco_loop(model: mujoco.MjModel, data: mujoco.MjData, joints: np.ndarray) -> None:
    places, turns = np.empty((len(joints), model.nbody, 3)), np.empty((len(joints), model.nbody, 9))
    for i, q in enumerate(joints):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        places[i], turns[i] = data.xpos, data.xmat


def _ours_backward(hand: Hand, joints: torch.Tensor) -> None:
    links = hand.kinematics(torch.eye(3).expand(len(joints), 3, 3), joints.new_zeros(len(joints), 3), joints)
    torch.autograd.grad(links.translation.square().sum() + links.rotation[..., 0].sum(), joints)


def _peer_backward(hand: Hand, chain: pk.Chain, joints: torch.Tensor) -> None:
    found = chain.forward_kinematics(joints)
    world = torch.stack([found[name].get_matrix().expand(len(joints), 4, 4) for name in hand.link_names], dim=1)
    torch.autograd.grad(world[..., :3, 3].square().sum() + world[..., :3, 0].sum(), joints)


def _check_equal(hand: Hand, chain: pk.Chain, joints: torch.Tensor) -> None:
    few = joints[:4]
    links = hand.kinematics(torch.eye(3).expand(len(few), 3, 3), torch.zeros(len(few), 3), few)
    found = chain.forward_kinematics(few)
    for i, name in enumerate(hand.link_names):
        if not torch.allclose(found[name].get_matrix()[..., :3, 3], links.translation[:, i], atol=1e-6):
            raise RuntimeError(f"the chains differ at {name}: nothing to compare")


def _interleaved(contestants: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, taking turns, so that a busy machine slows all alike."""
    for run in contestants.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times["ours"]) < 5:
        for name, run in contestants.items():
            times[name].append(once_ms(run))
    return {name: statistics.median(values) for name, values in times.items()}


def _table(case: str, medians: dict[str, float]) -> list[Row]:
    ours = medians.pop("ours")
    return [row(case, ours, peer, value) for peer, value in medians.items()]
