"""Two processes (gloo, on the CPU) train, validate and test every model as one process does with all their samples."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.several_processes import CASES, EXACT, TRAINABLE

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def start(folder: Path, port: int, world: int, rank: int) -> subprocess.Popen[str]:
    """One of `world` processes, as torchrun starts them."""
    place = {"WORLD_SIZE": world, "RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    env = os.environ | {key: str(value) for key, value in place.items()} if world > 1 else os.environ
    program = [sys.executable, "-m", "tests.models.several_processes", str(folder)]
    return subprocess.Popen(program, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], ...]]:
    """What one process made of every model, and each of two."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [start(folder, port, world, rank) for world, rank in ((1, 0), (2, 0), (2, 1))]
    try:
        for process in running:
            printed = process.communicate(timeout=3600)[0]
            assert process.returncode == 0, printed[-3000:]
    finally:
        for process in running:
            process.kill()
    files = [folder / name for name in ("0_of_1.pt", "0_of_2.pt", "1_of_2.pt")]
    yield tuple(torch.load(file, weights_only=False) for file in files)
    for file in files:
        file.unlink()


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_and_weights_are_those_of_the_joint_batch(name: str, found: tuple[dict[str, Any], ...]) -> None:
    """In float64, at the same noise for a sample; three steps of SGD, batch norms and ActNorms among the state."""
    one, first, second = (out[name]["step"] for out in found)
    assert one.keys() == first.keys() == second.keys()
    assert sum(key.startswith("gradient ") for key in one) > 5
    scale = max(float(value.abs().max()) for key, value in one.items() if key.startswith("gradient "))
    for key, value in one.items():
        near = {"rtol": 1e-6, "atol": 1e-6 * max(scale, 1.0) if key.startswith("gradient ") else 1e-6}
        torch.testing.assert_close(first[key], value, **near, msg=lambda text, key=key: f"{key}: {text}")
        assert first[key].equal(second[key]), key


@pytest.mark.parametrize("name", CASES)
def test_test_tables_and_statistics_are_those_of_one_process(name: str, found: tuple[dict[str, Any], ...]) -> None:
    """Three samples on two processes: one of them is tested twice, and is one row."""

    def table(out: dict[str, Any]) -> dict[tuple[str, ...], str]:
        rows = {(row["method"], row["refine"], row["clip"]): repr(row) for row in out[name]["rows"]}
        assert len(rows) == len(out[name]["rows"])
        return rows

    one, first, second = (table(out) for out in found)
    assert len({key[2] for key in one}) >= 3
    assert first == one
    assert second == one
    assert len({out[name]["fitted"] for out in found}) == 1


@pytest.mark.parametrize("name", CASES)
def test_validations_are_the_same_in_all_processes(name: str, found: tuple[dict[str, Any], ...]) -> None:
    """And those of one process, where they draw nothing that follows from the process."""
    one, first, second = (out[name]["validated"] for out in found)
    assert first == second
    assert first.keys() == one.keys()
    assert first
    if name in EXACT:
        assert first == one


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_training_leaves_the_same_weights_and_curves_in_all_processes(
    name: str, found: tuple[dict[str, Any], ...]
) -> None:
    _, first, second = (out[name] for out in found)
    assert first["trained"] == second["trained"] != first["fitted"]
    assert any(key.startswith("train/") for key in first["logged"])
    assert {k: float(v) for k, v in first["logged"].items()} == {k: float(v) for k, v in second["logged"].items()}
