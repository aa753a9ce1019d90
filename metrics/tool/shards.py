"""Results on disk: one parquet file per chunk, written atomically, and the table made of them."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...hands.plausible import Doubts
from .plan import Chunk, EvaluationError

_META = b"dexzoo"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name and renames it, so that a killed run leaves no partial file; EvaluationError
    where the folder is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        problem = f"cannot write to this folder ({error.strerror}); choose another --out"
        raise EvaluationError(f"{path.parent}: {problem}") from error
    try:
        write(Path(name))
        os.chmod(name, 0o644)  # mkstemp creates files that only the owner may read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_shard(
    chunk: Chunk, columns: Mapping[str, NDArray[np.float64]], repairs: Sequence[str], doubts: Doubts
) -> None:
    """Writes a chunk's result: object, row and scale of each grasp, reasons why it is implausible, then the columns."""
    table = grasp_table(chunk, columns, doubts)
    meta = json.dumps({"key": chunk.key, "repairs": list(repairs)})
    write_whole(chunk.shard, lambda path: pq.write_table(table.replace_schema_metadata({_META: meta}), path))


def grasp_table(chunk: Chunk, columns: Mapping[str, NDArray[np.float64]], doubts: Doubts | None = None) -> pa.Table:
    """One row per grasp of a chunk; no doubts for an object that was not measured."""
    names, nothing = pa.array([chunk.object] * len(chunk), pa.string()), np.full(len(chunk), np.nan)
    doubts = Doubts(nothing, nothing, ("",) * len(chunk)) if doubts is None else doubts
    judged = {"hand_distance_m": doubts.distance, "beyond_limits_rad": doubts.excess}
    judged |= {"implausible": pa.array(doubts.reasons, pa.string())}
    return pa.table({"object": names, "row": chunk.rows, "scale": chunk.scale, **judged, **columns})


def doubts_of(table: pa.Table) -> Doubts:
    """Reasons why grasps of a table are implausible."""
    distance, excess = (table[name].to_numpy() for name in ("hand_distance_m", "beyond_limits_rad"))
    return Doubts(distance, excess, tuple(table["implausible"].to_pylist()))


def is_finished(chunk: Chunk) -> bool:
    """Whether the chunk's shard exists and is complete; EvaluationError where it is of other grasps or another mesh."""
    meta, folder = _read_meta(chunk.shard), chunk.shard.parent
    if meta and meta["key"] != chunk.key:
        found = f"holds results of other grasps, or of another mesh, of object {chunk.object!r}"
        raise EvaluationError(f"{folder.parent}: {found}; choose another --out, or delete {folder} to measure again")
    return bool(meta)


def repairs_of(chunk: Chunk) -> tuple[str, ...]:
    """Repairs of the object's mesh, as recorded in the finished chunk's shard."""
    return tuple(_read_meta(chunk.shard).get("repairs", ()))


def read_shard(chunk: Chunk) -> pa.Table:
    """The table of a finished chunk."""
    return pq.read_table(chunk.shard).replace_schema_metadata(None)


def check_settings(out: Path, facts: Mapping[str, object]) -> None:
    """Writes settings.json; EvaluationError, which lists the differences, where `out` holds results of others."""
    file, shards = out / "settings.json", out / "shards"
    if file.exists() and any(shards.glob("*.parquet")):
        try:
            there = json.loads(file.read_text())
        except ValueError:
            there = {}
        pairs = {key: (there.get(key), now) for key, now in facts.items()}
        changed = [f"{key} ({old!r} there, {now!r} now)" for key, (old, now) in pairs.items() if old != now]
        if changed:
            found = f"holds results of other settings: {'; '.join(changed)}"
            raise EvaluationError(f"{out}: {found}; choose another --out, or delete {shards} to measure again")
    write_whole(file, lambda path: path.write_text(json.dumps(facts, indent=1) + "\n"))


def _read_meta(path: Path) -> dict:
    """Metadata of a shard's table; empty if the shard does not exist or is damaged."""
    try:
        return json.loads((pq.read_schema(path).metadata or {}).get(_META, b"{}"))
    except (OSError, pa.ArrowInvalid):
        return {}
