"""A copy of a user's hand that loads anywhere: the YAML, the model that it names, and the files that this one names."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from .spec import SPECS, HandSpec, read_yaml

_NAMED = re.compile(r"""\b(?:file|filename)\s*=\s*["']([^"']+)["']""")
_FOLDERS = re.compile(r"""\b(?:meshdir|assetdir|texturedir)\s*=\s*["']([^"']+)["']""")
_PACKAGE = re.compile(r"package://([^/\"']+)/")
_MODELS = {".xml", ".urdf"}
_ABOVE = 5
"""Folders above a model in which a path of a package may begin."""


def copy_hand(spec: HandSpec, folder: Path) -> Path | None:
    """Copies the files of a hand, at the same places to one another, into a folder.

    Args:
        spec: of the hand.
        folder: where to; it is created.

    Returns:
        The YAML in there; None for a shipped hand, which needs no copy. Where the model is in an installed package, is
        fetched, or is MANO's licensed one, only the YAML is copied.
    """
    if spec.file.parent == SPECS:
        return None
    content = read_yaml(spec.file)
    model = (spec.file.parent / content["source"]).resolve() if isinstance(content.get("source"), str) else None
    files = {spec.file, *(_named_by(model, set()) if model else ())}
    base = Path(os.path.commonpath([path.parent for path in files]))
    packages = {name for path in files if path.suffix.lower() in _MODELS for name in _PACKAGE.findall(path.read_text())}
    base = next((above for above in (base, *base.parents) if above.name in packages), base)
    for path in files:
        target = folder / base.name / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        if path == spec.file or path.suffix.lower() in _MODELS:
            target.write_text(_relative(path, files))
    return folder / base.name / spec.file.relative_to(base)


def _named_by(model: Path, seen: set[Path]) -> Iterator[Path]:
    """The model, and all files that it, and what it includes, names."""
    seen.add(model)
    yield model
    text = model.read_text()
    places = [model.parent, *(model.parent / name for name in _FOLDERS.findall(text)), *model.parents[1 : 1 + _ABOVE]]
    for name in _NAMED.findall(text):
        plain = re.sub(r"^(package|file|model)://", "", name)
        for path in ((place / part).resolve() for place in places for part in (plain, plain.partition("/")[2]) if part):
            if path.is_file() and path not in seen:
                yield from _named_by(path, seen) if path.suffix.lower() in _MODELS else [path]
                seen.add(path)


def _relative(path: Path, files: set[Path]) -> str:
    """The text of a YAML or model, with paths from the root of the disk replaced by those from its own folder."""
    text = path.read_text()
    for other in sorted(map(str, files), key=len, reverse=True):
        text = text.replace(other, os.path.relpath(other, path.parent))
    return text
