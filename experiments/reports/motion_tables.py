"""Table 4 of motion runs: lines, paired tests of every method against one of them, and the files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from rich.table import Table
from scipy.stats import wilcoxon

from ..commandline.screen import filled_table
from .paired import Differences, paired_differences
from .published import TABLE4
from .report import merge
from .results import Row, by_method, format_spread, markdown_table, without_nan

COLUMNS = {
    "mpjpe_cm": "MPJPE\n(cm)",
    "mpjpe_palm_cm": "palm\n(cm)",
    "mpjpe_fingers_cm": "fingers\n(cm)",
    "ave_cm2": "AVE\n(cm²)",
    "ave_paper": "AVE\n(m²·100)",
    "vertex_offset_cm": "vertex\noffset (cm)",
    "surface_offset_cm": "surface\noffset (cm)",
    "min_distance_cm": "min dist.\n(cm)",
    "min_distance_error_cm": "its error\n(cm)",
    "penetration_cm": "depth, last\nframe (cm)",
    "penetration_max_cm": "depth, on\nthe way (cm)",
}
"""Metrics of the table and their headings, on two lines."""

TESTED = ("mpjpe_cm", "ave_cm2", "vertex_offset_cm", "min_distance_error_cm", "penetration_cm")
"""Metrics of the paired tests; smaller is better in all."""

MODES = ("off", "linear", "opt", "most_likely", "teacher_forced")
"""Modes of a test, in the order of the table."""

EXPLANATION = (
    "Mean over clips, then mean ± standard deviation over runs (seeds and folds); a clip of a model that draws is the "
    "mean of its draws. Modes: off is the free rollout from the given frames to the true goal in the true number of "
    "frames, the one to compare; linear and opt pull its last frames onto the goal, so that what is about the last "
    "frame is near zero by construction; most_likely takes the one likeliest motion of a model that draws; "
    "teacher_forced starts every chunk from the true history, so it is no synthesis. Offsets are of the last frame, "
    "over the vertices of the hand's mesh, as the literature has it, and over points spread evenly on its surface. "
    "Smaller is better but for the minimum distance, whose error is beside it."
)
TESTS = (
    "Difference from {base} clip by clip, averaged over the seeds that both have, in the same mode ({base} off beside "
    "most_likely): mean, 95 % interval (percentile bootstrap that draws objects, then clips of each), p of Wilcoxon's "
    "signed-rank test (two-sided, clips without a difference left out), and p after Holm's correction over the methods "
    "of one mode and metric. Negative is better than {base}. The clips are of {objects}: {caveat} The test takes all "
    "clips for independent, those of one object too, so that where objects differ its p is too small."
)
ONE_OBJECT = "the intervals say nothing of other objects."
FEW_OBJECTS = "with fewer than ten or so the intervals are too narrow, of three they hold the truth in 83 of 100 cases."


@dataclass(frozen=True)
class Comparison:
    """A method against the base, in one mode and metric.

    Attributes:
        metric, mode, method: what is compared; the method with its ablation.
        clips, objects: how many were paired, and how many objects they are of.
        difference, low, high: mean of method minus base and its 95 % interval.
        p, p_holm: of Wilcoxon's signed-rank test, and after Holm's correction.
    """

    metric: str
    mode: str
    method: str
    clips: int
    objects: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def lines_of(rows: Sequence[Row], costs: Mapping[str, Row]) -> list[Row]:
    """One line per method, ablation and mode; by mode, and within it in the order of the rows.

    Args:
        rows: of `report.gather`.
        costs: by method with ablation: `parameters` and `minutes`, where known.

    Returns:
        Lines of `report.merge` without its difference, with `parameters` and `minutes`, NaN where not known.

    Raises:
        KeyError: rows that are not of motions.
    """
    lines = []
    for line in sorted(merge(rows), key=lambda line: _rank(line["refine"])):
        kept = {key: value for key, value in line.items() if key not in ("difference", "ci_low", "ci_high")}
        lines.append({**kept, "parameters": math.nan, "minutes": math.nan, **costs.get(line["method"], {})})
    return lines


def compare(rows: Sequence[Row], base: str, metrics: Sequence[str] = TESTED) -> list[Comparison]:
    """Every method against one of them.

    Args:
        rows: of `report.gather`.
        base: label of the method that the others are compared with.
        metrics: those compared; one that the rows lack is left out.

    Returns:
        By metric and mode, in the order of the rows. A mode that the base does not have is left out, but for
        "most_likely", which is compared with its "off".
    """
    groups = by_method(rows)
    modes = sorted({mode for _, mode in groups}, key=_rank)
    made: list[Comparison] = []
    for metric in metrics:
        for mode in modes:
            beside = groups.get((base, mode)) or (groups.get((base, "off")) if mode == "most_likely" else None)
            others = {m: group for (m, own), group in groups.items() if own == mode and m != base}
            if beside is not None:
                made += _compare_methods(metric, mode, others, beside)
    return made


def wilcoxon_p(differences: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where all differences are zero, NaN where there are none."""
    x = np.asarray(differences, float)
    if not len(x):
        return math.nan
    return float(wilcoxon(x).pvalue) if x.any() else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of the p values of one family; NaN stays NaN and does not count."""
    known = [i for i in np.argsort(p, kind="stable") if not math.isnan(p[i])]
    corrected, largest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p[i]))
        corrected[i] = largest
    return corrected


def text_lines(lines: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table as text; the parameters are in millions, the minutes of one training."""
    names = [name for name in COLUMNS if name in lines[0]]
    with_costs = any(not math.isnan(line["parameters"]) for line in lines)
    headings = ["method\n", "mode\n", "runs\n", *(COLUMNS[name] for name in names)]
    headings += ["params\n(M)", "training\n(min)"] if with_costs else []
    cells = []
    for line in lines:
        spreads = [format_spread(line[name], line[f"{name}_sd"]) for name in names]
        costs = [_number(line["parameters"] / 1e6, 2), _number(line["minutes"], 1)] if with_costs else []
        cells.append([line["method"], line["refine"], str(line["runs"]), *spreads, *costs])
    return headings, cells


