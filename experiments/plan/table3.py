"""RealDex, Table 3, of runs of grasp models."""

from collections.abc import Sequence
from pathlib import Path

from ...geometry.progress import working
from ...hands import Hand, load_hand
from ...metrics.tables import console
from ...metrics.tool import table_file
from ..commandline.settings import Table3
from ..reports import grasp_figures
from ..reports.grasp_results import gather, summarise
from ..reports.grasp_tables import COLUMNS, tables, text_lines, write_table
from ..training.load import read_config


def merge_runs(runs: Sequence[str | Path], settings: Table3) -> None:
    """Prints the tables of some runs, see `gather`, and writes them and the pictures; of the settings, `out` and `key`
    count.
    """
    rows = gather(runs)
    title = f"{rows[0]['data']}, hand {rows[0]['hand']}, {len({row['object'] for row in rows})} test objects"
    screen, out = console(), Path(settings.out)
    with working(f"summarising {len(rows)} rows"):
        lines = summarise(rows)
    for table in tables(lines, title):
        screen.print(table)
    picture = grasp_figures.draw(out / "grasps.png", rows, title, settings.key, hand=hand_of(runs[0]))
    cells, seeds = text_lines(lines, COLUMNS), [row["seed"] for row in rows]
    published = table_file.write_table(out, f"Table 3: {title}", *cells, rows[0]["data"], seeds)
    for file in (*write_table(out, rows, title), published, picture):
        screen.print(f"wrote        {file}", soft_wrap=True)


def hand_of(run: str | Path) -> Hand:
    """The hand of a run, by the name or the YAML that it was started with: a row has only the name."""
    return load_hand(read_config(Path(run)).hand)
