"""What `dexzoo table3` and `dexzoo table4` share: all but their settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..commandline.settings import Table, settings_help, wants_help


def table(kind: type[Table], arguments: Sequence[str] | None) -> None:
    """Makes the runs that a table needs and merges them, or merges runs that there are.

    Args:
        kind: the table, whose name is that of the verb.
        arguments: of the command line; None takes those of the process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if wants_help(given):
        print(settings_help(kind, f"dexzoo {kind.__name__.lower()}"))
        return
    from ..commandline.explain import plain_errors
    from ..plan.tables import make_table

    plain_errors(make_table)(kind, given)
