"""What is done to files: damage to their bytes, and to the Python values that they hold."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

RNG = np.random.Generator


@dataclass
class Seed:
    """A valid input.

    Attributes:
        file: the one that is damaged; a function picks it where there are several.
        read: reads all, and returns what is in it as tensors.
        rewrite: writes the content of a file, changed as a Python value; None for text.
    """

    file: Callable[[RNG], Path]
    read: Callable[[], list[torch.Tensor]]
    rewrite: Callable[[RNG, Path], None] | None = None


# --------------------------------------------------------------------------------------------------- damage to bytes


def flip(rng: RNG, data: bytearray) -> None:
    """Turns up to 8 bits."""
    for place in rng.integers(len(data), size=int(rng.integers(1, 9))):
        data[place] ^= 1 << int(rng.integers(8))


def truncate(rng: RNG, data: bytearray) -> None:
    del data[int(len(data) * rng.choice([0, 0.01, rng.random(), 0.999])) :]


def overwrite(rng: RNG, data: bytearray) -> None:
    """A block of zeros, ones or noise, as a bad disk leaves it; sizes in headers become huge."""
    start, width = int(rng.integers(len(data))), int(rng.choice([4, 8, 64]))
    block = [bytes(width), b"\xff" * width, rng.bytes(width)][int(rng.integers(3))]
    data[start : start + width] = block[: len(data) - start]


def cut(rng: RNG, data: bytearray) -> None:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 200))]


def edge(rng: RNG, data: bytearray) -> None:
    """Turns bits of the first and last 300 bytes: headers of arrays and tables of zips."""
    for _ in range(3):
        place = int(rng.integers(min(300, len(data))))
        data[place if rng.random() < 0.5 else -1 - place] = int(rng.integers(256))


BYTES = (flip, truncate, overwrite, cut, edge)


def damage_bytes(rng: RNG, path: Path) -> None:
    """Damages a file; in a zip half of the time a member, whose checksum is then right."""
    how = BYTES[int(rng.integers(len(BYTES)))]
    if zipfile.is_zipfile(path) and rng.random() < 0.6:
        with zipfile.ZipFile(path) as archive:
            members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
        how(rng, members[str(rng.choice([name for name in members if members[name]]))])
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, bytes(data))
        return
    data = bytearray(path.read_bytes())
    how(rng, data)
    path.write_bytes(data)


# ------------------------------------------------------------------------------------------- damage to Python values


class Gadget:
    """Runs something when it is unpickled by `pickle.load`."""

    def __init__(self, rng: RNG, trace: Path) -> None:
        name = str(trace)
        calls = [
            (os.system, (f"touch {name}",)),
            (eval, (f"open({name!r}, 'w')",)),
            (exec, (f"open({name!r}, 'w')",)),
            (open, (name, "w")),
            (os.makedirs, (name,)),
            (np.ndarray.tofile, (np.zeros(3), name)),
            (np.save, (name, np.zeros(3))),
            (__import__, ("subprocess",)),
        ]
        self.call = calls[int(rng.integers(len(calls)))]

    def __reduce__(self) -> Any:
        return self.call


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def strange(rng: RNG, value: Any, trace: Path) -> Any:
    """Something else in place of a value."""
    array = np.asarray(value if isinstance(value, np.ndarray | np.generic | int | float) else 0.0)
    numbers = np.zeros(array.shape) if array.dtype.kind not in "fiub" else np.array(array, dtype=np.float64)
    spoilt = numbers.copy()
    if spoilt.size:
        spoilt.flat[int(rng.integers(spoilt.size))] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
    others = [
        lambda: Gadget(rng, trace),
        lambda: None,
        lambda: "text",
        lambda: b"bytes",
        lambda: [],
        lambda: {},
        lambda: nested(400),
        lambda: 10**400,
        lambda: float("nan"),
        lambda: spoilt,
        lambda: spoilt,
        lambda: numbers[None],
        lambda: numbers[:0] if numbers.ndim else np.zeros(0),
        lambda: numbers.T,
        lambda: numbers[:-1] if numbers.ndim else numbers,
        lambda: numbers.astype(complex),
        lambda: array.astype(str),
        lambda: array.astype(object),
        lambda: numbers.astype(bool),
        lambda: -numbers,
        lambda: np.full(array.shape, np.nan),
        lambda: np.zeros(3, dtype=[("a", "f8")]),
        lambda: np.array(["2020-01-01"], "M8[D]"),
    ]
    return others[int(rng.integers(len(others)))]()


def damage_value(rng: RNG, value: Any, trace: Path) -> Any:
    """Changes one place within dicts and object arrays: another value, another key, or none."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size:
        place = int(rng.integers(value.size))
        value.flat[place] = None if rng.random() < 0.05 else damage_value(rng, value.flat[place], trace)
        return value
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[int(rng.integers(len(value)))]
        how = rng.random()
        if how < 0.1:
            del value[key]
        elif how < 0.2:
            value[rng.choice([f"{key}_", "\ud800", ""])] = value.pop(key)
        else:
            value[key] = damage_value(rng, value[key], trace)
        return value
    return strange(rng, value, trace)


