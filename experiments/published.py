"""RealDex, Table 3, as published: printed beside our tables, never in them."""

from __future__ import annotations

from rich.table import Table

from .results import new_table

CAVEAT = (
    "As published (their definitions, see docs/metrics.md): the code behind these numbers is not public, p.dist and "
    "volume lie where two flaws of the field's scripts put grasps that hardly penetrate, sim.disp mixes about 0 with a "
    "free fall of 10 cm, so they are no target for the exact columns; the data are not those above either."
)

PUBLISHED = (
    ("GRAB", "UniDexGrasp", "4.75", "1.39", "4.94 ± 4.02", "1.75"),
    ("GRAB", "RealDex without MLLM", "1.95", "1.94", "1.02 ± 2.10", "1.87"),
    ("GRAB", "RealDex", "1.93", "1.82", "0.91 ± 1.35", "2.40"),
    ("DexGraspNet", "UniDexGrasp", "5.48", "1.17", "4.48 ± 4.83", "1.80"),
    ("DexGraspNet", "RealDex without MLLM", "1.77", "2.32", "4.71 ± 3.93", "1.86"),
    ("DexGraspNet", "RealDex", "1.35", "2.15", "4.69 ± 3.81", "2.37"),
    ("RealDex", "UniDexGrasp", "5.52", "1.69", "4.52 ± 4.76", "1.75"),
    ("RealDex", "RealDex without MLLM", "1.86", "3.53", "4.12 ± 4.03", "2.02"),
    ("RealDex", "RealDex", "1.80", "3.34", "3.93 ± 3.60", "2.27"),
)
"""Data, method, s.i.vol, p.dist, sim.disp mean ± sd and score of the users (Liu et al., IJCAI 2024, Table 3)."""

_HEADINGS = ("data", "method", "s.i.vol (cm³)", "p.dist (cm)", "sim.disp (cm)", "users (higher is better)")
_TITLE = "RealDex, Table 3, as published"


def published_table() -> Table:
    """The published rows for the screen."""
    table = new_table(_TITLE, CAVEAT)
    for i, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if i < 2 else "right")
    for row in PUBLISHED:
        table.add_row(*row)
    return table


def published_markdown() -> str:
    """The published rows in Markdown, with heading and caveat."""
    lines = [_HEADINGS, ("---", "---", *["---:"] * (len(_HEADINGS) - 2)), *PUBLISHED]
    return "\n\n".join([f"## {_TITLE}", CAVEAT, "\n".join(f"| {' | '.join(line)} |" for line in lines)])
