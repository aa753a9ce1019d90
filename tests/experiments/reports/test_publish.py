"""The documentation agrees with docs/results.json, and how a table gets into both."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.reports import publish
from dexzoo.metrics.tool.table_file import command_line, version, write_table

PAGE = "Before.\n\n<!-- results: mine -->\nold\n<!-- end -->\n\nAfter.\n"
LAYOUT = """
mine:
  columns: {method: method, "error (cm)": "error, cm", "error (cm) @ linear": "the same, pulled"}
  intervals: [error (cm)]
  rows:
    - {as: Ours, method: ours, mode: "off", "@linear": {method: ours, mode: linear}}
    - {as: "*timed*", method: timed}
"""
CELLS = [["ours", "off", "1.20 ± 0.10\n[1.10, 1.30]"], ["ours", "linear", "0.90"], ["timed", "off", "2.00"]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one page and no results yet."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(PAGE)
    (tmp_path / "docs/tables.yaml").write_text(LAYOUT)
    (tmp_path / "docs/results.json").write_text("{}")
    return tmp_path


def make_table(folder: Path) -> Path:
    return write_table(folder, "Errors", ["method", "mode", "error\n(cm)"], CELLS, "demo data", [1, None, 0, 1]).parent


# ------------------------------------------------------------------------------------------------------ our own pages


@pytest.mark.parametrize("page", publish.pages(), ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_results(page: Path) -> None:
    text = page.read_text()
    assert publish.rendered(text, publish.read_results(), publish.read_layout()) == text, (
        "python experiments/reports/publish.py"
    )


def test_every_table_of_results_is_shown_and_says_where_it_comes_from() -> None:
    shown = [name for page in publish.pages() for name in re.findall(r"<!-- results: (\S+) -->", page.read_text())]
    layout, results = publish.read_layout(), publish.read_results()
    assert set(shown) == set(layout)
    assert {layout[name].get("from", name) for name in layout} == set(results)
    for name, entry in results.items():
        assert tuple(entry) == publish.KEYS, name
        assert entry["command"].startswith(("python ", "dexzoo ")), name
        assert entry["made_at"], name
        assert {len(line) for line in entry["cells"]} == {len(entry["headings"])}, name


def test_no_table_of_numbers_is_typed_by_hand() -> None:
    """A table outside of the marks has no cell that is a measured number."""
    for page in publish.pages():
        text = re.sub(r"<!-- results: .*?<!-- end -->", "", page.read_text(), flags=re.S)
        typed = [
            line
            for line in text.splitlines()
            if line.startswith("|") and re.search(r"\| *-?\d[\d,]*(\.\d| ±| %)", line)
        ]
        assert typed == [], page.name


# ------------------------------------------------------------------------------------------------------ the mechanism


def test_a_table_gets_into_the_results_and_the_page(root: Path, capsys) -> None:
    folder = make_table(root / "run")
    publish.main(["mine", str(folder)], root)
    entry = json.loads((root / "docs/results.json").read_text())["mine"]
    assert (entry["cells"], entry["seeds"], entry["data"]) == (CELLS, [0, 1], "demo data")
    assert entry["headings"] == ["method", "mode", "error (cm)"]
    page = (root / "README.md").read_text()
    assert page.startswith("Before.\n\n<!-- results: mine -->\n\n| method | error, cm | the same, pulled |\n")
    assert "| Ours | 1.20 ± 0.10 [1.10, 1.30] | 0.90 |\n| *timed* | 2.00 | - |\n\n<!-- end -->\n\nAfter." in page
    assert "README.md" in capsys.readouterr().out
    publish.main([], root)
    assert (root / "README.md").read_text() == page
    assert capsys.readouterr().out == ""


def test_what_cannot_be_published_is_named(root: Path, tmp_path: Path) -> None:
    folder = make_table(tmp_path / "run")
    with pytest.raises(RunError, match=r"nowhere: expected a folder with a table\.json"):
        publish.publish("mine", root / "nowhere", root)
    with pytest.raises(RunError, match=r"mime: expected a table of docs/tables.yaml \(mine\); did you mean 'mine'"):
        publish.publish("mime", folder, root)
    (folder / "table.json").write_text('{"title": ""}')
    with pytest.raises(RunError, match=r"table\.json: expected title, data, .*, found no data"):
        publish.publish("mine", folder, root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"depth": "depth"}}, r"columns: expected headings of method, mode, error \(cm\); found depth"),
        ({"rows": [{"method": "goal"}]}, r"rows: expected rows of the table, found none with {'method': 'goal'}"),
        ({"from": "other"}, r"results: mine: expected other in docs/results\.json, found mine"),
    ],
)
def test_a_layout_that_does_not_fit_is_named(root: Path, change: dict, message: str) -> None:
    publish.publish("mine", make_table(root / "run"), root)
    layout = {"mine": publish.read_layout(root)["mine"] | change}
    with pytest.raises(RunError, match=message):
        publish.rendered(PAGE, publish.read_results(root), layout)


def test_a_command_reads_as_one_types_it() -> None:
    assert command_line(["/x/experiments/run.py", "seed=1", "name=my run"]) == (
        "python experiments/run.py seed=1 'name=my run'"
    )
    assert (
        command_line([str(publish.ROOT / "dexzoo/__main__.py"), "table4", "runs=[a,b]"]) == "dexzoo table4 'runs=[a,b]'"
    )
    assert command_line(["/usr/bin/dexzoo", "metrics"]) == "dexzoo metrics"
    assert command_line([f"{Path(pytest.__file__).parent}/__main__.py"]).endswith("__main__.py")


def test_the_version_is_the_commit_and_whether_files_differ_from_it() -> None:
    git = ["git", "-C", str(publish.ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()[:7]
    assert (version() or "").removesuffix("-dirty") == head
