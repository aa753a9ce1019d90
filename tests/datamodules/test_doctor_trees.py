"""The doctor on whole trees: healthy ones, broken files, wrong conventions, and the command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from dexzoo.datamodules.base import DEMO_MARK
from dexzoo.datamodules.demo import realdex_tree
from dexzoo.datamodules.demo.dexgraspnet_tree import write_dexgraspnet_tree
from dexzoo.datamodules.demo.grab_tree import write_grab_tree, write_sequence
from dexzoo.datamodules.doctor import SETS, causes, consult, sheet
from dexzoo.datamodules.doctor.consult import read_settings
from dexzoo.files.errors import DataError, UnknownName
from dexzoo.hands import load_hand
from dexzoo.hands.mano_standin import write_standin
from tests.verbs import status_of

HAND = load_hand("shadow")


# -------------------------------------------------------------------------------------------------------- whole trees


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DexGraspNet's layout, three demo objects."""
    root = tmp_path_factory.mktemp("static")
    write_dexgraspnet_tree(root, ("hammer", "mug", "spray"))
    (root / DEMO_MARK).unlink()  # as if it were a download
    return root


@pytest.fixture(scope="module")
def grab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GRAB's layout, one subject with two objects: one to train on and one to test on."""
    root = tmp_path_factory.mktemp("grab")
    write_grab_tree(root, ("s9",), ("hammer", "mug"))
    (root / DEMO_MARK).unlink()
    return root


