"""GRAB's static grasps, and settings of its reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.errors import DatasetNotFound
from dexzoo.datamodules.grab import GrabMotion, find_tree, read_grasps
from dexzoo.datamodules.grab.skeleton import mano_hand, person_of
from dexzoo.files.errors import DataError, UnknownName
from dexzoo.hands.mano_model import ManoModelNotFound
from tests.datamodules.grab.test_reading import Writer, clips

from .conftest import OBJECT, TEMPLATE, content, save, write_tools


class TestGrasps:
    def test_hands_are_in_the_frame_of_the_object(self, root: Path, mano: Path) -> None:
        grasps = read_grasps(root, frames="goal_grasp", n_object_points=8)
        assert len(grasps) == len(range(166, 240))  # 5 mm are passed at 166
        sample, frame = grasps[3], 169
        assert (sample.name, sample.object) == ("mug/s1/mug_lift/169", "mug")
        params = content(7)
        person = person_of(mano_hand("mano"), root / TEMPLATE)
        wrist = params["rhand"]["params"]["transl"][frame] + person.rest[0]
        turn = Rotation.from_rotvec(params["object"]["params"]["global_orient"][frame]).as_matrix()
        expected = (wrist - params["object"]["params"]["transl"][frame]) @ turn.T  # the inverse of a row times turn
        np.testing.assert_allclose(sample.pose.translation.numpy(), expected, atol=1e-6)
        assert sample.mesh == root / OBJECT

    def test_every_and_parts(self, write: Writer, root: Path, mano: Path) -> None:
        write("s9/hammer_lift", object__object_mesh=OBJECT)
        grasps = read_grasps(root, frames="grab", every=10, n_object_points=8)
        assert grasps.frame.tolist() == 2 * list(range(150, 240, 10))
        assert {sample.object for sample in grasps.part("test")} == {"mug"}
        assert {sample.object for sample in grasps.part("train")} == {"hammer"}
        assert len(grasps.part("val", "goal")) == 0
        assert {sample.object for sample in grasps.part("test", "saga_subjects")} == {"hammer"}
        assert len(grasps[2:5]) == 3
        with pytest.raises(UnknownName, match=r"frames: .* found 'reach'"):
            read_grasps(root, frames="reach")
        with pytest.raises(DataError, match="every: expected 1 or more, found 0"):
            read_grasps(root, every=0)


class TestSettings:
    def test_parts(self, write: Writer, root: Path, mano: Path) -> None:
        names = ("apple", "hammer", "wineglass", "fryingpan")
        write_tools(root, names)
        for name in names:
            write(f"s10/{name}_lift", object__object_mesh=OBJECT.replace("mug", name))
        parts = {}
        for split in ("grab", "goal", "saga_subjects"):
            data = GrabMotion(root, split=split, n_object_points=8)
            data.setup()
            parts[split] = [sorted(clip.object for clip in part) for part in (data.train, data.val, data.test)]
        assert parts["grab"] == [["hammer"], ["apple"], ["fryingpan", "mug", "wineglass"]]
        assert parts["goal"] == [["hammer", "wineglass"], ["fryingpan"], ["apple", "mug"]]
        assert parts["saga_subjects"] == [["mug"], [], sorted(names)]

    def test_a_split_without_its_subjects(self, root: Path, mano: Path) -> None:
        with pytest.raises(
            DataError, match=r"none for test: 'saga_subjects' tests on s9, s10, found s1; choose another"
        ):
            GrabMotion(root, split="saga_subjects", n_object_points=8).setup()

    def test_robot_hands_are_refused(self, root: Path) -> None:
        with pytest.raises(DataError, match=r"found 'shadow'; set hand='mano', or hand='mano_skeleton'.* not part of"):
            clips(root, hand="shadow")

    def test_without_the_model_the_alternative_is_named(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DEXZOO_MANO", raising=False)
        with pytest.raises(ManoModelNotFound, match="the hand 'mano_skeleton' has MANO's joints"):
            clips(root)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"split": "gaol"}, UnknownName, "^split: .* did you mean 'goal'"),
            ({"frames": "reaches"}, UnknownName, "^frames: .* did you mean 'reach'"),
            ({"frames": "goal_grasp"}, DataError, "found 'goal_grasp', which picks single grasps: see .*read_grasps"),
            ({"frames": "grabnet"}, DataError, "found 'grabnet', which picks single grasps: see .*read_grabnet"),
            ({"goal": "lift"}, UnknownName, "^goal: .* did you mean 'lift_off'"),
            ({"side": "rigth"}, UnknownName, "^side: .* did you mean 'right'"),
            ({"object_points": "meshes"}, UnknownName, "^object_points: .* did you mean 'mesh'"),
            ({"on_bad": "skp"}, UnknownName, "^on_bad: .* did you mean 'skip'"),
        ],
    )
    def test_unknown_names(self, options: dict, error: type, message: str) -> None:
        with pytest.raises(error, match=message):
            GrabMotion("x", **options)

    def test_the_root_may_be_the_folder_grab_or_a_link(self, root: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(root)
        for given in (root, root / "grab", link, str(root)):
            tree = find_tree(given)
            assert [path.name for path in tree.sequences] == ["mug_lift.npz"]
            assert tree.inside(OBJECT, tree.sequences[0], "x").is_file()

    def test_order_and_foreign_files(self, root: Path) -> None:
        for name in ("s10/mug_lift", "s2/mug_pass_10", "s2/mug_pass_2", "s11/mug_lift", "s2/._mug_lift"):
            save(root / f"grab/{name}.npz", {})
        names = [f"{path.parent.name}/{path.stem}" for path in find_tree(root).sequences]
        assert names == ["s1/mug_lift", "s2/mug_pass_2", "s2/mug_pass_10", "s10/mug_lift"]

    @pytest.mark.parametrize("case", ["unset", "absent", "file", "empty", "other"])
    def test_a_missing_data_set_says_where_to_get_it(self, tmp_path: Path, case: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "empty").mkdir()
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "s1.zip").touch()
        found = {
            "unset": "`root` is not set",
            "absent": "no such folder",
            "file": "not a folder",
            "empty": r"found none; it is empty",
            "other": r"searched for grab/s\*/\*.npz and found none; it holds s1.zip",
        }
        with pytest.raises(DatasetNotFound, match=found[case]) as error:
            find_tree(None if case == "unset" else tmp_path / case)
        for part in (
            "https://grab.is.tue.mpg.de",
            "non-commercial",
            "root=/path/to/GRAB",
            "contact_meshes/<object>.ply",
        ):
            assert part in str(error.value)
