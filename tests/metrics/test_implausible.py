"""The command `evaluate` on grasps and meshes in wrong units, and on data that know what is up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import trimesh

from dexzoo.grasps.files import GraspSet, load_grasps, save_grasps
from dexzoo.grasps.grasp_set import AXES, GraspFileError
from dexzoo.hands.load import load_hand
from dexzoo.hands.pose import HandPose
from tests.verbs import status_of

from .given_grasps import RADIUS, Given
from .small_hands import ball, box, fixed_hand, pose_at

pytestmark = pytest.mark.usefixtures("own_cache")


def table(given: Given):
    return pq.read_table(given.out / "grasps.parquet")


def test_good_grasps_are_not_doubted(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert given.main() == 0
    assert "implausible" not in capsys.readouterr().out
    assert table(given)["implausible"].to_pylist() == [""] * 17
    assert json.loads((given.out / "summary.json").read_text())["implausible"]["n"] == 0


def test_translations_in_millimetres_are_named_and_counted(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten grasps, of which one is unknown, in the file of one object; also when the command goes on."""
    file = given.grasps / "cube.npz"
    arrays = dict(np.load(file))
    np.savez(file, **arrays | {"translation": 1000 * arrays["translation"]})
    for _ in range(2):
        assert given.main() == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "implausible: 9 of 17 grasps: the hand is " in said
        assert "did you mean translations in millimetres? If so, 9 of them are within 5 cm" in said
    reasons = table(given)["implausible"].to_pylist()
    assert reasons == ["hand far from the object (millimetres?)", "", *[reasons[0]] * 8, *[""] * 7]
    distance = table(given)["hand_distance_m"].to_numpy()
    expected = 1000 * (0.02 + RADIUS + 2e-4) - 0.02 - RADIUS
    assert distance[0] == pytest.approx(expected, rel=1e-3)
    summary = json.loads((given.out / "summary.json").read_text())["implausible"]
    assert (summary["n"], summary["objects"]) == (9, {"cube": 9})
    assert summary["messages"][0].startswith("implausible: 9 of 17 grasps")


def test_an_object_of_two_metres_needs_its_scale_stated(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    """The cube's file in tens of metres: --scale says so, and the grasps touch again."""
    given.write_mesh("cube.obj", trimesh.creation.box((100, 100, 100)))
    assert given.main() == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "object cube has no values: " in said
    assert "implausible: the longest side is 2 m, expected 1 mm to 1 m; did you mean a scale of 0.01 (2 cm)?" in said
    assert "--scale states the unit of the meshes (1: metres)" in said
    out = given.out
    given.out = out.with_name("stated")
    assert given.main("--scale=1") == 0
    assert table(given)["scale"].to_numpy()[0] == pytest.approx(0.02)
    given.write_mesh("cube.obj", trimesh.creation.box((100, 100, 100)))
    given.write_mesh("sem-slab-1/coacd/decomposed.obj", trimesh.creation.box((200, 200, 100)))
    given.out = out.with_name("scaled")
    assert given.main("--scale=0.02") == 0
    assert table(given)["scale"].to_numpy()[0] == pytest.approx(0.02 * 0.02)
    np.testing.assert_allclose(table(given)["gap_cm"].to_numpy()[0], 0.02, atol=1e-4)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "mm"])
def test_a_scale_that_is_none_is_refused(given: Given, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert given.main(f"--scale={text}") == 2
    assert "expected metres, a positive number, found" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- what is up


@pytest.fixture
def shelf(tmp_path: Path) -> tuple[Path, Path]:
    """A cube on a board that holds it against a pull along -z alone; grasps by that hand, and the mesh."""
    hand = fixed_hand(tmp_path, box([0.0, 0.0, -0.04], [0.2, 0.2, 0.02]), ball((0.3, 0, 0), 0.01))
    mesh = tmp_path / "cube.obj"
    trimesh.creation.box((0.04, 0.04, 0.04)).export(mesh)
    return hand.spec.file, mesh


def displacement(shelf: tuple[Path, Path], folder: Path, part: GraspSet, *words: str) -> np.ndarray:
    hand = load_hand(str(shelf[0]))
    save_grasps(folder / "g.npz", [part], hand)
    options = [f"--mesh={shelf[1]}", f"--out={folder / 'out'}", f"--hand={shelf[0]}", "--no-pictures", *words]
    assert status_of("evaluate", str(folder / "g.npz"), *options, "--metrics", "sim_displacement") == 0
    return pq.read_table(folder / "out/grasps.parquet")["sim_displacement_cm"].to_numpy()


def one(shelf: tuple[Path, Path], **changes) -> GraspSet:
    hand = load_hand(str(shelf[0]))
    pose = pose_at(hand, torch.zeros(2, 3, dtype=torch.float64))
    return replace(GraspSet("cube", pose, torch.ones(2, dtype=torch.float64), torch.arange(2)), **changes)


FALL = 100 * 9.8 * 0.002**2 * 73 * 74 / 2


@pytest.mark.parametrize(
    ("words", "expected", "said"),
    [
        ((), 0.0, "up: z for 2 grasps\n"),
        (("--up=z",), 0.0, "up: z for 2 grasps\n"),
        (("--up=-z",), FALL, "up: -z for 2 grasps\n"),
        (("--up=six",), 5 / 6 * FALL, "up: unknown for 2 grasps, which fall along all six half axes\n"),
    ],
)
def test_gravity_pulls_against_up(shelf, tmp_path: Path, words, expected, said, capsys) -> None:
    """Sideways the board doesn't hold: friction is not there without a load."""
    np.testing.assert_allclose(displacement(shelf, tmp_path, one(shelf), *words), expected, atol=0.06)
    assert said in capsys.readouterr().out


def test_a_tables_normal_is_up_where_there_is_one(shelf, tmp_path: Path) -> None:
    plane = torch.tensor([[0.0, 0.0, -1.0, 0.1], [torch.nan] * 4], dtype=torch.float64)
    np.testing.assert_allclose(displacement(shelf, tmp_path, one(shelf, plane=plane)), [FALL, 0.0], atol=0.06)


def test_up_survives_a_file_and_is_not_known_of_dexgraspnet(tmp_path: Path) -> None:
    hand = load_hand("shadow")
    up = torch.tensor([[0.0, 1.0, 0.0], [torch.nan] * 3], dtype=torch.float64)
    pose = HandPose.stack([hand.rest_pose()] * 2).to(torch.float64)
    part = GraspSet("mug", pose, torch.full((2,), 0.1, dtype=torch.float64), torch.arange(2), up=up)
    save_grasps(tmp_path / "mine.npz", [part], hand)
    (again,) = load_grasps(tmp_path / "mine.npz", hand)
    torch.testing.assert_close(again.upwards(), up, equal_nan=True)
    save_grasps(tmp_path, [part], hand, "dexgraspnet")
    (theirs,) = load_grasps(tmp_path / "mug.npy", hand)
    assert theirs.upwards().isnan().all()
    assert theirs.upwards("-y").tolist() == [[0.0, -1.0, 0.0]] * 2


def test_an_axis_that_is_none_is_named() -> None:
    part = GraspSet("mug", None, torch.ones(1), torch.arange(1))  # type: ignore[arg-type]
    with pytest.raises(GraspFileError, match=rf"up: expected one of {', '.join(AXES)}, found 'up'"):
        part.upwards("up")
