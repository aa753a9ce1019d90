"""Table 4 of motion runs: lines, paired tests of every method against one of them, and the files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import wilcoxon

from ...metrics.tables import (
    Text,
    TextTable,
    format_difference,
    format_spread,
    metric_cells,
    write_csv,
    write_json,
    write_markdown,
)
from .intervals import cluster_interval, paired_differences
from .published import TABLE4
from .report import COLUMNS, means_of
from .results import Row, by_method

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
    """A method, with its ablation, against the base, in one mode and metric."""

    metric: str
    mode: str
    method: str
    clips: int
    objects: int
    """Numbers of clips that were paired, and of their objects."""
    difference: float
    low: float
    high: float
    """Mean of method minus base and its 95 % interval."""
    p: float
    p_holm: float
    """Of Wilcoxon's signed-rank test, and after Holm's correction."""


def lines_of(rows: Sequence[Row], costs: Mapping[str, Row]) -> list[Row]:
    """The lines of `report.means_of`, by mode, with `parameters` and `minutes` of `costs`, by method with ablation; NaN
    where not known.
    """
    lines = sorted(means_of(rows), key=lambda line: _rank(line["refine"]))
    return [{**line, "parameters": math.nan, "minutes": math.nan, **costs.get(line["method"], {})} for line in lines]


def compare(rows: Sequence[Row], base: str, metrics: Sequence[str] = TESTED) -> list[Comparison]:
    """Every method against the one of the label `base`, by metric and mode, in the order of the rows.

    A metric that the rows lack is left out, and so is a mode that the base does not have, but for "most_likely", which
    is compared with its "off".
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


def text_lines(lines: Sequence[Row]) -> Text:
    """Headings and cells of the table as text; the parameters are in millions, the minutes of one training."""
    columns = [column for key, column in COLUMNS.items() if key in lines[0]]
    with_costs = any(not math.isnan(line["parameters"]) for line in lines)
    cells = []
    for line in lines:
        numbers = ((line["parameters"] / 1e6, 2), (line["minutes"], 1)) if with_costs else ()
        costs = [format_spread(value, digits=digits) for value, digits in numbers]
        cells.append([line["method"], line["refine"], str(line["runs"]), *metric_cells(columns, line), *costs])
    costs = ["params (M)", "training (min)"] if with_costs else []
    return ["method", "mode", "runs", *(column.title() for column in columns), *costs], cells


def comparison_lines(comparisons: Sequence[Comparison]) -> Text:
    """Headings and cells of the paired tests as text."""
    cells = []
    for c in comparisons:
        digits = 3 if abs(c.difference) < 0.1 else 2
        gap = format_difference(c.difference, c.low, c.high, digits) if c.clips else "-"
        cells.append([c.metric, c.mode, c.method, str(c.clips), gap, _p(c.p), _p(c.p_holm)])
    return ["metric", "mode", "method", "clips", "difference [95 %]", "p", "p, Holm"], cells


def explain_tests(comparisons: Sequence[Comparison], base: str) -> str:
    """The caption of the paired tests, with what they take for independent."""
    n = max(c.objects for c in comparisons)
    caveat = ONE_OBJECT if n == 1 else FEW_OBJECTS
    return TESTS.format(base=base, objects=f"{n} object{'s' * (n > 1)}", caveat=caveat)


def tables(lines: Sequence[Row], comparisons: Sequence[Comparison], title: str, base: str) -> list[TextTable]:
    """The table, the paired tests, the published rows. On the screen the tests are of one metric."""
    made = [TextTable(f"Table 4: {title}", EXPLANATION, *text_lines(lines), left=(0, 1))]
    shown = [c for c in comparisons if c.metric == comparisons[0].metric]
    return [*made, *_tests(shown, base), TABLE4]


def write(
    folder: Path, lines: Sequence[Row], comparisons: Sequence[Comparison], title: str, base: str, facts: Row
) -> list[Path]:
    """Writes table4.md, table4.csv and table4.json, which has further `facts`, with the paired tests of all metrics,
    into a folder, which is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, *_, published = tables(lines, comparisons, title, base)
    content = {**facts, "title": title, "base": base, "lines": lines, "tests": [asdict(c) for c in comparisons]}
    return [
        write_markdown(folder / "table4.md", [first, *_tests(comparisons, base), published]),
        write_csv(folder / "table4.csv", lines),
        write_json(folder / "table4.json", content),
    ]


def _tests(comparisons: Sequence[Comparison], base: str) -> list[TextTable]:
    """The table of some paired tests, where there are any."""
    if not comparisons:
        return []
    caption = explain_tests(comparisons, base)
    return [TextTable(f"Paired tests against {base}", caption, *comparison_lines(comparisons), left=range(3))]


def _compare_methods(
    metric: str, mode: str, methods: Mapping[str, Sequence[Row]], base: Sequence[Row]
) -> list[Comparison]:
    """One family of tests."""
    pairs = {method: paired_differences(rows, base, metric) for method, rows in methods.items()}
    p = [wilcoxon_p(values) for values, _ in pairs.values()]
    if all(math.isnan(x) for x in p):
        return []
    return [
        Comparison(metric, mode, method, len(values), len(set(objects)), *cluster_interval(values, objects), raw, holms)
        for (method, (values, objects)), raw, holms in zip(pairs.items(), p, holm(p), strict=True)
    ]


def _rank(mode: str) -> int:
    return MODES.index(mode) if mode in MODES else len(MODES)


def _p(value: float) -> str:
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
