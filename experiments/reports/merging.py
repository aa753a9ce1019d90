"""Rows of several runs as one set: no result twice, one split of one data set, one hand."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..commandline.errors import RunError
from .results import KEYS, Row, method_label, read_results

RTOL, ATOL = 1e-4, 1e-4
"""Largest difference of a baseline's values in two runs: other devices and batches round differently."""

_NOT_COMPARED = (*KEYS, "mesh")  # which run, sample and file; all other columns are results


def read_runs(paths: Iterable[str | Path]) -> list[tuple[Path, list[Row]]]:
    """Folder and rows of each run. A folder with folds counts as their merged results, a sweep as all of its runs.
    Raises RunError for a folder without results.
    """
    parts: list[tuple[Path, list[Row]]] = []
    for path in map(Path, paths):
        own = path / "results.parquet"
        files = [own] if own.exists() else _outermost(path.rglob("results.parquet"))
        if not files:
            expected = "expected a run or a sweep with a results.parquet"
            raise RunError(f"{path}: {expected}, found none; is the run finished?")
        parts += [(file.parent, read_results(file)) for file in files]
    return parts


def merge_parts(parts: Iterable[tuple[Path, Sequence[Row]]], names: Sequence[str]) -> list[Row]:
    """The rows of several runs. A run that is named twice counts once, and so does a baseline that several runs have.

    `names` are columns that, with the method, tell the rows of all runs apart; `seed` and `fold` are among them. Raises
    RunError that names two runs with a result of one name, values of a baseline that differ, or another split, data set
    or hand; or a run without the columns that say so.
    """
    known: dict[Path, Sequence[Row]] = {}
    for folder, rows in parts:
        known.setdefault(folder.resolve(), _checked(folder, rows))
    _check_common(known)
    found: dict[tuple[Any, ...], tuple[Row, Path]] = {}
    for folder, rows in known.items():
        for row in rows:
            name = (method_label(row), *(row[key] for key in names))
            first, where = found.setdefault(name, (row, folder))
            if first is not row:
                _check_twins((first, where), (row, folder), names)
    return [row for row, _ in found.values()]


def _checked(folder: Path, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows, where they have what a merge needs."""
    if lacking := lacks(rows, KEYS):
        advice = f"train=false ckpt={folder} tests its weights again"
        raise RunError(f"{folder}: expected the results of a run of this version, found {lacking}; {advice}")
    return rows


def lacks(rows: Sequence[Row], keys: Iterable[str]) -> str | None:
    """The first key that rows do not have, in words; None where they have all."""
    missing = next((key for key in keys if not rows or key not in rows[0]), None)
    return None if missing is None else f"no column {missing!r}" if rows else "no rows"


def _check_common(parts: Mapping[Path, Sequence[Row]]) -> None:
    """One data set, one hand, one split for each fold, and no run with folds beside one without."""
    said: dict[str, tuple[Any, Path]] = {}
    for folder, rows in parts.items():
        for row in rows:
            fold = row["fold"]
            split = f"fold {fold}, split_hash" if fold is not None else "split_hash"
            facts = {"data": row["data"], "hand": row["hand"], "folds": fold is not None, split: row["split_hash"]}
            for key, value in facts.items():
                first, where = said.setdefault(key, (value, folder))
                if first != value:
                    found = f"found {first!r} in {where} and {value!r} in {folder}"
                    raise RunError(f"{key}: expected runs of the same data, hand and split, {found}")


def _check_twins(first: tuple[Row, Path], second: tuple[Row, Path], names: Sequence[str]) -> None:
    """Two rows of one name: a baseline or ground truth, with the same values in both runs, or an error."""
    (row, where), (twin, there) = first, second
    what = ", ".join([f"method {method_label(row)}", *(f"{k} {row[k]}" for k in names if row[k] is not None)])
    if row["variant"] is not None and twin["variant"] is not None:
        advice = "leave one of the runs out, or name what tells them apart with variant=NAME"
        raise RunError(f"{where} and {there}: expected each result in one run, found two of {what}; {advice}")
    for key in [key for key in row if key in twin and key not in _NOT_COMPARED]:
        if not _agree(row[key], twin[key]):
            found = f"found {key} {row[key]} and {twin[key]} ({what}); were the runs made with different settings?"
            raise RunError(f"{where} and {there}: expected the same values in both, {found}")


def _agree(one: Any, other: Any) -> bool:
    """Whether two values are the same to rounding; None is the NaN of a column that a run lacks."""
    try:
        a, b = (np.asarray(np.nan if x is None else x, float) for x in (one, other))
    except ValueError:
        return one == other
    return a.shape == b.shape and np.allclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True)


def _outermost(files: Iterable[Path]) -> list[Path]:
    kept: list[Path] = []
    for file in sorted(files, key=lambda file: len(file.parts)):
        if not any(file.is_relative_to(other.parent) for other in kept):
            kept.append(file)
    return sorted(kept)
