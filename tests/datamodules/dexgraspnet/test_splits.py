"""Objects dealt by hash and by the lists that the field has, in every spelling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexzoo.datamodules import BadFile, DataError
from dexzoo.datamodules.dexgraspnet import DexGraspNet
from dexzoo.datamodules.dexgraspnet.splits import by_hash, by_lists

NAMES = [f"core-mug-{i}" for i in range(2000)]
PAIRS = ["sem/Car-1", "sem/Car-2", "core/mug-1", "core/mug-2"]


def test_shares_are_kept_and_parts_disjoint() -> None:
    parts = by_hash(NAMES, 0.1, 0.2)
    assert set().union(*parts.values()) == set(NAMES)
    assert sum(map(len, parts.values())) == len(NAMES)
    assert len(parts["test"]) / 2000 == pytest.approx(0.2, abs=0.04)  # 4 standard deviations
    assert len(parts["val"]) / 2000 == pytest.approx(0.1, abs=0.03)


def test_an_object_stays_in_its_part_when_others_come() -> None:
    some, all_ = by_hash(NAMES[:500], 0.1, 0.2), by_hash(NAMES, 0.1, 0.2)
    for part, names in some.items():
        assert names <= all_[part]
    assert by_hash(NAMES, 0.1, 0.2, seed=1)["test"] != all_["test"]


@pytest.mark.parametrize(("n", "sizes"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1))])
def test_few_objects_still_test(n: int, sizes: tuple[int, int, int]) -> None:
    parts = by_hash(NAMES[:n], 0.05, 0.2)
    assert tuple(len(parts[p]) for p in ("train", "val", "test")) == sizes


def test_shares_that_leave_nothing_to_train() -> None:
    with pytest.raises(DataError, match=r"leave some to train, found 0\.5, 0\.5"):
        by_hash(NAMES, 0.5, 0.5)


def test_text_lists(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("core-mug-0\ncore-mug-1.npy\n\ncore-mug-2\n")
    (tmp_path / "test.txt").write_text("core-mug-3\r\nnot-there\n")
    parts = by_lists(NAMES[:5], tmp_path, 0.0)
    assert parts == {"train": set(NAMES[:3]), "val": set(), "test": {NAMES[3]}}
    inner = by_lists(NAMES[:5], tmp_path, 0.3)
    assert (len(inner["train"]), len(inner["val"]), inner["test"]) == (2, 1, {NAMES[3]})


def test_json_of_another_repackaging(tmp_path: Path) -> None:
    file = tmp_path / "grasp.json"
    file.write_text(json.dumps({"_train_split": NAMES[:2], "_test_split": NAMES[2:3], "_all_split": NAMES}))
    assert by_lists(NAMES[:4], file, 0.0) == {"train": set(NAMES[:2]), "val": set(), "test": {NAMES[2]}}


def test_json_of_each_category_with_short_names(tmp_path: Path) -> None:
    (tmp_path / "car.json").write_text(json.dumps({"train": ["Car-1"], "test": ["sem-Car-2"]}))
    (tmp_path / "mug.json").write_text(json.dumps({"train": ["core/mug-1"], "test": ["mug-2"]}))
    parts = by_lists(PAIRS, tmp_path, 0.0)
    assert parts == {"train": {"sem/Car-1", "core/mug-1"}, "val": set(), "test": {"sem/Car-2", "core/mug-2"}}


def test_a_list_without_a_test_part_tests_on_what_validates(tmp_path: Path) -> None:
    file = tmp_path / "split_train_validate_objects.json"
    file.write_text(json.dumps({"train": NAMES[:3], "validate": NAMES[3:4]}))
    assert by_lists(NAMES[:4], file, 0.0)["test"] == {NAMES[3]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected a dict of lists, found list"),
        ('{"train": "a"}', "train: expected a list of names"),
        ('{"all": []}', "expected lists under train and test, found the keys all"),
        ('{"train": ["core-mug-1"], "test": ["core-mug-1"]}', r"in one part only, found \['core-mug-1'\] in train"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "split.json"
    file.write_text(text)
    with pytest.raises(BadFile, match=message):
        by_lists(NAMES, file, 0.0)


def test_the_module_takes_the_lists_that_lie_there(tree: Path) -> None:
    (tree / "train.txt").write_text("core-mug-1\n")
    (tree / "test.txt").write_text("ddg-gd_box_3\n")
    data = DexGraspNet(tree, object_points="none")
    data.setup()
    assert (data.train.object_names, data.test.object_names) == (("core-mug-1",), ("ddg-gd_box_3",))
    assert (len(data.train), len(data.val), len(data.test)) == (4, 0, 6)
    assert data.val_dataloader() == []
    other = DexGraspNet(tree, object_points="none", split="hash")
    other.setup()
    assert len(other.train) + len(other.val) + len(other.test) == 15
    assert other.split_hash != data.split_hash


def test_a_split_without_training_objects(tree: Path) -> None:
    (tree / "train.txt").write_text("")
    (tree / "test.txt").write_text("core-mug-1\n")
    with pytest.raises(DataError, match="found none for train"):
        DexGraspNet(tree, object_points="none").setup()


def test_asking_before_setup(tree: Path) -> None:
    with pytest.raises(DataError, match=r"call setup\(\) before"):
        _ = DexGraspNet(tree).train
