"""The scripts in examples/, the notebook and the blocks of docs/python.md run, and what they print is right."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from dexzoo import geometry, load_grasps, load_hand, load_run
from tests.test_docs import blocks
from tests.verbs import status_of

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
FALL = 100 * 0.5 * 9.8 * (35 / 240) ** 2
"""Centimetres that an object falls freely in the time of the simulation."""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs an example in an empty folder; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo grasps of two objects as files."""
    folder = tmp_path_factory.mktemp("examples") / "demo"
    assert status_of("demo", "--out", str(folder), "--objects", "apple", "mug") == 0
    return folder


@pytest.fixture(scope="module")
def grasp_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a grasp model that learned nothing."""
    return run_of(
        tmp_path_factory.mktemp("grasp_run"),
        *("model=grasp_flow", "model.network.contact=null", "refine=none", "trainer=smoke", "model.n_samples=1"),
        *("data.objects=[bottle,mug,jar]", "data.eval_grasps=1"),
    )


def run_of(folder: Path, *overrides: str) -> Path:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "dexzoo", "run", *overrides, "logger=none", f"hydra.run.dir={folder / 'run'}"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


def numbers(text: str, pattern: str) -> list[float]:
    return [float(x) for x in re.findall(pattern, text)]


def test_every_example_is_tested_here_and_short() -> None:
    tested = Path(__file__).read_text()
    for script in EXAMPLES.glob("*"):
        assert f'"{script.name}"' in tested, script.name
        assert script.suffix == ".ipynb" or len(script.read_text().splitlines()) <= 50, script.name


def test_fingertips_are_where_mujoco_has_them_and_inverse_kinematics_arrives(said: Any) -> None:
    printed = said("hand_kinematics.py")
    assert numbers(printed, r"is ([\d.]+) mm from its target")[0] < 0.1
    hand = load_hand("shadow")
    model = mujoco.MjModel.from_xml_path(str(hand.spec.source))
    state = mujoco.MjData(model)
    for name, angle in zip(hand.joint_names, hand.rest.tolist(), strict=True):
        state.joint(f"robot0:{name}").qpos[:] = angle
    mujoco.mj_kinematics(model, state)
    palm, last = state.body("robot0:palm"), state.body("robot0:ffdistal")
    offset = last.xmat.reshape(3, 3) @ hand.spec.fingertips["FF"][1]
    tip = palm.xmat.reshape(3, 3).T @ (last.xpos + offset - palm.xpos)
    found = re.search(r"^FF_tip +(\S+) +(\S+) +(\S+)$", printed, re.M)
    assert found is not None
    np.testing.assert_allclose([float(x) for x in found.groups()], tip, atol=1e-4)


def test_demo_grasps_hold_and_grasps_elsewhere_fall(said: Any, demo: Path) -> None:
    printed = said("measure_grasps.py", demo / "grasps.npz", demo / "meshes", "1")
    assert re.findall(r"^(\w+) +(\d+) grasps", printed, re.M) == [("apple", "1"), ("mug", "1")]
    assert max(numbers(printed, r"sim_displacement_cm ([\d.]+)")) < 1
    with np.load(demo / "grasps.npz") as file:
        np.savez("away.npz", **{**file, "translation": file["translation"] + 5})
    printed = said("measure_grasps.py", "away.npz", demo / "meshes", "1")
    assert numbers(printed, r"penetration_cm ([\d.]+)") == [0, 0]
    assert numbers(printed, r"sim_displacement_cm ([\d.]+)") == pytest.approx([FALL, FALL], abs=0.3)


def test_an_own_metric_agrees_with_the_distances_of_the_fingertips(said: Any) -> None:
    printed = said("own_metric.py")
    hand = load_hand("shadow")
    tips = hand.keypoints(hand.forward_kinematics(hand.rest_pose(1)))[0, -5:].numpy()
    widest = max(np.linalg.norm(a - b) for a in tips for b in tips)
    assert numbers(printed, r"fingertip_spread_cm +mean ([\d.]+)") == [pytest.approx(100 * widest, abs=0.006)]
    near, far, away = numbers(printed.splitlines()[1].split("each")[1], r"([\d.]+)")
    assert near > far > away == 0


def test_refined_grasps_are_less_deep_and_saved(said: Any) -> None:
    printed = said("refine_grasps.py", "mine.npz")
    before, after = numbers(printed, r"penetration ([\d.]+) cm")
    assert before > 0.8
    assert after < before / 3
    (saved,) = load_grasps("mine.npz", load_hand("shadow"))
    assert (saved.object, len(saved)) == ("box", 6)


@pytest.mark.slow
def test_a_tiny_motionnet_learns_and_is_loaded(said: Any) -> None:
    printed = said("train_motionnet.py", "tiny.ckpt")
    learned, still = numbers(printed, r"MPJPE ([\d.]+) cm")
    assert learned < still / 2
    assert still > 15


@pytest.mark.slow
def test_grasps_are_drawn_of_a_mesh_of_ones_own(said: Any, grasp_run: Path) -> None:
    trimesh.creation.cylinder(radius=0.03, height=0.1).export("can.obj")
    printed = said("sample_grasps.py", grasp_run, "can.obj", "mine.npz")
    drawn, refined = numbers(printed, r"sim_displacement_cm ([\d.]+)")
    assert 0 <= refined <= FALL + 0.3 or refined < drawn
    kept = int(numbers(printed, r"keeps (\d+) of 12")[0])
    (saved,) = load_grasps("mine.npz", load_hand("shadow"))
    assert len(saved) == (kept or 12)


@pytest.mark.slow
def test_a_reach_is_filmed(said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = geometry.render_scene
    monkeypatch.setattr(
        geometry, "render_scene", lambda parts, camera, size, ground: draw(parts, camera, (96, 96), ground)
    )
    run = run_of(tmp_path, "experiment=smoke", "model.network.hidden=32", "figures.percentiles=[]")
    task, data = load_run(run)
    data.setup("test")
    said("film_a_reach.py", run, "film.webp", data.test[0].name)
    film = Image.open("film.webp")
    assert film.n_frames > 5  # type: ignore[attr-defined]
    assert np.ptp(np.asarray(film.convert("RGB")).astype(int), axis=-1).max() > 40  # something coloured on the floor
    assert task.method == "motionnet"


@pytest.mark.slow
def test_the_blocks_of_the_page_on_python_run(
    demo: Path, grasp_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").symlink_to(demo)
    (tmp_path / "GRASP_RUN").symlink_to(grasp_run)
    names: dict[str, Any] = {}
    for language, _, text in blocks(ROOT / "docs/python.md"):
        assert language == "python"
        exec(text, names)
    assert names["points"].shape[:1] == (8,)
    assert bool((names["refined"].end <= names["refined"].start + 1e-6).all())
    assert names["picture"].shape == (400, 400, 3)
    (saved,) = load_grasps("mine.npz", names["hand"])
    torch.testing.assert_close(saved.pose.translation, names["mine"].pose.translation)
    with np.load("mine.npz") as file:
        keys = re.findall(r"^\| `(\w+)` \| \(", (ROOT / "docs/python.md").read_text(), re.M)
        assert set(file.files) <= set(keys)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = EXAMPLES / "first_steps.ipynb"
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    names: dict[str, Any] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    volume = [float(names[name]["hand_object_cm3"].mean()) for name in ("before", "after", "mended")]
    assert volume[1] > 10 * volume[0]
    assert volume[2] < volume[1] / 2
