"""`dexzoo table3`: RealDex, Table 3, on your data."""

from ..commandline.settings import Table, Table3, settings_help, wants_help


def main(arguments: list[str], kind: type[Table] = Table3) -> None:
    """Makes the runs that a table needs and merges them, or merges runs that there are."""
    if wants_help(arguments):
        print(settings_help(kind, f"dexzoo {kind.__name__.lower()}"))
        return
    from ..commandline.explain import plain_errors
    from ..plan.tables import make_table

    plain_errors(make_table)(kind, arguments)
