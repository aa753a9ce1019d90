"""Success under named protocols, and what it depends on: one row per grasp, protocol and change of a constant."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console

from ...geometry.meshes import MeshError
from ...geometry.progress import working
from ...grasps.asset import load_asset
from ...grasps.files import GraspSet, load_grasps
from ...grasps.posed import PosedGrasps
from ...hands.hand import Hand
from ...hands.load import load_hand
from ...simulation.protocol import Protocol
from ..functional.simulation import Success, success
from .meshes import find_meshes
from .plan import EvaluationError, Settings, limited

CHANGES: tuple[tuple[str, float, str], ...] = (
    ("friction", 0.8, "friction -20 %"),
    ("friction", 1.2, "friction +20 %"),
    ("timestep", 0.5, "time step / 2"),
    ("drive", 0.5, "drive -50 %"),
    ("drive", 1.5, "drive +50 %"),
    ("closing", 0.5, "closing -50 %"),
    ("closing", 1.5, "closing +50 %"),
)
"""Knob of `Protocol.varied`, factor, and what the card calls it."""


def variants(protocol: Protocol, sensitivity: bool) -> Iterator[tuple[str, Protocol]]:
    """The protocol itself, under "", and as changed one constant at a time."""
    yield "", protocol
    for knob, factor, name in CHANGES if sensitivity else ():
        if knob in protocol.knobs:
            yield name, protocol.varied(knob, factor)


def measure_success(
    grasps: str | Path,
    mesh: str | Path,
    protocols: Sequence[Protocol],
    settings: Settings,
    console: Console,
    format: str | None = None,
    sensitivity: bool = True,
    threads: int | None = 1,
) -> pa.Table:
    """Tests all grasps of a file or folder.

    Args:
        grasps, mesh, settings, format: as for `evaluate`; of the settings hand, limit, chunk, up and scale.
        protocols: what to do.
        console: where an object that cannot be used is named.
        sensitivity: test each protocol with changed constants as well.
        threads: of the simulation.

    Returns:
        Columns object, row, scale, protocol, change ("" for the protocol as it is), success, held (share of pulls),
        size, displacement_cm and rotation_deg (largest of the pulls), initial_depth_mm, failed; the numbers are null
        for a grasp with a pose that is not finite.

    Raises:
        ValueError: invalid input; the message says what and why.
    """
    hand = load_hand(settings.hand)
    sets = [limited(part, settings.limit) for part in load_grasps(grasps, hand, format)]
    meshes, tables = find_meshes(mesh, [part.object for part in sets]), []
    tests = [(name, *variant) for name in protocols for variant in variants(name, sensitivity)]
    with working("testing grasps", sum(map(len, sets)) * len(tests)) as testing:
        for part in sets:
            try:
                asset = load_asset(meshes[part.object], part.object)
                for piece in (part[i : i + settings.chunk] for i in range(0, len(part), settings.chunk)):
                    scale, up = _scale(piece, settings), piece.upwards(settings.up)
                    posed = PosedGrasps(hand, piece.pose, asset, scale, up, *_postures(piece, hand))
                    for protocol, change, variant in tests:
                        testing.note(f"{part.object}: {protocol.name} {change}")
                        found = success(posed, variant, threads=threads, stop="pull")
                        tables.append(_rows(piece, protocol.name, change, found, posed.valid.numpy()))
                        testing.advance(len(piece))
            except MeshError as error:
                console.print(f"[red]object {part.object} has no values:[/] {error}", soft_wrap=True)
    if not tables:
        raise EvaluationError(f"--mesh {mesh}: none of the {len(sets)} objects can be simulated (reasons above)")
    return pa.concat_tables(tables)


def _scale(part: GraspSet, settings: Settings) -> torch.Tensor:
    return part.scale * (1.0 if settings.scale is None else settings.scale)


def _postures(part: GraspSet, hand: Hand) -> list[torch.Tensor | None]:
    """Joints of the pregrasp and the squeeze that came with the grasps."""
    return [None if pose is None else hand.clamp(pose.joints) for pose in (part.pregrasp, part.squeeze)]


def _rows(part: GraspSet, protocol: str, change: str, found: Success, valid: np.ndarray) -> pa.Table:
    numbers = {
        "success": found.success().double(),
        "held": found.each().double().mean(1),
        "size": found.size * found.shallow(),
        "displacement_cm": found.displacement.amax(1) * 100,
        "rotation_deg": found.rotation.amax(1).rad2deg(),
        "initial_depth_mm": found.initial_depth * 1000,
        "failed": found.failed.double(),
    }
    names = {"object": part.object, "protocol": protocol, "change": change}
    return pa.table(
        {
            **{key: pa.array([name] * len(part), pa.string()) for key, name in names.items()},
            **{"row": part.rows.numpy(), "scale": part.scale.numpy()},
            **{key: pa.array(x.numpy(), mask=~valid) for key, x in numbers.items()},
        }
    )
