"""Success rates with their intervals over objects, and the sensitivity card: how far each constant moves them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from ...metrics.tables import TextTable, format_share, write_json, write_markdown
from ...metrics.tool.shards import write_whole
from ...metrics.tool.success import CHANGES
from ...metrics.tool.table_file import version
from ...simulation.protocol import Protocol
from .intervals import cluster_interval


def rates(table: pa.Table, names: Sequence[str]) -> list[dict]:
    """Per protocol and change: number of grasps, mean success with its 95 % interval over objects, share of pulls.

    Args:
        table: as `measure_success` returns it.
        names: of the protocols, in this order.
    """
    columns = {key: np.asarray(table[key].to_pylist(), object) for key in ("protocol", "change", "object")}
    passed, held = (np.array(table[key].to_pylist(), float) for key in ("success", "held"))
    lines = []
    for name in names:
        for change in ("", *(label for _, _, label in CHANGES)):
            rows = (columns["protocol"] == name) & (columns["change"] == change) & ~np.isnan(passed)
            if rows.any():
                mean, low, high = cluster_interval(passed[rows], columns["object"][rows].tolist())
                rate = {"success": mean, "low": low, "high": high, "pulls": float(held[rows].mean())}
                lines.append({"protocol": name, "change": change, "n": int(rows.sum()), **rate})
    return lines


def write_success(out: Path, table: pa.Table, protocols: Sequence[Protocol], facts: dict) -> list[TextTable]:
    """Writes success.parquet, success.json (rates, and every constant), success.md and, with changes, success.png."""
    lines = rates(table, [protocol.name for protocol in protocols])
    tables = [_rate_table(lines, protocols)]
    write_whole(out / "success.parquet", lambda path: pq.write_table(table, path))
    if any(line["change"] for line in lines):
        tables.append(_card(lines))
        draw_sensitivity(out / "success.png", lines)
    content = {"settings": facts, "made_at": version(), "rates": lines, "protocols": [asdict(p) for p in protocols]}
    write_whole(out / "success.json", lambda path: write_json(path, content))
    write_whole(out / "success.md", lambda path: write_markdown(path, tables))
    return tables


def _rate_table(lines: Sequence[dict], protocols: Sequence[Protocol]) -> TextTable:
    about = {protocol.name: protocol.about for protocol in protocols}
    cells = [
        [line["protocol"], str(line["n"]), _with_interval(line), format_share(line["pulls"]), about[line["protocol"]]]
        for line in lines
        if not line["change"]
    ]
    caption = "mean over grasps, 95 % interval over objects; pulls: share of single pulls withstood"
    return TextTable("success", caption, ["protocol", "grasps", "success", "pulls", "what it does"], cells, left=(0, 4))


def _with_interval(line: dict) -> str:
    return f"{format_share(line['success'])} [{100 * line['low']:.0f}, {100 * line['high']:.0f}]"


def _card(lines: Sequence[dict]) -> TextTable:
    """Points of success that each change adds or takes."""
    labels, cells = [label for _, _, label in CHANGES], []
    for base in (line for line in lines if not line["change"]):
        own = {line["change"]: line["success"] for line in lines if line["protocol"] == base["protocol"]}
        shifts = [f"{100 * (own[label] - base['success']):+.0f}" if label in own else "-" for label in labels]
        cells.append([base["protocol"], format_share(base["success"]), *shifts])
    caption = "points of success that a change of one constant adds or takes; - where a hand stands still"
    return TextTable("sensitivity", caption, ["protocol", "as it is", *labels], cells)


def draw_sensitivity(path: Path, lines: Sequence[dict]) -> None:
    """A row for each protocol: the rate with its interval, and where each change moves it."""
    names = list(dict.fromkeys(line["protocol"] for line in lines))
    figure = Figure(figsize=(8, 0.8 + 0.55 * len(names)), layout="constrained")
    axes = figure.subplots()
    for k, (_, _, label) in enumerate(CHANGES):
        own = [(names.index(line["protocol"]), line["success"]) for line in lines if line["change"] == label]
        at = np.array(own).reshape(-1, 2)
        axes.plot(
            100 * at[:, 1], at[:, 0] + 0.09 * (k - 3), "v^sv^v^"[k], color=f"C{(0, 0, 1, 2, 2, 3, 3)[k]}", label=label
        )
    for line in (line for line in lines if not line["change"]):
        row = names.index(line["protocol"])
        axes.plot([100 * line["low"], 100 * line["high"]], [row, row], color="0.75", linewidth=6, zorder=0)
        axes.plot(100 * line["success"], row, "k|", markersize=18)
    axes.set(yticks=range(len(names)), yticklabels=names, xlim=(-2, 102), xlabel="grasps that pass, %")
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)
