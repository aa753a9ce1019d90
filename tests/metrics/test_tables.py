"""Numbers as text and tables of text, by examples; what they are made of is tested with those who make them."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from rich.console import Console

from dexzoo.metrics import tables


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (1.234, 0.5, "1.23 ± 0.50"),
        (1.234, math.nan, "1.23"),
        (0.0123, 0.001, "0.012 ± 0.001"),
        (12.34, 0.52, "12.3 ± 0.5"),
        (12.34, 0.012, "12.34 ± 0.01"),
        (1.2345, 0.0012, "1.234 ± 0.001"),  # not 0.00
        (0.0, 0.0, "0.00 ± 0.00"),
        (math.nan, 1, "-"),
    ],
)
def test_a_number_has_the_digits_that_it_asks_for(mean: float, sd: float, text: str) -> None:
    assert tables.format_spread(mean, sd) == text


def test_other_numbers_as_text() -> None:
    assert tables.format_spread(0.123456, 0.01, digits=4) == "0.1235 ± 0.0100"
    assert tables.format_difference(-0.1, -0.25, 0.04, 2) == "-0.10 [-0.25, +0.04]"
    assert [tables.format_share(x) for x in (0.526, 1.0, math.nan)] == ["53 %", "100 %", "-"]


@pytest.mark.parametrize(
    ("heading", "lines"),
    [
        ("Q1", "Q1"),
        ("AVE (m²·100)", "AVE\n(m²·100)"),
        ("vertex offset (cm)", "vertex\noffset (cm)"),
        ("held in six directions", "held in six\ndirections"),
        ("depth, on the way (cm)", "depth, on\nthe way (cm)"),
    ],
)
def test_a_heading_on_two_short_lines(heading: str, lines: str) -> None:
    assert tables.two_lines(heading) == lines


def test_one_table_on_the_screen_in_markdown_and_as_csv(tmp_path) -> None:
    cells = [["ours", "1.2\n[1, 3]", "-"], ["theirs", "-", "0.123 ± 0.100"]]
    table = tables.TextTable("Errors", "below", ["method", "mean error (cm)", "AVE (cm²)"], cells)
    screen = Console(width=60, record=True, file=io.StringIO())
    screen.print(table)
    shown = [line.rstrip() for line in screen.export_text().splitlines()]
    assert shown[2:4] == ["               mean", " method  error (cm)      AVE (cm²)"]
    assert shown[5:7] == [" ours           1.2              -", "             [1, 3]"]
    assert shown[7] == " theirs           -  0.123 ± 0.100"
    screen = Console(width=16, record=True, file=io.StringIO())
    screen.print(table)
    assert "…" not in screen.export_text()  # a number on two lines, never cut
    assert table.markdown().splitlines() == [
        *("## Errors", "", "below", ""),
        "| method | mean error (cm) | AVE (cm²) |",
        "| --- | ---: | ---: |",
        "| ours | 1.2<br>[1, 3] | - |",
        "| theirs | - | 0.123 ± 0.100 |",
    ]
    both = tables.write_markdown(tmp_path / "a.md", [table, table]).read_text()
    assert both.startswith("# Errors\n\nbelow\n\n| method |")
    assert "|\n\n## Errors\n" in both
    lines = [{"method": "ours", "error_cm": 1.0 / 3}, {"method": "theirs", "error_cm": math.nan}]
    rows = list(csv.DictReader(tables.write_csv(tmp_path / "a.csv", lines).open()))
    assert [float(row["error_cm"]) for row in rows] == pytest.approx([1 / 3, math.nan], abs=0, nan_ok=True)
    text = tables.write_json(tmp_path / "a.json", {"lines": lines, "of": (math.nan,)}).read_text()
    assert json.loads(text, parse_constant=pytest.fail)["lines"][1] == {"method": "theirs", "error_cm": None}
