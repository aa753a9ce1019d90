"""Where data sets lie: what is given, the variable, or demo data in their layout; resolved in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dexzoo.datamodules import UnknownName, roots
from dexzoo.datamodules.base import DEMO_MARK, mark_of
from dexzoo.datamodules.demo import dexgraspnet_tree, grab_tree, realdex_tree

DATAMODULES = Path(roots.__file__).parent
TREES = {"dexgraspnet": dexgraspnet_tree, "grab": grab_tree, "realdex": realdex_tree}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRAB", "REALDEX", "DEXGRASPNET", "UNIDEXGRASP", "MULTIDEX", "MANO"):
        monkeypatch.delenv(f"DEXZOO_{name}", raising=False)


@pytest.mark.parametrize("dataset", ["dexgraspnet", "grab", "realdex", "unidexgrasp", "multidex"])
def test_the_variable_comes_first_and_demo_data_where_there_are_any(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert roots.default_root(dataset) == ("demo" if dataset in TREES else None)
    monkeypatch.setenv(f"DEXZOO_{dataset.upper()}", "/somewhere")
    assert roots.default_root(dataset) == "/somewhere"


def test_the_hand_of_people_is_mano_where_its_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert roots.default_hand() == "mano_skeleton"
    monkeypatch.setenv("DEXZOO_MANO", "nowhere.pkl")  # wrong, which loading it says
    assert roots.default_hand() == "mano"


@pytest.mark.parametrize("dataset", TREES)
def test_demo_is_the_tree_in_the_layout_of_the_data_set(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TREES[dataset], "demo_tree", lambda: tmp_path / dataset)
    assert roots.find_root(dataset, "demo") == roots.demo_root(dataset) == tmp_path / dataset
    assert roots.find_root(dataset, "demo/") == "demo/"  # a folder of that name
    assert roots.find_root(dataset, None) is None


def test_there_are_no_demo_data_in_other_layouts() -> None:
    with pytest.raises(UnknownName, match="expected one of dexgraspnet, grab, realdex, found 'multidex'"):
        roots.find_root("multidex", "demo")


def test_a_tree_is_known_by_its_mark_from_inside_and_over_links(tmp_path: Path) -> None:
    (tmp_path / "tree/grab/s1").mkdir(parents=True)
    mark = tmp_path / "tree" / DEMO_MARK
    mark.write_text("demo data\n")
    (tmp_path / "link").symlink_to(tmp_path / "tree/grab")
    for root in ("tree", "tree/grab/s1", "tree/mug.zip", "link"):
        assert mark_of(tmp_path / root) == mark
    assert mark_of(tmp_path) is None
    assert mark_of(None) is None


def test_readers_do_not_know_the_word() -> None:
    """Nothing but `roots` compares with "demo", or imports the demo data lazily."""
    readers = [p for name in ("realdex", "grab", "dexgraspnet", "doctor") for p in (DATAMODULES / name).rglob("*.py")]
    readers += [p for p in DATAMODULES.glob("*.py") if p.name not in ("roots.py", "__init__.py")]
    assert len(readers) > 40
    for path in readers:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                assert "demo" not in [getattr(part, "value", None) for part in (node.left, *node.comparators)], path
            if isinstance(node, ast.FunctionDef):
                assert not any(isinstance(x, ast.ImportFrom) and "demo" in (x.module or "") for x in node.body), path