def boxed(value: Any) -> np.ndarray:
    box = np.empty((), object)
    box[()] = value
    return box


def rewrite_npz(trace: Path) -> Callable[[RNG, Path], None]:
    """Changes one array of an npz."""

    def rewrite(rng: RNG, path: Path) -> None:
        with np.load(path, allow_pickle=True) as file:
            arrays = {key: file[key] for key in file.files}
        changed = damage_value(
            rng, {k: a.item() if a.dtype == object and not a.ndim else a for k, a in arrays.items()}, trace
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in (changed if isinstance(changed, dict) else {"x": changed}).items():
                data = io.BytesIO()
                array = value if isinstance(value, np.ndarray) and value.dtype != object else boxed(value)
                np.lib.format.write_array(data, array)
                archive.writestr(f"{key}.npy".encode("ascii", "replace").decode(), data.getvalue())

    return rewrite


def rewrite_npy(trace: Path) -> Callable[[RNG, Path], None]:
    def rewrite(rng: RNG, path: Path) -> None:
        array = np.load(path, allow_pickle=True)
        changed = damage_value(rng, array if array.ndim else array.item(), trace)
        np.save(path, changed if isinstance(changed, np.ndarray) else boxed(changed), allow_pickle=True)

    return rewrite


def rewrite_pickle(trace: Path) -> Callable[[RNG, Path], None]:
    def rewrite(rng: RNG, path: Path) -> None:
        changed = damage_value(rng, pickle.loads(path.read_bytes()), trace)
        path.write_bytes(pickle.dumps(changed, protocol=int(rng.integers(6))))

    return rewrite


def huge(rng: RNG, path: Path) -> None:
    """An array, or a pickle, that claims to be far larger than the file."""
    size = int(rng.choice([1 << 31, 1 << 36, 10**12, (1 << 63) - 1]))
    header = f"{{'descr': '{rng.choice(['<f8', '|O', '<U9'])}', 'fortran_order': False, 'shape': ({size},)}}\n".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
    claims = [
        b"\x8e" + size.to_bytes(8, "little"),
        b"\x8d" + size.to_bytes(8, "little"),
        b"r\xff\xff\xff\x7f",
        b"p%d\n" % size,
    ]
    program = b"\x80\x04N" + claims[int(rng.integers(4))] + b"."
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        data = array if rng.random() < 0.5 else array.replace(b"<f8", b"|O ") + program
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, data)
    elif path.suffix == ".pkl":
        path.write_bytes(program)
    else:
        path.write_bytes(array)


def damage_text(rng: RNG, path: Path) -> None:
    """A word of a text file becomes something else, or a row does."""
    lines = path.read_text().splitlines()
    row = int(rng.integers(len(lines)))
    words = lines[row].split(" ")
    others = ["nan", "inf", "-inf", "1e999", "", "x", "1" * 400, "-1", "0", "\0", "1e300", "9" * 19, "0x10", "1_0"]
    words[int(rng.integers(len(words)))] = str(rng.choice(others))
    lines[row] = " ".join(words)
    if rng.random() < 0.2:
        lines = lines[:row] if rng.random() < 0.5 else lines * 3
    path.write_text("\n".join(lines))


def damage(rng: RNG, seed: Seed) -> tuple[Path, str]:
    """Damages one file of the input; returns it and how."""
    path, how = seed.file(rng), rng.random()
    if seed.rewrite is None and path.suffix in (".txt", ".json") and how < 0.5:
        damage_text(rng, path)
        return path, "text"
    if seed.rewrite is not None and how < 0.5:
        seed.rewrite(rng, path)
        return path, "value"
    if seed.rewrite is not None and how < 0.6:
        huge(rng, path)
        return path, "huge"
    damage_bytes(rng, path)
    return path, "bytes"
