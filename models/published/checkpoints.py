"""Loads files of published networks, strictly, and reports their content."""

import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_CONTAINERS = ("model", "network", "state_dict", "model_dict")
_SPELLINGS: dict[str, Callable[[str], str]] = {
    "as they are": lambda key: key,
    "without 'backbone.' (an older layout)": lambda key: key.replace("backbone.", ""),
    "without the leading 'net.'": lambda key: key.removeprefix("net."),
    "without the leading 'module.'": lambda key: key.removeprefix("module."),
    "without the leading 'net.' and 'backbone.'": lambda key: key.removeprefix("net.").replace("backbone.", ""),
}
_SHOWN = 5


class CheckpointError(ValueError):
    """A file is not a checkpoint of the network into which it should be loaded."""


@dataclass(frozen=True)
class Report:
    """Report of what was loaded.

    Attributes:
        path: the file.
        epoch, iteration: from the file, None if not given.
        loaded: keys of the network whose tensors were loaded.
        numbers: count of numbers in these tensors.
        spelling: how the file's keys were read.
        ignored: keys that were skipped on request.
    """

    path: Path
    epoch: int | None
    iteration: int | None
    loaded: tuple[str, ...]
    numbers: int
    spelling: str
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        when = "" if self.iteration is None else f", iteration {self.iteration}"
        left = f"\n  left out: {_parts(self.ignored)}" if self.ignored else ""
        return (
            f"{self.path}{when}: {len(self.loaded)} tensors, {self.numbers} numbers, keys {self.spelling}\n"
            f"  loaded: {_parts(self.loaded)}{left}"
        )


def load_official(path: str | Path, network: nn.Module, ignore: Sequence[str] = (), name: str | None = None) -> Report:
    """Loads all weights of a network from a file, or none.

    The file contains a dict of tensors, or a dict with one under `model` (RealDex, UniDexGrasp), `network` (GraspTTA),
    `state_dict` or `model_dict` (SAGA). Keys may have an extra leading `net.` or `module.`, and contain `backbone.` as
    in older files.
    `path`: the file. Only tensors and plain values are read, so untrusted files cannot run code. `network`: the network
    to load into; unchanged if this raises. `ignore`: prefixes of keys in the file that are skipped. `name`: name of the
    network in messages; its class by default. Raises CheckpointError: the file cannot be read, has no tensors, or its
    tensors are not those of the network: the message names missing and unexpected tensors and those of the wrong shape.
    """
    path = Path(path)
    content, tensors = read_tensors(path)
    kept = {key: value for key, value in tensors.items() if not key.startswith(tuple(ignore))}
    expected = network.state_dict()
    spelling, found = respell(kept, expected)
    problems = differences(found, expected)
    if problems:
        raise CheckpointError(
            f"{path}: expected the {len(expected)} tensors of {name or type(network).__name__}, found {len(found)}, "
            f"keys read {spelling}; "
            + "; ".join(problems)
            + "; is it a file of this network, with the same number of outputs?"
        )
    network.load_state_dict(found)
    return Report(
        path=path,
        epoch=_count(content, "epoch"),
        iteration=_count(content, "iteration"),
        loaded=tuple(expected),
        numbers=sum(value.numel() for value in found.values()),
        spelling=spelling,
        ignored=tuple(sorted(tensors.keys() - kept.keys())),
    )


def read_tensors(path: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Content of a file, and its tensors by key. Raises CheckpointError: the file cannot be read, or has no tensors."""
    content = _read(path)
    return content, _tensors(path, content)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a file of weights, found no file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: expected a checkpoint of tensors and plain values, found something else, which could run code "
            f"and is not read; save its weights alone, torch.save(model.state_dict(), ...)"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: expected a file written by torch.save, found a damaged one ({error}); download it again"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a dict of tensors, found {type(content).__name__}")
    return content


def _tensors(path: Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    inner = next((content[key] for key in _CONTAINERS if isinstance(content.get(key), Mapping)), content)
    tensors = {key: value for key, value in inner.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) < len(inner):
        keys = ", ".join(sorted(str(key) for key in inner if key not in tensors)[:_SHOWN]) or "nothing"
        raise CheckpointError(
            f"{path}: expected a dict of tensors, alone or under one of {', '.join(_CONTAINERS)}, found {keys}"
        )
    return tensors


def respell(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The spelling of the keys that matches most of the network's; the simplest one of a tie."""
    read = {name: {spell(key): value for key, value in tensors.items()} for name, spell in _SPELLINGS.items()}
    best = max(read, key=lambda name: (len(read[name]) == len(tensors), len(read[name].keys() & expected.keys())))
    return best, read[best]


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Missing tensors, unexpected ones and those of the wrong shape, a phrase each; empty if all match."""
    missing = [key for key in expected if key not in found]
    surplus = [key for key in found if key not in expected]
    shapes = [
        f"{key} expected {tuple(expected[key].shape)}, found {tuple(found[key].shape)}"
        for key in expected.keys() & found.keys()
        if expected[key].shape != found[key].shape
    ]
    lists = (("missing", missing), ("unexpected", surplus), ("of another shape", sorted(shapes)))
    return [f"{len(names)} {what}: {_some(names)}" for what, names in lists if names]


def _parts(keys: Sequence[str]) -> str:
    """The parts of a network and their numbers of tensors: "obj_encoder (44), cvae (14)"."""
    counts = Counter(key.removeprefix("net.").split(".")[0] for key in keys)
    return ", ".join(f"{part} ({count})" for part, count in counts.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _count(content: Mapping[str, Any], key: str) -> int | None:
    value = content.get(key)
    return value if isinstance(value, int) else None
