"""setup.cfg lists every package on disk, and the folders import one another only along the arrows of the design."""

import ast
import configparser
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import dexzoo

ROOT = Path(__file__).parents[1]
ARROWS = {
    "geometry": "",
    "files": "",
    "hands": "geometry files",
    "grasps": "geometry files hands",
    "simulation": "geometry files hands grasps",
    "losses": "geometry hands",
    "synthesis": "geometry files hands simulation losses",
    "datamodules": "geometry files hands grasps losses synthesis",
    "metrics": "geometry files hands grasps simulation",
    "models": "geometry files hands grasps losses datamodules metrics",
    "experiments": "geometry files hands grasps simulation losses synthesis datamodules metrics models",
}

ROOMS = {
    "models": {
        "blocks": "",
        "published": "blocks",
        "pace": "",
        "precision": "blocks",
        "checkpoint": "",
        "task": "checkpoint pace precision published",
        "selection": "",
        "motion": "blocks published task",
        "grasp": "blocks published selection precision task",
    },
    "experiments": {
        "conf": "",
        "commandline": "",
        "training": "commandline",
        "reports": "commandline training",
        "bench": "commandline training",
        "outcome": "commandline training reports",
        "plan": "commandline training reports",
        "pipeline": "commandline training reports",
        "run": "commandline training reports outcome",
        "cli": "commandline",
        "commands": "commandline reports bench plan",
    },
}
"""The same of the rooms inside a folder."""


class _Executed(ast.NodeTransformer):
    """Takes out what only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        return node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)


def imported(path: Path) -> list[str]:
    """Dotted names that a file imports, by `dexzoo.x`, `from dexzoo import x` or dots, in functions as well."""
    package = ("dexzoo", *path.relative_to(ROOT).parent.parts)
    names = []
    for node in ast.walk(_Executed().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names += [f"{module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("dexzoo.")]


def imported_folders(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path)} & set(ARROWS)


def test_every_package_is_listed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    found = {"dexzoo"}
    for folder in ARROWS:
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join(("dexzoo", *init.relative_to(ROOT).parent.parts)))
    assert set(config["options"]["packages"].split()) == found


@pytest.mark.parametrize("folder", ARROWS)
def test_imports_follow_the_arrows(folder: str) -> None:
    allowed = {folder, *ARROWS[folder].split()}
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert {str(path.relative_to(ROOT)): bad for path in files if (bad := imported_folders(path) - allowed)} == {}


def circles(files: dict[str, Path]) -> list[str]:
    """The modules, by dotted name, of one circle of imports; empty without one."""
    needs = {}
    for module, path in files.items():
        found = {name if name in files else name.rpartition(".")[0] for name in imported(path)}
        needs[module] = (found & {*files}) - {module}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_two_modules_import_one_another() -> None:
    """Nor do any more of them in a ring; an import inside a function hides one, and does not break it."""
    files = {}
    for path in (path for folder in ARROWS for path in (ROOT / folder).rglob("*.py")):
        name = ".".join(("dexzoo", *path.relative_to(ROOT).with_suffix("").parts))
        files[name.removesuffix(".__init__")] = path
    assert circles(files) == []


def test_a_circle_through_a_function_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "hands").mkdir()
    (tmp_path / "hands/a.py").write_text("def f():\n    from .b import g\n")
    (tmp_path / "hands/b.py").write_text("from dexzoo.hands import a\n")
    files = {f"dexzoo.hands.{name}": tmp_path / f"hands/{name}.py" for name in "ab"}
    assert {*circles(files)} == {*files}
    (tmp_path / "hands/b.py").write_text("if TYPE_CHECKING:\n    from . import a\n")
    assert circles(files) == []


@pytest.mark.parametrize(("folder", "room"), [(folder, room) for folder, rooms in ROOMS.items() for room in rooms])
def test_rooms_of_a_folder_import_along_theirs(folder: str, room: str) -> None:
    allowed, place, start = {room, *ROOMS[folder][room].split()}, ROOT / folder / room, f"dexzoo.{folder}."
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    names = {path: {n.split(".")[2] for n in imported(path) if n.startswith(start)} for path in files}
    assert {str(path.relative_to(ROOT)): bad for path, found in names.items() if (bad := found - allowed)} == {}


@pytest.mark.parametrize("folder", ROOMS)
def test_the_rooms_of_a_folder_are_all_there(folder: str) -> None:
    inside = (ROOT / folder).iterdir()
    found = {p.stem for p in inside if p.name[:2] != "__" and (p.suffix == ".py" or (p / "__init__.py").exists())}
    assert found == set(ROOMS[folder])


def test_dexzoo_itself_imports_no_folder_before_a_name_is_used() -> None:
    """What editors are told it exports is what it gives, and where that is."""
    assert (
        {*dexzoo.__all__}
        == {"__version__", *" ".join(dexzoo._HOMES.values()).split()}
        == {"__version__", *told_to_editors()}
    )
    for name, home in told_to_editors().items():
        assert getattr(dexzoo, name) is getattr(import_module(f"dexzoo.{home}"), name)
    with pytest.raises(AttributeError, match="module 'dexzoo' has no attribute 'load_hands'"):
        dexzoo.load_hands  # noqa: B018
    code = "import sys, dexzoo; assert not {'torch', 'dexzoo.hands'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def told_to_editors() -> dict[str, str]:
    """Names that dexzoo/__init__.py imports while types are checked, and their folders."""
    tree = ast.parse((ROOT / "dexzoo/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: str(node.module) for node in block.body for alias in node.names}  # type: ignore[attr-defined]
