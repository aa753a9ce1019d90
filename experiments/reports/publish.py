"""Tables for the documentation: `python experiments/reports/publish.py NAME FOLDER`; without arguments it renders anew.

Every command that makes a table writes a `table.json` into its folder. `publish.py` keeps it in docs/results.json under
a name, and writes the tables of README.md and docs/*.md, which stand between `<!-- results: NAME -->` and
`<!-- end -->`. Which rows and columns a page shows, and what it calls them, is in docs/tables.yaml.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import dexzoo  # noqa: F401
except ModuleNotFoundError:
    sys.exit("dexzoo is not installed in this Python: run `make setup` and use .venv/bin/python, or `pip install -e .`")

import yaml

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.commandline.explain import plain_errors
from dexzoo.files.names import did_you_mean
from dexzoo.metrics.tables import console, markdown_table
from dexzoo.metrics.tool.table_file import FILE

ROOT = Path(__file__).resolve().parents[2]
RESULTS, LAYOUT = Path("docs/results.json"), Path("docs/tables.yaml")
KEYS = ("title", "data", "seeds", "command", "made_at", "headings", "cells")
"""Keys of each table in docs/results.json."""

_PLACE = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.S)

Entry = Mapping[str, Any]


def publish(name: str, source: Path, root: Path = ROOT) -> None:
    """Takes a table, a table.json or a folder with one, into docs/results.json of the repository `root`; RunError for
    no such table, or a name that no page shows.
    """
    file = source / FILE if source.is_dir() else source
    if not file.is_file():
        raise RunError(f"{source}: expected a folder with a {FILE}, as every command that makes a table writes it")
    table = json.loads(file.read_text(encoding="utf-8"))
    missing = [key for key in KEYS if key not in table]
    if missing:
        raise RunError(f"{file}: expected {', '.join(KEYS)}, found no {missing[0]}")
    known = dict.fromkeys(layout.get("from", shown) for shown, layout in read_layout(root).items())
    if name not in known:
        raise RunError(f"{name}: expected a table of {LAYOUT} ({', '.join(known)}){did_you_mean(name, known)}")
    entries = read_results(root) | {name: {key: table[key] for key in KEYS}}
    text = json.dumps({key: entries[key] for key in known if key in entries}, indent=1, ensure_ascii=False)
    (root / RESULTS).write_text(text + "\n", encoding="utf-8")


def read_results(root: Path = ROOT) -> dict[str, Entry]:
    """docs/results.json: tables by name."""
    return json.loads((root / RESULTS).read_text(encoding="utf-8"))


def read_layout(root: Path = ROOT) -> dict[str, Entry]:
    """docs/tables.yaml: what the pages show, by name."""
    return yaml.safe_load((root / LAYOUT).read_text(encoding="utf-8"))


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that show tables."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def rendered(text: str, results: Mapping[str, Entry], layout: Mapping[str, Entry]) -> str:
    """A page with its tables written anew; RunError for a table that there is not, or a row or column of its layout
    that it does not have.
    """

    def fill(place: re.Match[str]) -> str:
        name = place[2]
        if name not in layout:
            raise RunError(f"results: {name}: expected a table of {LAYOUT} ({', '.join(layout)})")
        source = layout[name].get("from", name)
        if source not in results:
            raise RunError(f"results: {name}: expected {source} in {RESULTS}, found {', '.join(results)}")
        return f"{place[1]}\n{table_of(name, results[source], layout[name])}\n\n{place[3]}"

    return _PLACE.sub(fill, text)


def table_of(name: str, entry: Entry, layout: Entry) -> str:
    """The entry of a name in docs/results.json as a table in Markdown.

    Its layout in docs/tables.yaml has `columns`, heading to heading shown; `HEADING @ WHICH` takes the cell of another
    row, of the one that the row's `@WHICH` says. `rows`, each with the cells that it is found by and, under `as`, the
    text of the first column; without them all rows are shown. `intervals`, headings whose second lines are shown.
    RunError for a row or column that the table does not have.
    """
    columns, headings = layout["columns"], entry["headings"]
    for heading in (heading.partition(" @ ")[0] for heading in columns):
        if heading not in headings:
            raise RunError(f"{LAYOUT}: {name}: columns: expected headings of {', '.join(headings)}; found {heading}")
    everything = [dict(zip(headings, cells, strict=True)) for cells in entry["cells"]]
    body: list[list[str]] = []
    for wanted in layout.get("rows", [{}]):
        found = _matching(name, everything, wanted)
        others = {key[1:]: _matching(name, everything, x)[0] for key, x in wanted.items() if key.startswith("@")}
        for line in (_line(row, others, layout) for row in found):
            body.append([wanted.get("as") or line[0], *line[1:]])
    return markdown_table([*columns.values()], body, left=(0,))


def _matching(name: str, rows: Sequence[Mapping[str, str]], wanted: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """The rows with some cells; raises RunError where there is none."""
    cells = {key: text for key, text in wanted.items() if key != "as" and not key.startswith("@")}
    found = [row for row in rows if all(row.get(key) == text for key, text in cells.items())]
    if not found:
        raise RunError(f"{LAYOUT}: {name}: rows: expected rows of the table, found none with {cells}")
    return found


def _line(row: Mapping[str, str], others: Mapping[str, Mapping[str, str]], layout: Entry) -> list[str]:
    """The cells of one line; `others` are further rows that columns may take cells of."""
    line = []
    for key in layout["columns"]:
        heading, _, which = key.partition(" @ ")
        text = others.get(which, {}).get(heading, "-") if which else row[heading]
        line.append(" ".join(text.split("\n") if heading in layout.get("intervals", ()) else text.split("\n")[:1]))
    return line


@plain_errors
def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> None:
    """The command line, for the repository in `root`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help=f"of the table in {LAYOUT}")
    parser.add_argument("folder", nargs="?", type=Path, help=f"that a command wrote {FILE} into")
    given = parser.parse_args(arguments)
    if given.name and not given.folder:
        parser.error(f"{given.name}: expected the folder of its {FILE} beside the name")
    if given.name:
        publish(given.name, given.folder, root)
    for page in pages(root):
        before = page.read_text(encoding="utf-8")
        after = rendered(before, read_results(root), read_layout(root))
        if after != before:
            page.write_text(after, encoding="utf-8")
            console().print(f"wrote        {page}", soft_wrap=True)


if __name__ == "__main__":
    main()
