"""Tables of numbers in text files, separated by blanks or commas."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile
from .archive import Folder

LARGEST = 1000.0  # Metres or radians; larger values are damaged, and may not fit float32
LATEST = 1 << 62  # Nanoseconds, the year 2116, so that the difference of two stamps still fits


def read_table(folder: Folder, name: str, columns: int, stamped: bool) -> tuple[NDArray[np.int64], NDArray]:
    """Reads rows of `columns` numbers: stamps (N,), int64, zeros without stamps; and numbers (N, columns), finite.

    With `stamped`, each row begins with a time stamp in nanoseconds, which float64 would round to 256 ns. Raises
    BadFile if the file is absent or empty, or has another number of columns, or a number that is not finite or beyond
    LARGEST.
    """
    expected = f"rows of {'a stamp in ns and ' * stamped}{columns} numbers"
    text = folder.read(name).replace(b",", b" ").decode("ascii", "replace")
    try:
        rows = _parse(text, columns, stamped)
        _check_stamps(rows["stamp"])
    except (ValueError, OverflowError) as error:
        raise BadFile(folder.path / name, expected, str(error)) from error
    if not len(rows):
        raise BadFile(folder.path / name, expected, "an empty file")
    values = rows["values"]
    bad = np.argwhere(~(np.abs(values) < LARGEST))
    if len(bad):
        row, column = bad[0]
        expected = "finite numbers" if not np.isfinite(values[row, column]) else f"numbers below {LARGEST:g}"
        raise BadFile(folder.path / name, expected, f"{values[row, column]}", key=f"row {row}")
    return rows["stamp"], values


def read_stamps(folder: Folder, name: str) -> NDArray[np.int64]:
    """(T,) time stamps in nanoseconds, the first number of each row; raises BadFile if one is missing."""
    rows = read_words(folder, name)
    try:
        stamps = np.array([_nanoseconds(words[0]) for words in rows], dtype=np.int64)
        _check_stamps(stamps)
    except (ValueError, OverflowError) as error:
        raise BadFile(folder.path / name, "a time stamp in ns in each row", str(error)) from error
    if not len(stamps):
        raise BadFile(folder.path / name, "a time stamp in ns in each row", "an empty file")
    return stamps


def read_words(folder: Folder, name: str) -> list[list[str]]:
    """The words of each row that has some; raises BadFile if the file cannot be read."""
    text = folder.read(name).decode("ascii", "replace").replace(",", " ")
    return [words for line in text.splitlines() if (words := line.split())]


def check_quaternions(path: Path, quaternions: NDArray) -> None:
    """Raises BadFile, naming the worst row, unless all of (N, 4) are of length 1 to 1e-2."""
    length = np.linalg.norm(quaternions, axis=1)
    worst = int(np.abs(length - 1).argmax())
    if abs(length[worst] - 1) > 1e-2:
        raise BadFile(path, "quaternions of length 1", f"{length[worst]:.3g}", key=f"row {worst}")


def _nanoseconds(word: str) -> int:
    return int(word) if word.isdigit() else round(float(word))


def _check_stamps(stamps: NDArray) -> None:
    bad = stamps[~((stamps >= 0) & (stamps < LATEST))]
    if len(bad):
        raise ValueError(f"the stamp {bad[0]}")


def _parse(text: str, columns: int, stamped: bool) -> NDArray:
    kind = np.dtype([("stamp", np.int64), ("values", np.float64, (columns,))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about an empty file, which the caller reports
        if not stamped:
            plain = np.loadtxt(io.StringIO(text), dtype=np.float64, ndmin=2)
            if plain.size and plain.shape[1] != columns:
                raise ValueError(f"{plain.shape[1]} in a row")
            rows = np.zeros(len(plain) if plain.size else 0, kind)
            rows["values"] = plain[: len(rows)]
            return rows
        try:
            return np.atleast_1d(np.loadtxt(io.StringIO(text), dtype=kind))
        except ValueError:
            fields = [("stamp", np.float64), ("values", np.float64, (columns,))]  # stamps with a decimal point
            rows = np.atleast_1d(np.loadtxt(io.StringIO(text), dtype=fields))
            _check_stamps(rows["stamp"])
            return rows.astype(kind)
