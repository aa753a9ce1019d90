"""The whole run: grasps and meshes in, shards, tables and pictures out."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console

from ...geometry.progress import working
from ...grasps.files import GraspSet, load_grasps
from ...grasps.grasp_set import AXES, axis_vector
from ...hands.hand import Hand
from ...hands.load import load_hand
from ...hands.plausible import Doubts
from ..columns import columns
from ..grasp import GraspMetric
from ..tables import console as new_console
from ..tables import write_json
from .meshes import find_meshes
from .pictures import Scene, caption, draw_histograms, draw_worst, worst_rows
from .plan import Chunk, EvaluationError, Settings, limited, plan_chunks
from .shards import check_settings, doubts_of, grasp_table, is_finished, read_shard, repairs_of, write_whole
from .summary import Columns, Stats, object_table, overall_table, summarise
from .table_file import write_table
from .work import Measured, run_here, run_processes, run_ray

_DEFAULT = Settings()


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation, and the files that were written."""

    table: pa.Table
    """One row per grasp: object, row, scale, reasons why it is implausible, and the columns of the metrics."""
    overall: dict[str, Stats]
    """{column: mean, sd, median, n, n_nan} over all grasps."""
    objects: dict[str, dict[str, Stats]]
    failures: dict[str, str]
    """Objects that could not be measured, with the reason; their grasps have NaN in all columns."""
    doubts: Doubts
    files: tuple[Path, ...]


def evaluate(
    grasps: str | Path,
    mesh: str | Path,
    out: str | Path,
    settings: Settings = _DEFAULT,
    format: str | None = None,
    workers: int | None = 1,
    runner: Literal["local", "ray"] = "local",
    worst: str | None = None,
    pictures: bool = True,
    console: Console | None = None,
) -> Evaluation:
    """Measures all grasps of a file or folder; an interrupted run continues with the next chunk.

    Args:
        grasps: as for `grasps.load_grasps`.
        mesh: a mesh file for one object, or a folder, as for `meshes.find_mesh`.
        out: folder for shards/, settings.json, grasps.parquet, summary.json, histograms.png and worst.png.
        settings: everything that the numbers depend on.
        format: of the grasps; guessed by default.
        workers: processes; 1 measures in this one. With Ray, CPUs of a cluster that it starts; None for all.
        runner: "ray" hands the chunks to a Ray cluster, whose nodes must share the file system.
        worst: column whose worst grasps are drawn; by default the penetration if it is measured, otherwise the first
            column.
        pictures: whether to draw histograms.png and worst.png.
        console: where tables are printed.

    Raises:
        ValueError: invalid input; the message says what and why.
    """
    chosen, out = columns(settings.metrics, settings.legacy), Path(out).absolute()
    console = console or new_console(width=250)
    drawn, hand = _column_to_draw(chosen, worst), load_hand(settings.hand)
    settings = _with_absolute_hand(settings)
    parts = [limited(part, settings.limit) for part in load_grasps(grasps, hand, format)]
    sets = [replaced(part, scale=(settings.scale or 1.0) * part.scale) for part in parts]
    meshes = find_meshes(mesh, [part.object for part in sets])
    chunks = plan_chunks(sets, meshes, settings, hand, out / "shards")
    check_settings(out, settings.facts(hand))
    _say_what_there_is(sets, chosen, console)
    console.print(f"up: {_said_up(sets, settings.up)}")
    failures = _measure(chunks, workers, runner, console)
    if len(failures) == len(sets):
        raise EvaluationError(next(iter(failures.values())))
    table = _merge(chunks, chosen)
    values, doubts = {column.key: table[column.key].to_numpy() for column in chosen}, doubts_of(table)
    overall, each = summarise(table["object"], values)
    files = _write(out, table, settings.facts(hand), overall, each, failures, chosen)
    means = overall_table(overall, chosen)
    files += (write_table(out, means.title, means.headings, means.cells, _counted(sets)),)
    if pictures:
        files += _draw(out, hand, sets, meshes, values, chosen, drawn)
    for printed in (object_table(each, chosen), means):
        console.print(printed)
    for message in doubts.messages():
        console.print(f"[red]{message}[/]", soft_wrap=True)
    console.print(f"results: {', '.join(str(file) for file in files)}", soft_wrap=True)
    return Evaluation(table, overall, each, failures, doubts, files)


def _column_to_draw(chosen: Sequence[type[GraspMetric]], key: str | None) -> type[GraspMetric]:
    by_key = {column.key: column for column in chosen}
    if key is not None and key not in by_key:
        raise EvaluationError(f"--worst: expected one of the columns {', '.join(by_key)}, found {key!r}")
    return by_key[key] if key else by_key.get("penetration_cm", chosen[0])


def _with_absolute_hand(settings: Settings) -> Settings:
    """Makes the hand's path absolute, because a worker has its own working directory."""
    is_path = Path(settings.hand).suffix in {".yaml", ".yml"}
    return replaced(settings, hand=str(Path(settings.hand).absolute())) if is_path else settings


def _say_what_there_is(sets: Sequence[GraspSet], chosen: Sequence[type[GraspMetric]], console: Console) -> None:
    console.print(f"{_counted(sets)}; columns: {', '.join(column.key for column in chosen)}")
    unknown = sum(int((~part.finite).sum()) for part in sets)
    if unknown:
        console.print(f"[yellow]note[/] {unknown} grasps contain numbers that are not finite: they count in n_nan")


