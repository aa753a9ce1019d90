"""Applications ask a task what it can do, never its class; nothing is handed over through an attribute of another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from dexzoo.models import Task

ROOT = Path(__file__).parents[2]
MODELS = sorted((ROOT / "experiments/conf/model").glob("*.yaml"))
SENDERS = [*sorted((ROOT / "experiments").rglob("*.py")), *sorted((ROOT / "models").rglob("*.py"))]
ERRORS = {"NoContactPredictor", "OtherTraining", "WrongData"}
"""Classes of models that are asked for: what went wrong is told by its class."""
RECEIVERS = {"network", "data", "datamodule", "model"}


def names_of_models(tree: ast.Module) -> set[str]:
    """What a file imports from models."""
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module)
    return {a.name for node in imports if "models" in str(node.module).split(".") for a in node.names}


def asked_classes(tree: ast.Module) -> Iterator[str]:
    """Second arguments of `isinstance` and `issubclass`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            yield from (name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name))


def set_from_outside(tree: ast.Module) -> Iterator[str]:
    """Assignments to an attribute of a network or data module that the assigning object is not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = ast.unparse(node.value).split(".")[-1]
            if owner in RECEIVERS:
                yield ast.unparse(node)


def test_no_application_asks_for_the_class_of_a_task_or_network() -> None:
    for path in (ROOT / "experiments").rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert names_of_models(tree) & {*asked_classes(tree)} <= ERRORS, path


def test_nothing_is_passed_by_setting_an_attribute_of_a_network_or_data_module() -> None:
    allowed = {
        "cfg.data.fold",
        "cfg.data.hand",
        "cfg.model.clips_per_batch",
        "cfg.data.batch_size",
    }  # of a config, before it is used
    found = {path: {*set_from_outside(ast.parse(path.read_text()))} - allowed for path in SENDERS}
    assert {str(path.relative_to(ROOT)): bad for path, bad in found.items() if bad} == {}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_says_what_its_kind_can_do(path: Path) -> None:
    cfg, text = OmegaConf.load(path), path.read_text()
    kind = next((k for k in ("grasp", "contact") if f"override /kind@_global_.kind: {k}" in text), "motion")
    task = get_class(cfg._target_)
    assert issubclass(task, Task)
    assert (task.supports_rollouts, task.supports_sampling) == (kind == "motion", kind == "grasp")
