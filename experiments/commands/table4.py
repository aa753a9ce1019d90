"""`dexzoo table4`: RealDex, Table 4, on your data."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..commandline.settings import Table4, settings_help, wants_help


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the runs that it needs and merges them, or merges runs that there are."""
    given = sys.argv[1:] if arguments is None else arguments
    if wants_help(given):
        print(settings_help(Table4, "dexzoo table4"))
        return
    from ..commandline.explain import plain_errors
    from ..plan import table4
    from ..plan.tables import read_settings

    plain_errors(lambda: table4.work(read_settings(Table4, given)))()
