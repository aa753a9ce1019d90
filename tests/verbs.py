"""A verb of the command, in this process."""

from dexzoo.experiments.cli import main


def status_of(*words: str) -> int:
    """The exit status of `dexzoo VERB ...`."""
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
