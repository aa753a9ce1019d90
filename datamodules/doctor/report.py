"""The doctor's report, for a terminal of any width."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...hands.plausible import doubt_size
from .findings import Level
from .measure import Measures
from .visit import Visit

_STYLES = {Level.GOOD: "green", Level.DOUBTFUL: "yellow", Level.BAD: "bold red"}


def print_visit(visit: Visit, console: Console, sheet: Path | None) -> None:
    """Prints the report, with the path of the sheet that was drawn, if any."""
    console.print(f"[bold]{escape(visit.title)}[/bold]")
    _list(console, "found", visit.found)
    _list(console, "missing", visit.missing)
    _list(console, f"broken: {len(visit.broken)}" if visit.broken else "broken: nothing", visit.broken)
    if visit.counts:
        console.print(_counts(visit))
        console.print(_partial(visit), soft_wrap=True, highlight=False)
    if visit.statistics:
        _statistics(visit, console)
    if sheet is not None:
        console.print(f"[bold]look at[/bold] {escape(str(sheet))}", soft_wrap=True)
    console.print(f"[bold]{_conclusion(visit)}[/bold]", soft_wrap=True)


def _list(console: Console, title: str, lines: tuple[str, ...]) -> None:
    console.print(f"[bold]{title}[/bold]")
    for line in lines:
        console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)


def _counts(visit: Visit) -> Table:
    items, published = visit.dataset.items, visit.dataset.published
    table = Table("part", "objects", "published", items, "published")
    for column in table.columns[1:]:
        column.justify = "right"
    for count in visit.counts:
        wanted = [_number(counts, count.part) for counts in (published.objects, published.items)]
        table.add_row(count.part, f"{count.objects:,}", wanted[0], f"{count.items:,}", wanted[1])
    return table


def _number(published: Mapping[str, int], part: str) -> str:
    return f"{published[part]:,}" if part in published else "-"


def _partial(visit: Visit) -> str:
    published, here = visit.dataset.published, visit.counts[-1]
    if visit.is_demo:
        return "  generated data: a layout to try things on, not part of what was published"
    if "all" not in published.objects:
        return "  its authors' counts are not known"
    everything = published.objects["all"]
    if here.objects < everything:
        return f"  {published.remark}the data here are partial: {here.objects:,} of {everything:,} objects"
    return f"  {published.remark}all {everything:,} objects are here"


def _statistics(visit: Visit, console: Console) -> None:
    n = len(visit.examined or ())
    table = Table("statistic", f"found on {n} of {visit.counts[-1].items} {visit.dataset.items}", "expected", "verdict")
    for s in visit.statistics:
        table.add_row(s.name, escape(s.value), escape(s.expected), f"[{_STYLES[s.level]}]{s.level.value}")
    console.print(table)
    if visit.measures is not None:
        _doubts(visit.measures, console)
    for s in visit.statistics:
        usual = visit.dataset.usual.get(s.kind, ())
        if s.level is Level.BAD and usual:
            _list(console, f"what a bad verdict on '{s.name}' usually means", usual)
    if visit.causes:
        lines = tuple(f"{cause.name}: {cause.value}" for cause in visit.causes)
        _list(console, "likely causes, tried on the data, the likeliest first", lines)


def _doubts(measures: Measures, console: Console) -> None:
    """Implausible values, with numbers and the unit that would explain them."""
    sizes = [problem for side in measures.size.tolist() if side == side and (problem := doubt_size(side))]
    of_sizes = [f"{len(sizes)} of {len(measures.size)} objects: {size}" for size in sizes[:1]]
    lines = [*measures.doubts.messages(), *of_sizes]
    if lines:
        _list(console, f"implausible: {measures.doubts.count} grasps, {len(sizes)} sizes of objects", tuple(lines))


def _conclusion(visit: Visit) -> str:
    if visit.healthy:
        doubts = sum(s.level is Level.DOUBTFUL for s in visit.statistics)
        return "healthy" + (f", doubtful verdicts: {doubts}" if doubts else "")
    bad = [s.name for s in visit.statistics if s.level is Level.BAD]
    parts = [f"{len(visit.broken)} broken"] * bool(visit.broken) + [f"bad: {'; '.join(bad)}"] * bool(bad)
    return ", ".join(parts)