@pytest.fixture
def realdex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RealDex's layout, three objects with two reaches each."""
    monkeypatch.setattr(realdex_tree, "OBJECTS", ("hammer", "spray", "mug"))
    monkeypatch.setattr(realdex_tree, "RECORDINGS", 1)
    monkeypatch.setattr(realdex_tree, "CLIPS", 2)
    realdex_tree.write_tree(tmp_path / "realdex")
    (tmp_path / "realdex" / DEMO_MARK).unlink()
    return tmp_path / "realdex"


Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Runs the command, the sheet of samples goes to `tmp_path`; returns its status and what it prints."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(consult, "EXAMINED", 24)
    monkeypatch.setattr(consult, "PIXELS", 60)
    monkeypatch.setattr(sheet, "SAMPLES", 2)
    monkeypatch.setattr(causes, "GRASPS", 12)

    def run(*arguments: str) -> tuple[int, str]:
        status = status_of("doctor", *arguments, "data.n_object_points=16", "--out", str(tmp_path / "out"))
        return status, capsys.readouterr().out

    return run


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def verdicts(text: str) -> dict[str, str]:
    """Last cell of each row of the table of statistics, by the first two words of the first."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return {" ".join(row[0].split()[:2]): row[-1] for row in rows if len(row) == 4 and row[0]}


class TestDexGraspNet:
    def test_a_good_tree(self, static: Path, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sheet, "SAMPLES", 12)
        status, text = doctor("data=dexgraspnet", f"data.root={static}")
        assert status == 0, text
        assert set(verdicts(text).values()) == {"good"}
        assert "144 grasps of 3 objects" in text
        assert "the data here are partial: 3 of 5,355 objects" in text
        assert "broken: nothing" in text
        picture = imageio.imread(tmp_path / "out/doctor_dexgraspnet.png")
        assert picture.shape[1:] == (240, 3)
        thirds = [part for row in np.array_split(picture[30:], 3) for part in np.array_split(row, 4, axis=1)]
        assert all((part[..., 2] > part[..., 0] + 50).mean() > 0.02 for part in thirds)  # a blue hand in each of 12

    @pytest.mark.slow
    def test_the_reciprocal_of_the_scale_is_found_out(self, static: Path, doctor: Doctor, tmp_path: Path) -> None:
        shutil.copytree(static, tmp_path / "tree")
        for file in (tmp_path / "tree/dataset").iterdir():
            table = np.load(file, allow_pickle=True)
            for entry in table:
                entry["scale"] = 1 / entry["scale"]
            np.save(file, table[:6], allow_pickle=True)
        status, text = doctor("data=dexgraspnet", f"data.root={tmp_path / 'tree'}")
        assert status == 1
        assert verdicts(text)["longest side"] == verdicts(text)["least distance,"] == "BAD"
        assert "the likeliest first\n  the scale is the reciprocal" in text

    @pytest.mark.slow
    def test_an_object_of_metres_is_named(self, static: Path, doctor: Doctor, tmp_path: Path) -> None:
        shutil.copytree(static, tmp_path / "tree")
        for file in (tmp_path / "tree/dataset").iterdir():
            table = np.load(file, allow_pickle=True)
            for entry in table:
                entry["scale"] *= 1000
            np.save(file, table[:4], allow_pickle=True)
        status, text = doctor("data=dexgraspnet", f"data.root={tmp_path / 'tree'}")
        assert status == 1
        assert " objects: implausible: the longest side is " in text

    def test_a_broken_file_and_a_missing_mesh_are_listed_by_name(
        self, static: Path, doctor: Doctor, tmp_path: Path
    ) -> None:
        root = tmp_path / "tree"
        shutil.copytree(static, root)
        cut_short(root / "dataset/demo-mug-0.npy")
        shutil.rmtree(root / "meshdata/demo-spray-0")
        status, text = doctor("data=dexgraspnet", f"data.root={root}")
        assert status == 1
        assert "broken: 2\n" in text
        assert f"  {root}/dataset/demo-mug-0.npy: expected grasps, found" in text
        assert f"  {root}/dataset/demo-spray-0.npy: expected an object with a mesh" in text
        assert "meshes of 1 of 3 objects" in text
        assert text.rstrip().endswith("2 broken")

    def test_nothing_but_broken_files(self, doctor: Doctor, tmp_path: Path) -> None:
        (tmp_path / "dataset").mkdir()
        (tmp_path / "meshdata").mkdir()
        (tmp_path / "dataset/core-mug-1.npy").write_bytes(b"\x93NUMPY")
        status, text = doctor("data=dexgraspnet", f"data.root={tmp_path}")
        assert status == 1
        assert "core-mug-1.npy: expected grasps" in text

    def test_without_meshes_only_joints_are_judged(self, static: Path, doctor: Doctor, tmp_path: Path) -> None:
        status, text = doctor("data=dexgraspnet", f"data.root={static}", "data.object_points=none")
        assert (status, verdicts(text)) == (0, {"joints beyond": "good", "plausible grasps": "good"})
        assert (tmp_path / "out/doctor_dexgraspnet.png").is_file()

    def test_an_empty_root_says_what_is_expected_there(self, doctor: Doctor, tmp_path: Path) -> None:
        status, text = doctor("data=dexgraspnet", f"data.root={tmp_path}")
        assert status == 1
        assert "<root>/dataset/<object_code>.npy" in text


class TestGrab:
    @pytest.fixture(autouse=True)
    def _no_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DEXZOO_MANO", raising=False)

    def test_a_good_tree_without_and_with_the_model(
        self, grab: Path, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        status, text = doctor("data=grab", f"data.root={grab}")
        assert status == 0, text
        assert set(verdicts(text).values()) == {"good"}
        assert "the MANO model: joints are approximate, and verdicts 15 mm more lenient" in text
        assert "fingertips within 20 mm" in text
        assert "9 of 10 subjects: s1, s2" in text
        monkeypatch.setenv("DEXZOO_MANO", str(write_standin(tmp_path / "MANO_RIGHT.pkl")))
        status, text = doctor("data=grab", f"data.root={grab}")
        assert status == 0, text
        assert "the MANO model" not in text
        assert "fingertips within 5 mm" in text

    def test_objects_turned_the_other_way_are_found_out_and_a_broken_file_is_named(
        self, grab: Path, doctor: Doctor, tmp_path: Path
    ) -> None:
        """Someone wrote the rotation of columns, where GRAB has that of row vectors."""
        root = tmp_path / "GRAB"
        shutil.copytree(grab, root)
        for file in (root / "grab/s9").iterdir():
            with np.load(file, allow_pickle=True) as archive:
                content = {key: archive[key].item() for key in archive.files}
            content["object"]["params"]["global_orient"] *= -1
            write_sequence(file, content)
        cut_short(root / "grab/s9/mug_lift.npz")
        status, text = doctor("data=grab", f"data.root={root}", "hand=mano_skeleton")
        assert status == 1
        assert verdicts(text)["conventions"] == "BAD"
        assert "the likeliest first\n  the object's rotation is transposed" in text
        assert f"  {root}/grab/s9/mug_lift.npz: expected a complete npz file" in text


class TestRealDex:
    def test_a_good_tree(self, realdex: Path, doctor: Doctor) -> None:
        status, text = doctor("data=realdex", f"data.root={realdex}")
        assert status == 0, text
        assert set(verdicts(text).values()) == {"good"}
        assert "6 clips of 3 objects, from 3 recordings" in text
        assert "53 of 53 objects: air_duster" in text

    def test_quaternions_in_another_order_are_found_out_and_a_broken_file_is_named(
        self, realdex: Path, doctor: Doctor
    ) -> None:
        for file in realdex.glob("*/*/tracking_result/gt_pose.txt"):
            rows = np.loadtxt(file)
            np.savetxt(file, np.hstack([rows[:, :3], np.roll(rows[:, 3:], 1, axis=1)]), "%.10f")
        bad = next(realdex.glob("mug/*/segment.txt"))
        bad.write_text("0 many\n")
        status, text = doctor("data=realdex", f"data.root={realdex}")
        assert status == 1
        assert verdicts(text)["conventions"] == "BAD"
        assert "the likeliest first\n  the object's quaternions are w x y z but were read as x y z w" in text
        assert f"  {bad}" in text

    def test_the_demo_tree_is_not_taken_for_a_part_of_the_data(self, doctor: Doctor, realdex: Path) -> None:
        status, text = doctor("data=realdex", "data.root=demo")
        assert status == 0, text
        assert "generated data: a layout to try things on" in text
        assert "53 objects:" not in text

    def test_real_reaches_to_a_handle(self, real_root: Path, doctor: Doctor) -> None:
        status, text = doctor("data=realdex", f"data.root={real_root}")
        assert status == 0, text
        assert verdicts(text)["least distance,"] == "good"
        assert "samples flagged palm_from_forearm" in text


def test_the_demo_data(doctor: Doctor) -> None:
    status, text = doctor("data=demo", "data.clips=6", "data.objects=[mug, can]")
    assert status == 0, text
    assert "6 clips of 2 objects" in text


# ---------------------------------------------------------------------------------------------------------- arguments


class TestArguments:
    def test_settings(self) -> None:
        found = read_settings(["data=grab", "data.root=12", "data.n_object_points=16", "hand=mano_skeleton"])
        assert found == ("grab", "mano_skeleton", {"root": "12", "n_object_points": 16})

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (["data=grap"], "data: expected one of .* found 'grap'; did you mean 'grab'"),
            (["data.root=x"], "data: expected data=realdex|grab.*, found only data.root=x"),
            (["data=grab", "roots=x"], "setting: expected one of data, data.root, grasps, hand, found 'roots'"),
            (["grab"], "grab: expected KEY=VALUE, found no '='"),
            (["data=grab", "data.split=[x"], r"data.split: expected a value in YAML, found '\[x'"),
        ],
    )
    def test_wrong_settings(self, settings: list[str], message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_settings(settings)

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("grab", {"spilt": "goal"}, "data=grab, data.spilt: expected one of .* did you mean 'split'"),
            ("dexgraspnet", {"eval_grasp": 1}, "did you mean 'eval_grasps'"),  # of the class it is made of
            ("realdex", {"poses": "tff"}, "^poses: expected one of .* did you mean 'tf'"),
            ("demo", {"root": "x"}, "data=demo, data.root: expected one of"),
        ],
    )
    def test_unknown_keys_and_values(self, name: str, options: dict[str, object], message: str) -> None:
        with pytest.raises(UnknownName, match=message):
            SETS[name].make("mano_skeleton" if name == "grab" else None, options)

    def test_wrong_settings_end_with_the_message(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("doctor", "data=realdecks") == 1
        assert "did you mean 'realdex'?" in capsys.readouterr().err

    def test_without_arguments_it_says_how_to_get_each_data_set(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("doctor") == 0
        text = capsys.readouterr().out
        for line in (
            "https://github.com/4DVLab/RealDex",
            "https://grab.is.tue.mpg.de",
            "https://mano.is.tue.mpg.de",
            "https://github.com/PKU-EPIC/UniDexGrasp",
            "https://github.com/tengyu-liu/GenDexGrasp",
            "<root>/models/<object>.obj",
            "<root>/grab/s1 ... s10/<object>_<action>[_<k>].npz",
            "<root>/dataset/<object_code>.npy",
            "dexzoo download realdex --out DIR",
        ):
            assert line in text
        assert text.count("licence") >= 6
