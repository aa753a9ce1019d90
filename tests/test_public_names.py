"""Names that the documentation and the configurations mention are importable, and each `__init__` lists its own."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("geometry", "files", "hands", "grasps", "losses", "synthesis", "datamodules", "metrics", "models")
PACKAGES = sorted(
    ".".join(("dexzoo", *path.parent.relative_to(ROOT).parts))
    for room in ROOMS
    for path in (ROOT / room).rglob("__init__.py")
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "experiments/conf").rglob("*.yaml"))
MADE_BY_PAGES = {"dexzoo.models.motion.pace", "dexzoo.datamodules.my_reaches"}
"""Modules that a reader of docs/add_a_*.md writes."""


def mentioned(text: str) -> Iterator[tuple[str, str]]:
    """(module, name) of `from dexzoo.x import A, B`, `dexzoo.load_run`, `dexzoo.models.MotionNet` and the like."""
    for found in re.finditer(r"from (dexzoo[\w.]*) import ([\w, ]+)", text):
        yield from ((found[1], name.strip()) for name in found[2].split(","))
    for found in re.finditer(r"\b(dexzoo(?:\.[a-z_]\w*)*)\.([A-Za-z_]\w*)\b(?!\.\w)", text):
        yield found[1], found[2]


@pytest.mark.parametrize("file", [*PAGES, *CONFIGS], ids=lambda path: str(path.relative_to(ROOT)))
def test_mentioned_names_are_importable(file: Path) -> None:
    text = file.read_text().replace("dexzoo.run_log", "")  # a logger
    for module, name in mentioned(text):
        if module not in MADE_BY_PAGES and f"{module}.{name}" not in MADE_BY_PAGES:
            assert exists(module, name), f"{file.name}: {module} has no {name}"


def exists(module: str, name: str) -> bool:
    """Whether a module has an attribute or a submodule of this name."""
    try:
        found = import_module(module)
    except ModuleNotFoundError:
        return False
    if hasattr(found, name):
        return True
    try:
        import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_mentioned_names_are_found() -> None:
    """The oracle of the pattern: a page with every spelling."""
    text = "from dexzoo.hands import Hand, load_hand\n`dexzoo.metrics.PenetrationDepth`; _target_: dexzoo.models.Task\n"
    assert set(mentioned(text)) == {
        ("dexzoo.hands", "Hand"),
        ("dexzoo.hands", "load_hand"),
        ("dexzoo", "hands"),
        ("dexzoo.metrics", "PenetrationDepth"),
        ("dexzoo.models", "Task"),
    }
    assert not exists("dexzoo.models", "NoSuchModel")
    assert not exists("dexzoo.no_such_room", "Task")


def test_metrics_exports_every_metric() -> None:
    metrics = import_module("dexzoo.metrics")
    for module in ("grasp", "motion"):
        file = (ROOT / f"metrics/{module}.py").read_text()
        assert set(re.findall(r"^class ([A-Z]\w+)", file, re.M)) <= set(metrics.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_is_a_table_of_contents(package: str) -> None:
    """A docstring, one line for each public name, classes and functions with docstrings, and no definitions."""
    module = import_module(package)
    file = Path(str(module.__file__))
    assert module.__doc__, f"{file}: expected a docstring"
    names = list(getattr(module, "__all__", ()))
    lines = re.findall(r'^    "(\w+)",$', file.read_text(), re.M)
    assert [name for name in lines if name in names] == names, f"{file}: expected one line for each name of __all__"
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert (value.__doc__ or "").strip(), f"{package}.{name} has no docstring"
    assert not re.search(r"^(def|class) ", file.read_text(), re.M), f"{file}: expected no definitions"


@pytest.mark.parametrize("package", PACKAGES)
def test_names_imported_on_first_use_are_those_that_editors_see(package: str) -> None:
    module = import_module(package)
    tree = ast.parse(Path(str(module.__file__)).read_text())
    block = next((node for node in tree.body if isinstance(node, ast.If)), None)
    assert (block is None) == ("__getattr__" not in vars(module))
    for node in block.body if block else ():
        assert isinstance(node, ast.ImportFrom)
        home = import_module(f".{node.module}", package)
        for alias in node.names:
            assert alias.name in module.__all__
            assert getattr(module, alias.name) is getattr(home, alias.name)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'dexzoo\.geometry' has no attribute 'load_meshes'"):
        import_module("dexzoo.geometry").load_meshes  # noqa: B018


def test_geometry_and_files_do_not_import_torch_before_a_name_is_used() -> None:
    code = "import sys, dexzoo.geometry, dexzoo.files, dexzoo.synthesis; assert not {'torch', 'scipy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