def comparison_lines(comparisons: Sequence[Comparison]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the paired tests as text."""
    headings = ["metric", "mode", "method", "clips", "difference [95 %]", "p", "p, Holm"]
    cells = []
    for c in comparisons:
        digits = 3 if abs(c.difference) < 0.1 else 2
        gap = f"{c.difference:+.{digits}f} [{c.low:+.{digits}f}, {c.high:+.{digits}f}]" if c.clips else "-"
        cells.append([c.metric, c.mode, c.method, str(c.clips), gap, _p(c.p), _p(c.p_holm)])
    return headings, cells


def explain_tests(comparisons: Sequence[Comparison], base: str) -> str:
    """What the paired tests are, and what they take for independent."""
    n = max(c.objects for c in comparisons)
    caveat = ONE_OBJECT if n == 1 else FEW_OBJECTS
    return TESTS.format(base=base, objects=f"{n} object{'s' * (n > 1)}", caveat=caveat)


def tables(lines: Sequence[Row], comparisons: Sequence[Comparison], title: str, base: str) -> list[Table]:
    """What is printed: the table, the tests of the first metric, the published rows. The files hold all tests."""
    made = [filled_table(f"Table 4: {title}", EXPLANATION, *text_lines(lines), left=2)]
    shown = [c for c in comparisons if c.metric == comparisons[0].metric] if comparisons else []
    if shown:
        caption = explain_tests(shown, base)
        made.append(filled_table(f"Paired tests against {base}", caption, *comparison_lines(shown), left=3))
    return [*made, TABLE4.table()]


def write(
    folder: Path, lines: Sequence[Row], comparisons: Sequence[Comparison], title: str, base: str, facts: Row
) -> list[Path]:
    """Writes table4.md, table4.csv and table4.json.

    Args:
        folder: it is made.
        lines: of `lines_of`.
        comparisons: of `compare`.
        title: of the data; it says "demo data" where it is.
        base: what the comparisons are with.
        facts: what table4.json says beside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    markdown, table, data = (folder / f"table4.{kind}" for kind in ("md", "csv", "json"))
    blocks = [f"# Table 4: {title}", EXPLANATION, markdown_table(*text_lines(lines), left=2)]
    if comparisons:
        blocks += [f"## Paired tests against {base}", explain_tests(comparisons, base)]
        blocks += [markdown_table(*comparison_lines(comparisons), left=3)]
    markdown.write_text("\n\n".join([*blocks, TABLE4.markdown()]) + "\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    content = {**facts, "title": title, "base": base, "lines": lines, "tests": [asdict(c) for c in comparisons]}
    data.write_text(json.dumps(without_nan(content), indent=1) + "\n", encoding="utf-8")
    return [markdown, table, data]


def _compare_methods(
    metric: str, mode: str, methods: Mapping[str, Sequence[Row]], base: Sequence[Row]
) -> list[Comparison]:
    """One family of tests."""
    family: list[tuple[str, Differences, float]] = []
    for method, rows in methods.items():
        found = paired_differences(rows, base, metric)
        family.append((method, found, wilcoxon_p(found.values)))
    if not any(len(found.values) for _, found, _ in family):
        return []
    corrected = holm([p for *_, p in family])
    return [
        Comparison(metric, mode, method, len(found.values), found.n_objects, *found.interval(), p, p_holm)
        for (method, found, p), p_holm in zip(family, corrected, strict=True)
    ]


def _rank(mode: str) -> int:
    return MODES.index(mode) if mode in MODES else len(MODES)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