def _said_up(sets: Sequence[GraspSet], axis: str | None) -> str:
    """Describes the directions opposite to gravity."""
    up = torch.cat([part.upwards(axis) for part in sets])
    unknown = int(up.isnan().any(1).sum())
    counts = {name: int(((up - axis_vector(name)).norm(dim=1) < 1e-3).sum()) for name in AXES if name != "six"}
    counts["the normal of its table"] = len(up) - unknown - sum(counts.values())
    words = [f"{name} for {count} grasps" for name, count in counts.items() if count]
    return "; ".join([*words, *[f"unknown for {unknown} grasps, which fall along all six half axes"] * bool(unknown)])


def _measure(chunks: Sequence[Chunk], workers: int | None, runner: str, console: Console) -> dict[str, str]:
    """Measures unfinished chunks; returns the objects that cannot be measured, with the reason."""
    failures: dict[str, str] = {}
    repaired: set[str] = set()
    finished = [is_finished(chunk) for chunk in chunks]
    for chunk in (c for c, done in zip(chunks, finished, strict=True) if done):
        _report(Measured(chunk.object, len(chunk), repairs_of(chunk)), repaired, failures, console)
    left = [chunk for chunk, done in zip(chunks, finished, strict=True) if not done]
    kept = sum(len(c) for c, done in zip(chunks, finished, strict=True) if done)
    if kept:
        console.print(f"{kept} grasps are measured already")
    # An object that failed is not tried again for each of its chunks.
    todo = (chunk for chunk in left if chunk.object not in failures)
    total = kept + sum(len(c) for c in left)
    with working("measuring grasps", total) as measuring, closing(_run(todo, left, workers, runner)) as results:
        measuring.advance(kept)
        for measured in results:
            _report(measured, repaired, failures, console)
            measuring.advance(measured.count)
    return failures


def _run(
    chunks: Iterator[Chunk], left: Sequence[Chunk], workers: int | None, runner: str
) -> Generator[Measured, None, None]:
    if left and runner == "ray":
        yield from run_ray(chunks, workers)
    elif workers == 1 or len(left) <= 1:
        yield from run_here(chunks)
    else:
        yield from run_processes(chunks, min(workers or 1, len(left)))


def _report(measured: Measured, repaired: set[str], failures: dict[str, str], console: Console) -> None:
    """Reports once per object how its mesh was repaired, or that it cannot be used."""
    name = measured.object
    if measured.failure and name not in failures:
        failures[name] = measured.failure
        console.print(f"[red]object {name} has no values:[/] {measured.failure}", soft_wrap=True)
    if measured.repairs and name not in repaired:
        repaired.add(name)
        console.print(f"[yellow]note[/] mesh of {name}: {'; '.join(measured.repairs)}", soft_wrap=True)


def _merge(chunks: Sequence[Chunk], chosen: Sequence[type[GraspMetric]]) -> pa.Table:
    """One row per grasp, in the order of the input; NaN for those of an object that failed."""
    tables = []
    for chunk in chunks:
        nothing = {column.key: np.full(len(chunk), np.nan) for column in chosen}
        tables.append(read_shard(chunk) if is_finished(chunk) else grasp_table(chunk, nothing))
    return pa.concat_tables(tables).combine_chunks()


def _write(
    out: Path,
    table: pa.Table,
    facts: dict[str, object],
    overall: dict[str, Stats],
    each: dict[str, dict[str, Stats]],
    failures: dict[str, str],
    chosen: Sequence[type[GraspMetric]],
) -> tuple[Path, ...]:
    parquet, summary = out / "grasps.parquet", out / "summary.json"
    write_whole(parquet, lambda path: pq.write_table(table, path))
    about = ("unit", "higher_is_better", "source")
    described = {c.key: {"definition": c.definition()} | {name: getattr(c, name) for name in about} for c in chosen}
    doubts, pairs = doubts_of(table), zip(table["object"].to_pylist(), table["implausible"].to_pylist(), strict=True)
    by_object = dict(Counter(name for name, reason in pairs if reason))
    content = {
        **{"settings": facts, "columns": described, "failures": failures},
        "implausible": {"n": doubts.count, "messages": doubts.messages(), "objects": by_object},
        **{"overall": overall, "objects": each},
    }
    write_whole(summary, lambda path: write_json(path, content))
    return parquet, summary


def _draw(
    out: Path,
    hand: Hand,
    sets: Sequence[GraspSet],
    meshes: dict[str, Path],
    values: Columns,
    chosen: Sequence[type[GraspMetric]],
    drawn: type[GraspMetric],
) -> tuple[Path, ...]:
    histograms, worst = out / "histograms.png", out / "worst.png"
    title = f"{_counted(sets)}, {hand.title}"
    write_whole(histograms, lambda path: draw_histograms(path, values, chosen, title))
    rows = worst_rows(values[drawn.key], drawn)
    if not rows:
        return (histograms,)
    scenes = [_scene(sets, meshes, row, values) for row in rows]
    heading = f"the {len(rows)} worst of {sum(map(len, sets))} grasps by {drawn.key}, the worst first"
    write_whole(worst, lambda path: draw_worst(path, hand, scenes, heading))
    return histograms, worst


def _scene(sets: Sequence[GraspSet], meshes: dict[str, Path], row: int, values: Columns) -> Scene:
    """The grasp in one row of the table."""
    starts = np.cumsum([0, *(len(part) for part in sets)])
    which = int(np.searchsorted(starts, row, side="right")) - 1
    part, i = sets[which], row - int(starts[which])
    numbers = {key: float(x[row]) for key, x in values.items()}
    text = caption(part.object, int(part.rows[i]), numbers)
    return Scene(part.pose[i], meshes[part.object], float(part.scale[i]), text)


def _counted(sets: Sequence[GraspSet]) -> str:
    """`60 grasps of 3 objects`."""
    counts = (sum(len(part) for part in sets), "grasp"), (len(sets), "object")
    return " of ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)
