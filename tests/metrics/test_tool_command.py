"""The evaluation tool as a command: pictures, meshes, real samples, messages and exit status."""

from __future__ import annotations

import json
import shlex
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as imageio
import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh
from rich.console import Console

from dexzoo.experiments.commands import evaluate as command
from dexzoo.grasps.files import FORMATS
from dexzoo.grasps.grasp_set import AXES
from dexzoo.metrics import tool
from dexzoo.metrics.columns import METRICS
from dexzoo.metrics.grasp import Gap, ValidQ1
from dexzoo.metrics.tool import EvaluationError, Settings, evaluate
from dexzoo.metrics.tool.meshes import find_mesh, find_meshes
from dexzoo.metrics.tool.pictures import worst_rows
from tests.verbs import status_of

from .given_grasps import Given

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


pytestmark = pytest.mark.usefixtures("own_cache")


class TestPictures:
    def test_they_are_written_and_not_blank(self, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
        tool = import_module("dexzoo.metrics.tool.evaluate")
        monkeypatch.setattr(tool, "draw_worst", partial(tool.draw_worst, size=160))
        given.run(worst="gap_cm", pictures=True)
        for name in ("histograms.png", "worst.png"):
            picture = imageio.imread(given.out / name)[..., :3]
            assert picture.shape[0] > 100
            assert (picture < 200).any(-1).mean() > 0.01
        blue, brown = ((picture.astype(int) @ weights) > 40 for weights in ([-1, 0, 1], [1, 0, -1]))
        assert blue.mean() > 0.002  # the hand
        assert brown.mean() > 0.02  # the object

    def test_the_worst_come_first_by_the_direction_of_the_column(self) -> None:
        values = np.array([0.2, np.nan, 0.9, 0.5])
        assert worst_rows(values, Gap, 2) == [2, 3]
        assert worst_rows(values, ValidQ1) == [0, 3, 2]
        assert worst_rows(np.full(3, np.nan), Gap) == []


class TestMeshes:
    def test_where_meshes_are_looked_for(self, tmp_path: Path) -> None:
        cube = trimesh.creation.box((1, 1, 1))
        for name in ("a/coacd/decomposed.obj", "b.stl", "c/only.ply", "sem-d-1.obj", "e-2/coacd/decomposed.obj"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            cube.export(tmp_path / name)
        names = {"a": "a/coacd/decomposed.obj", "b": "b.stl", "c": "c/only.ply", "sem/d-1": "sem-d-1.obj"}
        for name, file in {**names, "core/e-2": "e-2/coacd/decomposed.obj"}.items():
            assert find_mesh(tmp_path, name) == tmp_path / file
        assert find_meshes(tmp_path / "b.stl", ["anything"]) == {"anything": tmp_path / "b.stl"}

    def test_what_is_not_found_is_named(self, tmp_path: Path) -> None:
        for name in ("mug/a.obj", "mug/b.obj", "bottle.obj"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("")
        searched = r"searched <name>/coacd/decomposed\.obj, .* with name botle; did you mean 'bottle'"
        with pytest.raises(EvaluationError, match=rf"mesh of object 'botle', found none; {searched}"):
            find_mesh(tmp_path, "botle")
        with pytest.raises(EvaluationError, match=r"mug: expected one mesh, found 2: a\.obj, b\.obj"):
            find_mesh(tmp_path, "mug")
        with pytest.raises(EvaluationError, match=r"expected a folder, because the grasps are of 2 objects \(a, b"):
            find_meshes(tmp_path / "bottle.obj", ["a", "b"])
        with pytest.raises(EvaluationError, match="found nothing there"):
            find_meshes(tmp_path / "nowhere", ["a"])

    def test_repairs_are_said_once_also_when_going_on(self, given: Given, capsys: pytest.CaptureFixture[str]) -> None:
        inside_out = trimesh.creation.box((2, 2, 2))
        inside_out.invert()
        given.write_mesh("cube.obj", inside_out)
        for _ in range(2):
            assert given.main() == 0
            assert capsys.readouterr().out.count("note mesh of cube: turned inside out") == 1

    def test_a_bad_mesh_costs_its_object_only_and_the_exit_status(self, given: Given, capsys) -> None:
        box = trimesh.creation.box((2, 2, 2))
        (given.meshes / "cube.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
        assert given.main() == 1
        said = capsys.readouterr()
        assert said.out.count("object cube has no values: ") == 1
        assert "cube: expected a surface, found faces without an area" in said.out
        assert "1 of 2 objects have no values" in said.err
        table = pq.read_table(given.out / "grasps.parquet")
        assert np.isnan(table["gap_cm"]).tolist() == [True] * 10 + [False, True] + [False] * 5
        summary = json.loads((given.out / "summary.json").read_text())
        assert list(summary["failures"]) == ["cube"]
        assert summary["objects"]["cube"]["gap_cm"]["mean"] is None
        given.write_mesh("cube.obj", box)
        assert given.main() == 0  # mended, it goes on


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real samples at {SHARED}")
@pytest.mark.parametrize(
    ("grasps", "meshes", "objects"),
    [
        ("dexgraspnet_sample/dataset", "dexgraspnet_sample/meshdata", 3),
        ("unidexgrasp_sample/datasetv4.1", "unidexgrasp_sample/meshdatav3_scaled", 1),
    ],
)
def test_real_grasps_touch_their_objects(grasps: str, meshes: str, objects: int, tmp_path: Path) -> None:
    """In other scales, frames or Euler angles they would not (the right one: within 10 mm deep, 2 mm off)."""
    settings = Settings(metrics=("contact",), limit=8)
    found = evaluate(SHARED / grasps, SHARED / meshes, tmp_path, settings, console=Console(quiet=True), pictures=False)
    gap = found.table["gap_cm"].to_numpy()
    assert len(gap) == 8 * len(found.objects) == 8 * objects
    assert -1.0 < gap.min() <= gap.max() < 0.2


class TestCommand:
    def test_errors_are_one_message_and_a_status(self, given: Given, capsys: pytest.CaptureFixture[str]) -> None:
        for words, message in (
            (("--worst", "q1"), "--worst: expected one of the columns contact_ratio"),
            (("--hand", "shadw"), "no hand 'shadw'; did you mean 'shadow'"),
            (("--hand", "shadow"), "hand: expected 'shadow', found 'fixed'"),
            (("--mesh", "nowhere"), "nowhere: expected a mesh file or a folder of meshes"),
            (("--format", "dexgraspnet"), "looks like format 'dexzoo'"),
            (("--out", str(given.hand.spec.file / "below")), "choose another --out"),
            (("--metrics", "penetratio"), "--metrics: expected one of all, "),
        ):
            assert given.main(*words) == 1
            said = capsys.readouterr().err
            assert message in said
            assert said.splitlines()[-1].startswith(message[:6]) or said.count("\n") == 1
            assert "Traceback" not in said

    @pytest.mark.parametrize(
        "words", [("--up", "w"), ("--format", "npz"), ("--limit", "0"), ("--workers", "x"), ("--x",)]
    )
    def test_a_wrong_command_has_status_2(self, given: Given, words: tuple[str, ...], capsys) -> None:
        assert given.main(*words) == 2
        assert words[0] in capsys.readouterr().err

    def test_the_list_has_every_metric_and_column(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("metrics") == 0
        printed = capsys.readouterr().out
        for name, group in METRICS.items():
            assert f" {name} " in printed
            for column in group:
                assert f" {column.key} " in printed
                assert column.definition().split(",")[0][:40] in printed

    def test_the_examples_of_the_help_are_commands(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("evaluate", "--help") == 0
        start = "  dexzoo evaluate "
        printed = capsys.readouterr().out
        examples = [line.removeprefix(start) for line in printed.splitlines() if line.startswith(start)]
        assert len(examples) == 3
        for example in examples:
            assert command.parser().parse_args(shlex.split(example)).out

    def test_the_choices_of_the_help_are_those_of_the_readers(self) -> None:
        assert (command.FORMATS, command.AXES) == (FORMATS, AXES)


def test_all_means_every_metric(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def evaluated(grasps, mesh, out, settings, **_):
        asked.append(settings)
        return SimpleNamespace(failures={})

    monkeypatch.setattr(tool, "evaluate", evaluated)
    assert given.main("--metrics", "all") == 0
    assert asked[0].metrics == tuple(METRICS)
