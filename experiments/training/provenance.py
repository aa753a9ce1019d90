"""Origin of numbers: the code, the versions, the kind of machine, the command and the data of a run."""

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from dexzoo import __version__

from ...metrics.tool.table_file import command_line, source
from .folders import BEST

_PACKAGES = {"torch": "torch", "lightning": "lightning", "mujoco": "mujoco", "warp": "warp-lang", "numpy": "numpy"}
"""Name in the records to name of the package."""
_FILES = ("ckpt", "init_from", "contact_from", "official_weights", "object", "grasps", "mesh")


def provenance(arguments: Sequence[str], cfg: Mapping[str, Any], data: Any = None) -> dict[str, Any]:
    """Plain values that say how a run came about: `code` (`commit`, `dirty`), `versions`, `host`, `command`, `files`
    (SHA-256 by key) and `data` (`split_hash`, `content_hash`); nothing in them names a machine or a user.

    `arguments` are those of the command line, without the program; the data module is set up, None where there is none.
    """
    return {
        "code": source(),
        "versions": versions(),
        "host": host(),
        "command": command_line(["experiments/run.py", *arguments]),
        "files": files(cfg),
        "data": None if data is None else {"split_hash": data.split_hash, "content_hash": data.content_hash},
    }


def files(cfg: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the file that each key of `_FILES` names; of a run folder, that of its best checkpoint."""
    found = {}
    for key in filter(cfg.get, _FILES):
        path = Path(cfg.get(key, ""))
        path = path / BEST if path.is_dir() else path
        if path.is_file():
            found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def versions() -> dict[str, str | None]:
    """Of dexzoo, Python and the packages that numbers depend on; None where one is not installed."""
    found: dict[str, str | None] = {"dexzoo": __version__, "python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = None
    return found


def host() -> dict[str, Any]:
    """The kind of machine: `cpu`, `cores`, `gpus` and `system`."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = f"{platform.system()} {platform.release()}"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "gpus": gpus, "system": f"{system} {platform.machine()}"}


def cpu_name() -> str:
    """Model of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor())
